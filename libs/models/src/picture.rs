//! Scaling pictures to the sizes that networks want.
//!
//! The filter is that of Pillow: bicubic, antialiased, columns first, each direction rounded to bytes.

use tch::{Kind, Tensor};

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
    // The side that needs the greater factor decides it; the other one comes out longer.
    let scaled = if to_width * from_height >= to_height * from_width {
        [
            (from_height * to_width / from_width).max(to_height),
            to_width,
        ]
    } else {
        [
            to_height,
            (from_width * to_height / from_height).max(to_width),
        ]
    };
    let fitted = scale_and_crop(&to_tensor(picture)?, scaled, [to_height, to_width])?;
    let pixels = fitted.squeeze_dim(0).permute([1, 2, 0]).contiguous(); // [h, w, 3]
    Ok(Picture {
        width,
        height,
        rgb: Vec::<u8>::try_from(pixels.flatten(0, -1))?,
    })
}

/// The bytes as `[1, 3, h, w]`.
pub(crate) fn to_tensor(picture: &Picture) -> Result<Tensor, tch::TchError> {
    let shape = [1, i64::from(picture.height), i64::from(picture.width), 3];
    let image = Tensor::f_from_data_size(&picture.rgb, &shape, Kind::Uint8)?;
    image.f_permute([0, 3, 1, 2])
}

/// Columns first, then rows, as Pillow does: bytes `[1, 3, h, w]` to the middle of what they are at
/// the size `scaled`.
///
/// Rows know nothing of each other in the first pass, so that it takes a strip of them at a time and
/// keeps the middle columns only: a large image is never held in floats.
fn scale_and_crop(
    image: &Tensor,
    scaled: [i64; 2],
    [height, width]: [i64; 2],
) -> Result<Tensor, tch::TchError> {
    let columns = image.size4()?.3;
    let mut strips = Vec::new();
    for strip in image.f_split((STRIP_PIXELS / columns).max(1), 2)? {
        let strip = resample(&strip, [strip.size()[2], scaled[1]])?;
        strips.push(middle(&strip, 3, width).f_contiguous()?);
    }
    let narrowed = Tensor::f_cat(&strips, 2)?; // [1, 3, h, width]
    Ok(middle(&resample(&narrowed, [scaled[0], width])?, 2, height))
}

fn resample(bytes: &Tensor, size: [i64; 2]) -> Result<Tensor, tch::TchError> {
    let scaled = bytes
        .f_to_kind(Kind::Double)?
        .f_internal_upsample_bicubic2d_aa(size, false, None, None)?;
    // Halves go up, as in Pillow; libtorch's own rounding takes them to the even number.
    let rounded = (scaled + 0.5).floor_().clamp_(0.0, 255.0);
    rounded.f_to_kind(Kind::Uint8)
}

/// The middle `length` positions of an axis.
fn middle(image: &Tensor, axis: i64, length: i64) -> Tensor {
    let [_, _, height, width] = image.size4().map_or([0; 4], Into::into);
    let whole = if axis == 2 { height } else { width };
    image.narrow(axis, (whole - length) / 2, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn picture(width: u32, height: u32, rgb: Vec<u8>) -> Picture {
        Picture { width, height, rgb }
    }

    fn refusal(bytes: usize, width: u32, height: u32) -> String {
        let picture = picture(width, height, vec![0; bytes]);
        cover(&picture, 224, 224).unwrap_err().to_string()
    }

    #[test]
    fn one_colour_stays_one_colour() {
        for (width, height) in [(1, 1), (5, 63), (300, 20), (48, 32)] {
            let gray = vec![128; 3 * (width * height) as usize];
            let fitted = cover(&picture(width, height, gray), 48, 32).unwrap();
            assert_eq!((fitted.width, fitted.height), (48, 32));
            assert_eq!(fitted.rgb, vec![128; 3 * 48 * 32]);
        }
    }

    #[test]
    fn the_middle_of_the_long_side_is_kept() {
        // Columns of rising brightness, three times as wide as high.
        let row: Vec<u8> = (0..84_u8).flat_map(|column| [column; 3]).collect();
        let wide = cover(&picture(84, 28, row.repeat(28)), 28, 28).unwrap();
        assert_eq!(wide.rgb, row[3 * 28..3 * 56].repeat(28));
    }

    #[test]
    fn a_picture_of_the_size_stays_as_it_is() {
        let rgb: Vec<u8> = (0..6 * 4 * 3).collect();
        let same = picture(6, 4, rgb);
        assert_eq!(cover(&same, 6, 4).unwrap(), same);
    }

    #[test]
    fn strips_are_scaled_as_the_whole() {
        let (width, height) = (2048, 1024);
        let bytes = Tensor::arange(3 * width * height, (Kind::Int64, Device::Cpu));
        let bytes = (&bytes * &bytes).remainder(251).to_kind(Kind::Uint8);
        let image = bytes.view([1, height, width, 3]).permute([0, 3, 1, 2]);
        let whole = resample(&resample(&image, [height, 56]).unwrap(), [28, 56]).unwrap();
        let found = scale_and_crop(&image, [28, 56], [28, 28]).unwrap();
        assert_eq!(found, whole.narrow(3, 14, 28));
    }

    #[test]
    fn hostile_sizes_are_refused_before_any_work() {
        assert!(refusal(300_000, 1, 100_000).contains("less than 64 times"));
        assert!(refusal(300_000, 100_000, 1).contains("less than 64 times"));
        assert!(refusal(0, 0, 7).contains("0 pixels"));
        assert!(refusal(0, u32::MAX, u32::MAX).contains("must be from 1"));
        assert!(refusal(11, 2, 2).contains("11 bytes"));
    }
}
