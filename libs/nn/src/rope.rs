//! Rotary positions over three axes (time, height, width) or along one, interleaved pairs.

use tch::{Device, Kind, Tensor};

/// The base of the geometric frequency series, as in RoFormer (arXiv:2104.09864).
const ROPE_THETA: f64 = 10_000.0;

/// How a head's width is shared by the axes time, height and width.
///
/// Height and width get `2 * (d / 6)` each and time the rest, so 128 splits into 44, 42 and 42.
#[must_use]
pub fn rope_axis_split(head_width: i64) -> [i64; 3] {
    let side = 2 * (head_width / 6);
    [head_width - 2 * side, side, side]
}

/// Unit complex numbers, one per token and pair of channels, that rotate queries and keys.
#[derive(Debug)]
pub struct RopeTable {
    /// complex `[s, 1, d/2]`
    rotation: Tensor,
}

impl RopeTable {
    /// Builds the table for a grid of tokens in row-major order `(f, h, w)`, positions from 0.
    ///
    /// Angles are computed in 64-bit floats and stored in 32-bit ones. `head_width` must be even.
    ///
    /// # Errors
    /// libtorch could not allocate the table.
    pub fn new(grid: [i64; 3], head_width: i64, device: Device) -> Result<Self, tch::TchError> {
        let [frames, height, width] = grid;
        let tokens = frames * height * width;
        let mut axes = Vec::with_capacity(3);
        for (axis, channels) in rope_axis_split(head_width).into_iter().enumerate() {
            let angles = axis_angles(grid[axis], channels)?; // [positions, channels/2]
            let mut shape = [1, 1, 1, channels / 2];
            shape[axis] = grid[axis];
            let full = [frames, height, width, channels / 2];
            axes.push(angles.f_view(shape)?.f_expand(full, false)?);
        }
        let angles = Tensor::f_cat(&axes, -1)?.f_reshape([tokens, 1, head_width / 2])?;
        let real = angles.f_cos()?.f_to_kind(Kind::Float)?;
        let imaginary = angles.f_sin()?.f_to_kind(Kind::Float)?;
        let rotation = Tensor::f_complex(&real, &imaginary)?.f_to_device(device)?;
        Ok(Self { rotation })
    }

    /// Builds the table for positions from 0 along one axis: angles are positions times frequencies.
    ///
    /// Angles are computed in 32-bit floats, as language models are trained with. `frequencies` has one for
    /// each pair of channels.
    ///
    /// # Errors
    /// libtorch could not allocate the table.
    pub fn along(
        positions: i64,
        frequencies: &[f32],
        device: Device,
    ) -> Result<Self, tch::TchError> {
        let steps = Tensor::f_arange(positions, (Kind::Float, Device::Cpu))?;
        let angles = steps
            .f_outer(&Tensor::f_from_slice(frequencies)?)?
            .f_unsqueeze(1)?;
        let rotation = Tensor::f_complex(&angles.f_cos()?, &angles.f_sin()?)?;
        Ok(Self {
            rotation: rotation.f_to_device(device)?,
        })
    }

    /// The part of the table for `length` tokens from the one at `start` on.
    #[must_use]
    pub fn narrow(&self, start: i64, length: i64) -> Self {
        Self {
            rotation: self.rotation.narrow(0, start, length),
        }
    }

    /// Rotates channel pairs by their token's angles; the result is in 32-bit floats and written over
    /// an input of that type, which nobody else may hold.
    ///
    /// # Shapes
    /// `[b, s, n, d]` to the same
    pub fn rotate(&self, input: Tensor) -> Tensor {
        let size = input.size();
        let mut pairs = size.clone();
        let last = pairs.len() - 1;
        pairs[last] /= 2;
        pairs.push(2);
        let real = input.to_kind(Kind::Float);
        drop(input);
        let mut complex = real.reshape(&pairs).view_as_complex();
        let _ = complex.g_mul_(&self.rotation);
        complex.view_as_real().reshape(size)
    }
}

fn axis_angles(positions: i64, channels: i64) -> Result<Tensor, tch::TchError> {
    let options = (Kind::Double, Device::Cpu);
    let exponents = Tensor::f_arange_start_step(0, channels, 2, options)?.f_div_scalar(channels)?;
    let frequencies = exponents.f_multiply_scalar(-ROPE_THETA.ln())?.f_exp()?;
    Tensor::f_arange(positions, options)?.f_outer(&frequencies)
}
