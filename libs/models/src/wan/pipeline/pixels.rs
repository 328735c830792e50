//! Between tensors and bytes.

use tch::{Device, Kind, Tensor};

use crate::error::GenerateError;
use crate::request::Clip;

/// Frames `[f, 3, h, w]` from -1 to 1, to bytes.
pub(super) fn to_clip(frames: &Tensor) -> Result<Clip, GenerateError> {
    let bytes = (frames * 0.5 + 0.5)
        .clamp_(0.0, 1.0)
        .g_mul_scalar_(255.0)
        .round_();
    let bytes = bytes.permute([0, 2, 3, 1]).to_kind(Kind::Uint8); // [f, h, w, 3]
    let bytes = bytes.contiguous().to_device(Device::Cpu);
    let size = bytes.size();
    let side = |axis: usize| {
        u32::try_from(size[axis]).map_err(|error| GenerateError::Engine(error.to_string()))
    };
    let rgb = Vec::<u8>::try_from(bytes.flatten(0, -1))?;
    Ok(Clip {
        width: side(2)?,
        height: side(1)?,
        frames: side(0)?,
        rgb,
    })
}

/// Bytes to frames `[f, 3, h, w]` from -1 to 1.
pub(super) fn from_clip(clip: &Clip) -> Result<Tensor, GenerateError> {
    let shape = [clip.frames, clip.height, clip.width, 3].map(i64::from);
    let bytes = Tensor::f_from_data_size(&clip.rgb, &shape, Kind::Uint8)?;
    let frames = bytes
        .permute([0, 3, 1, 2])
        .to_kind(Kind::Float)
        .contiguous();
    Ok(frames / 127.5 - 1.0)
}
