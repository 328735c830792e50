//! Scaling pictures to the sizes that networks want.
//!
//! The filter is that of Pillow: bicubic, antialiased, columns first, each direction rounded to bytes.

use tch::{Device, Kind, Tensor};

use crate::error::GenerateError;
use crate::request::Picture;

/// Largest picture accepted, in pixels.
const MAX_PIXELS: u64 = 1 << 26;
/// How many times as long as the short side the long one may be: the whole length is scaled before
/// the middle is cut out.
const MAX_ASPECT: u32 = 64;
/// Pixels converted to 64-bit floats at a time.
const STRIP_PIXELS: i64 = 1 << 20;

/// Checks that a picture's size makes sense and is the size of its bytes.
///
/// # Errors
/// `Invalid` for `field` if it is empty, has another number of bytes than its size says, has more
/// than 2^26 pixels, or is more than 64 times as long as wide.
pub fn check(field: &'static str, picture: &Picture) -> Result<(), GenerateError> {
    let (width, height) = (picture.width, picture.height);
    let pixels = u64::from(width) * u64::from(height);
    let reason = if pixels == 0 || pixels > MAX_PIXELS {
        format!("{width}x{height} is {pixels} pixels, must be from 1 to {MAX_PIXELS}")
    } else if width.max(height) / width.min(height) >= MAX_ASPECT {
        format!("{width}x{height}: one side must be less than {MAX_ASPECT} times the other")
    } else if picture.rgb.len() as u64 != 3 * pixels {
        let bytes = picture.rgb.len();
        format!("{bytes} bytes are not {width}x{height} pixels of 3 bytes")
    } else {
        return Ok(());
    };
    Err(GenerateError::invalid(field, reason))
}

/// Scales a picture until it just covers a size, keeping its proportions, and cuts out the middle.
/// A picture of that size stays as it is, byte for byte.
///
/// # Errors
/// As [`check`], for `image`; otherwise from libtorch.
pub fn cover(picture: &Picture, width: u32, height: u32) -> Result<Picture, GenerateError> {
    check("image", picture)?;
    if (picture.width, picture.height) == (width, height) {
        return Ok(picture.clone());
    }
    let [from_width, from_height, to_width, to_height] =
        [picture.width, picture.height, width, height].map(i64::from);
    // Whichever side needs the greater factor decides it; the other one is rounded up.
    let scaled = if to_width * from_height >= to_height * from_width {
        [(from_height * to_width).div_euclid(from_width).max(to_height), to_width]
    } else {
        [to_height, (from_width * to_height).div_euclid(from_height).max(to_width)]
    };
    let fitted = crop(&scale(&to_tensor(picture)?, scaled)?, [to_height, to_width]);
    let pixels = fitted.squeeze_dim(0).permute([1, 2, 0]).contiguous(); // [h, w, 3]
    Ok(Picture {
        width,
        height,
        rgb: Vec::<u8>::try_from(pixels.flatten(0, -1))?,
    })
}

/// The bytes as `[1, 3, h, w]`.
fn to_tensor(picture: &Picture) -> Result<Tensor, tch::TchError> {
    let shape = [1, i64::from(picture.height), i64::from(picture.width), 3];
    let image = Tensor::f_from_data_size(&picture.rgb, &shape, Kind::Uint8)?;
    image.f_permute([0, 3, 1, 2])
}
