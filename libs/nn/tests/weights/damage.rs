//! Random damage to good files, and what is done with the result.

use std::path::{Path, PathBuf};

use kinora_nn::Weights;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tch::{Device, Kind};

/// The readers.
#[derive(Clone, Copy)]
pub enum Format {
    Safetensors,
    Torch,
    Gguf,
    Onnx,
}

/// Names and shapes in the good files.
const TENSORS: [(&str, &[i64]); 16] = [
    ("plain", &[2, 3, 4]),
    ("bf16", &[24]),
    ("transposed", &[6, 4]),
    ("stepped", &[12]),
    ("fp8", &[16]),
    ("weight", &[2, 3]),
    ("bias", &[2]),
    ("scalar", &[]),
    ("Q4_0", &[1, 256]),
    ("Q4_1", &[1, 256]),
    ("Q5_0", &[1, 256]),
    ("Q5_1", &[1, 256]),
    ("Q8_0", &[1, 256]),
    ("Q4_K", &[1, 256]),
    ("Q5_K", &[1, 256]),
    ("Q6_K", &[1, 256]),
];

/// One thing that happens to a file.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Set(Index, Vec<u8>),
    Remove(Index, u16),
    Insert(Index, Vec<u8>),
    Cut(Index),
    Copy(Index, Index, u16),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Good files of a format.
pub fn seeds(format: Format) -> Vec<Vec<u8>> {
    let names: &[&str] = match format {
        Format::Torch => &["kinds.pth", "module.pth", "nested.pth"],
        Format::Safetensors => &["kinds.safetensors"],
        Format::Gguf => &["small.gguf"],
        Format::Onnx => &["kinds.onnx"],
    };
    let read = |name: &&str| std::fs::read(folder().join(name)).unwrap_or_default();
    names.iter().map(read).collect()
}

/// One of the good files with up to six damages.
pub fn damaged(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damages = proptest::collection::vec(damage(), 1..=6);
    (select(seeds), damages).prop_map(|(mut bytes, damages)| {
        damages
            .into_iter()
            .for_each(|damage| damage.apply(&mut bytes));
        bytes
    })
}

fn damage() -> impl Strategy<Value = Damage> {
    let numbers = select(vec![
        0,
        1,
        0x7f,
        0x80,
        0xff,
        0xffff,
        1 << 31,
        u64::MAX,
        1 << 63,
        1 << 40,
    ]);
    let field = (numbers, 1_usize..=8)
        .prop_map(|(value, size): (u64, usize)| value.to_le_bytes()[..size].to_vec());
    let bytes = proptest::collection::vec(any::<u8>(), 1..16);
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        3 => (at(), field).prop_map(|(at, bytes)| Damage::Set(at, bytes)),
        2 => (at(), bytes.clone()).prop_map(|(at, bytes)| Damage::Set(at, bytes)),
        1 => (at(), bytes).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (at(), 1_u16..64).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => at().prop_map(Damage::Cut),
        2 => (at(), at(), 1_u16..256).prop_map(|(from, to, count)| Damage::Copy(from, to, count)),
    ]
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        let end = |start: usize, count: u16| length.min(start + usize::from(count));
        match self {
            Self::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Self::Set(at, new) => {
                let start = at.index(length);
                let count = new.len().min(length - start);
                bytes[start..start + count].copy_from_slice(&new[..count]);
            }
            Self::Remove(at, count) => {
                let start = at.index(length);
                bytes.drain(start..end(start, count));
            }
            Self::Insert(at, new) => {
                let start = at.index(length);
                bytes.splice(start..start, new);
            }
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Copy(from, to, count) => {
                let start = from.index(length);
                let part = bytes[start..end(start, count)].to_vec();
                let target = to.index(length);
                let count = part.len().min(length - target);
                bytes[target..target + count].copy_from_slice(&part[..count]);
            }
        }
    }
}

/// Opens a file and reads what it should hold, whatever comes of it.
pub fn open_and_read(bytes: &[u8], format: Format) {
    let ending = match format {
        Format::Safetensors => ".safetensors",
        Format::Torch => ".pth",
        Format::Gguf => ".gguf",
        Format::Onnx => ".onnx",
    };
    let Ok(file) = tempfile::Builder::new().suffix(ending).tempfile() else {
        panic!("there is no place for a temporary file");
    };
    if let Err(error) = std::fs::write(file.path(), bytes) {
        panic!("{error}");
    }
    if matches!(format, Format::Onnx) {
        drop(kinora_nn::onnx_metadata(file.path()));
    }
    let opened = Weights::open_files(&[file.path().to_owned()], &[], Device::Cpu, Kind::Float);
    let Ok(weights) = opened else { return };
    for (name, shape) in TENSORS {
        drop(weights.get(name, shape));
    }
    drop(weights.finish());
}
