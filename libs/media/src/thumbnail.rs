//! Small pictures of clips.

use image::codecs::webp::WebPEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, RgbImage};

use crate::MediaError;

const LONGEST_EDGE_PIXELS: u32 = 256;

/// Makes a WebP (lossless) of one frame, scaled down so that its longest edge has at most 256 pixels.
///
/// `rgb` holds `width * height * 3` bytes. Smaller frames keep their size.
///
/// # Errors
/// [`MediaError::Invalid`] when the sizes do not fit.
pub fn thumbnail_webp(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, MediaError> {
    let frame = RgbImage::from_raw(width, height, rgb.to_vec())
        .filter(|_| width > 0 && height > 0)
        .filter(|frame| frame.as_raw().len() as u64 == u64::from(width) * u64::from(height) * 3)
        .ok_or_else(|| {
            MediaError::Invalid(format!(
                "{} bytes are no frame of {width}x{height}",
                rgb.len()
            ))
        })?;
    let (small_width, small_height) = fitted(width, height);
    let small = if (small_width, small_height) == (width, height) {
        frame
    } else {
        resize(&frame, small_width, small_height, FilterType::CatmullRom)
    };
    let mut webp = Vec::new();
    WebPEncoder::new_lossless(&mut webp)
        .encode(
            small.as_raw(),
            small_width,
            small_height,
            ExtendedColorType::Rgb8,
        )
        .map_err(|error| MediaError::Invalid(format!("thumbnail not encoded: {error}")))?;
    Ok(webp)
}

/// The size of the thumbnail, in the frame's proportions to the nearest pixel.
fn fitted(width: u32, height: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= LONGEST_EDGE_PIXELS {
        return (width, height);
    }
    let scaled = |edge: u32| {
        let exact = (u64::from(edge) * u64::from(LONGEST_EDGE_PIXELS) * 2 + u64::from(longest))
            / (u64::from(longest) * 2);
        u32::try_from(exact).unwrap_or(LONGEST_EDGE_PIXELS).max(1)
    };
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(width: u32, height: u32, expected: (u32, u32)) {
        let rgb: Vec<u8> = [200, 30, 90].repeat((width * height) as usize);
        let webp = thumbnail_webp(&rgb, width, height).expect("encoded");
        let back = image::load_from_memory(&webp).expect("a picture").to_rgb8();
        assert_eq!(back.dimensions(), expected);
        assert!(
            back.pixels().all(|pixel| pixel.0 == [200, 30, 90]),
            "colour is kept"
        );
    }

    #[test]
    fn longest_edge_is_256_and_proportions_stay() {
        check(512, 256, (256, 128));
        check(480, 832, (148, 256));
        check(4000, 2, (256, 1));
    }

    #[test]
    fn small_frames_are_not_enlarged() {
        check(64, 48, (64, 48));
        check(1, 1, (1, 1));
        check(256, 256, (256, 256));
    }

    #[test]
    fn wrong_sizes_are_refused() {
        for (bytes, width, height) in [(0, 0, 0), (3, 0, 1), (5, 1, 1), (6, 1, 1), (3, 2, 1)] {
            let error = thumbnail_webp(&vec![0; bytes], width, height).expect_err("refused");
            assert!(matches!(error, MediaError::Invalid(_)), "{error:?}");
        }
    }
}
