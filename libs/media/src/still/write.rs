//! Pictures to files.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::StillFormat;
use crate::MediaError;

/// Quality of a written JPEG, of 100: no visible loss.
const JPEG_QUALITY: u8 = 95;

/// Encodes rows of RGB bytes; without loss as PNG and WebP.
///
/// # Errors
/// [`MediaError::Invalid`] when the sizes do not fit.
pub fn encode_still(
    rgb: &[u8],
    width: u32,
    height: u32,
    format: StillFormat,
) -> Result<Vec<u8>, MediaError> {
    let expected = u128::from(width) * u128::from(height) * 3;
    if expected == 0 || rgb.len() as u128 != expected {
        let text = format!("{} bytes are no picture of {width}x{height}", rgb.len());
        return Err(MediaError::Invalid(text));
    }
    let (mut bytes, colour) = (Vec::new(), ExtendedColorType::Rgb8);
    let written = match format {
        StillFormat::Png => PngEncoder::new(&mut bytes).write_image(rgb, width, height, colour),
        StillFormat::Jpeg => JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
            .write_image(rgb, width, height, colour),
        StillFormat::WebP => {
            WebPEncoder::new_lossless(&mut bytes).write_image(rgb, width, height, colour)
        }
    };
    written.map_err(|error| MediaError::Invalid(format!("picture not encoded: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode_still, probe_still};

    #[test]
    fn what_is_written_is_read_and_only_jpeg_loses() {
        let rgb: Vec<u8> = (0..12 * 7 * 3).map(|value: u8| value ^ 0x55).collect();
        for format in [StillFormat::Png, StillFormat::Jpeg, StillFormat::WebP] {
            let bytes = encode_still(&rgb, 12, 7, format).expect("encodes");
            assert_eq!(probe_still(&bytes).expect("a picture").format, format);
            let still = decode_still(&bytes).expect("decodes");
            assert_eq!((still.width, still.height), (12, 7));
            assert_eq!(still.rgb == rgb, format != StillFormat::Jpeg, "{format:?}");
            assert_eq!(StillFormat::of_extension(format.extension()), Some(format));
        }
        assert_eq!(StillFormat::of_extension("JPEG"), Some(StillFormat::Jpeg));
        assert_eq!(StillFormat::of_extension("mp4"), None);
        for (width, height) in [(0, 0), (12, 8), (u32::MAX, u32::MAX)] {
            let refused = encode_still(&rgb, width, height, StillFormat::Png);
            assert!(
                matches!(refused, Err(MediaError::Invalid(_))),
                "{refused:?}"
            );
        }
    }
}
