//! Blocks of few bits: what each number in them stands for.
//!
//! A block holds the same count of numbers in the same count of bytes, and scales of its own. The formulas are those of
//! ggml's reference (`dequantize_row_*` in `ggml-quants.c`), operation by operation in 32-bit floats, so that every number
//! is the same to the last bit.

use half::f16;

/// Numbers in a block of the older formats.
const SMALL: u64 = 32;
/// Numbers in a block of the formats with scales of scales.
const LARGE: u64 = 256;

/// How blocks are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockFormat {
    /// Four bits around zero, one scale.
    Q4_0,
    /// Four bits, scale and least value.
    Q4_1,
    /// Five bits around zero, one scale.
    Q5_0,
    /// Five bits, scale and least value.
    Q5_1,
    /// Eight bits, one scale.
    Q8_0,
    /// Four bits, and scales and least values of six bits for every 32 numbers.
    Q4K,
    /// Five bits, scales as the format before.
    Q5K,
    /// Six bits, and scales of eight bits for every 16 numbers.
    Q6K,
}

impl BlockFormat {
    /// The format that files call by this number.
    pub(crate) fn of(type_id: u32) -> Option<Self> {
        Some(match type_id {
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Numbers in a block.
    pub(crate) fn numbers(self) -> u64 {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => SMALL,
            Self::Q4K | Self::Q5K | Self::Q6K => LARGE,
        }
    }

    /// Bytes of a block.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// The numbers of whole blocks, in order.
    pub(crate) fn dequantise(self, bytes: &[u8]) -> Vec<f32> {
        let size = usize::try_from(self.bytes()).unwrap_or(usize::MAX);
        let per_block = usize::try_from(self.numbers()).unwrap_or_default();
        let mut numbers = vec![0.0; bytes.len() / size * per_block];
        let blocks = bytes.chunks_exact(size);
        for (block, out) in blocks.zip(numbers.chunks_exact_mut(per_block)) {
            match self {
                Self::Q4_0 => four_bits(float(block, 0), None, &block[2..], out),
                Self::Q4_1 => four_bits(float(block, 0), Some(float(block, 2)), &block[4..], out),
                Self::Q5_0 => five_bits(float(block, 0), None, &block[2..], out),
                Self::Q5_1 => five_bits(float(block, 0), Some(float(block, 2)), &block[4..], out),
                Self::Q8_0 => eight_bits(block, out),
                Self::Q4K => four_bits_scaled(block, out),
                Self::Q5K => five_bits_scaled(block, out),
                Self::Q6K => six_bits_scaled(block, out),
            }
        }
        numbers
    }
}

/// The 16-bit float at a place.
fn float(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Without a least value, numbers lie around zero.
fn four_bits(scale: f32, least: Option<f32>, nibbles: &[u8], out: &mut [f32]) {
    let (low, high) = out.split_at_mut(16);
    let value = |bits: u8| match least {
        Some(least) => f32::from(bits) * scale + least,
        None => (f32::from(bits) - 8.0) * scale,
    };
    for ((nibble, low), high) in nibbles.iter().zip(low).zip(high) {
        *low = value(nibble & 15);
        *high = value(nibble >> 4);
    }
}

/// The fifth bits of all numbers come first.
fn five_bits(scale: f32, least: Option<f32>, rest: &[u8], out: &mut [f32]) {
    let fifth = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
    let (low, high) = out.split_at_mut(16);
    let value = |bits: u8, index: usize| {
        let bits = if fifth >> index & 1 == 1 {
            bits | 16
        } else {
            bits
        };
        match least {
            Some(least) => f32::from(bits) * scale + least,
            None => (f32::from(bits) - 16.0) * scale,
        }
    };
    for (index, nibble) in rest[4..].iter().enumerate() {
        low[index] = value(nibble & 15, index);
        high[index] = value(nibble >> 4, index + 16);
    }
}

fn eight_bits(block: &[u8], out: &mut [f32]) {
    let scale = float(block, 0);
    for (byte, out) in block[2..].iter().zip(out) {
        *out = f32::from(byte.cast_signed()) * scale;
    }
}

/// Scale and least value of 32 numbers of a block, six bits each, packed into twelve bytes.
fn packed_scale(packed: &[u8], index: usize) -> (f32, f32) {
    let (scale, least) = if index < 4 {
        (packed[index] & 63, packed[index + 4] & 63)
    } else {
        let low = packed[index + 4];
        let (scale, least) = (packed[index - 4] >> 6, packed[index] >> 6);
        (low & 15 | scale << 4, low >> 4 | least << 4)
    };
    (f32::from(scale), f32::from(least))
}

fn four_bits_scaled(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (float(block, 0), float(block, 2));
    let (packed, nibbles) = (&block[4..16], &block[16..]);
    for (pair, (out, nibbles)) in out
        .chunks_exact_mut(64)
        .zip(nibbles.chunks_exact(32))
        .enumerate()
    {
        let (low, high) = out.split_at_mut(32);
        for (index, half) in [low, high].into_iter().enumerate() {
            let (own_scale, own_least) = packed_scale(packed, 2 * pair + index);
            let (scale, least) = (scale * own_scale, least * own_least);
            for (nibble, out) in nibbles.iter().zip(half) {
                *out = scale * f32::from(nibble >> (4 * index) & 15) - least;
            }
        }
    }
}

fn five_bits_scaled(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (float(block, 0), float(block, 2));
    let (packed, fifth, nibbles) = (&block[4..16], &block[16..48], &block[48..]);
    for (pair, (out, nibbles)) in out
        .chunks_exact_mut(64)
        .zip(nibbles.chunks_exact(32))
        .enumerate()
    {
        let (low, high) = out.split_at_mut(32);
        for (index, half) in [low, high].into_iter().enumerate() {
            let group = 2 * pair + index;
            let (own_scale, own_least) = packed_scale(packed, group);
            let (scale, least) = (scale * own_scale, least * own_least);
            for ((nibble, fifth), out) in nibbles.iter().zip(fifth).zip(half) {
                let bits = nibble >> (4 * index) & 15 | (fifth >> group & 1) << 4;
                *out = scale * f32::from(bits) - least;
            }
        }
    }
}

fn six_bits_scaled(block: &[u8], out: &mut [f32]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, scale) = (&rest[..16], float(rest, 16));
    for (half, out) in out.chunks_exact_mut(128).enumerate() {
        let (low, high) = (&low[64 * half..], &high[32 * half..]);
        for (index, out) in out.iter_mut().enumerate() {
            // Four groups of 32: low nibbles of 64 bytes, then the high ones; two bits of a byte each.
            let (group, within) = (index / 32, index % 32);
            let nibble = low[within + 32 * (group % 2)] >> (4 * (group / 2)) & 15;
            let bits = nibble | (high[within] >> (2 * group) & 3) << 4;
            let own_scale = scales[8 * half + 2 * group + within / 16].cast_signed();
            *out = scale * f32::from(own_scale) * (f32::from(bits) - 32.0);
        }
    }
}
