//! Small pictures of clips.

use image::codecs::webp::WebPEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, RgbImage};

use crate::MediaError;

const LONGEST_EDGE_PIXELS: u32 = 256;
/// No preview is made smaller.
const SHORTEST_PREVIEW_PIXELS: u32 = 16;

/// Makes a WebP (lossless) of one frame, scaled down so that its longest edge has at most 256 pixels.
///
/// `rgb` holds `width * height * 3` bytes. Smaller frames keep their size.
///
/// # Errors
/// [`MediaError::Invalid`] when the sizes do not fit.
pub fn thumbnail_webp(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, MediaError> {
    webp(rgb, width, height, LONGEST_EDGE_PIXELS)
}

/// Makes a WebP of at most `max_bytes`: as [`thumbnail_webp`], or smaller until it fits.
///
/// # Errors
/// [`MediaError::Invalid`] when the sizes do not fit, or not even a few pixels fit.
pub fn preview_webp(
    rgb: &[u8],
    width: u32,
    height: u32,
    max_bytes: usize,
) -> Result<Vec<u8>, MediaError> {
    let mut edge = LONGEST_EDGE_PIXELS;
    while edge >= SHORTEST_PREVIEW_PIXELS {
        let picture = webp(rgb, width, height, edge)?;
        if picture.len() <= max_bytes {
            return Ok(picture);
        }
        edge /= 2;
    }
    Err(MediaError::Invalid(format!(
        "no preview fits into {max_bytes} bytes"
    )))
}

fn webp(rgb: &[u8], width: u32, height: u32, longest_edge: u32) -> Result<Vec<u8>, MediaError> {
    let frame = RgbImage::from_raw(width, height, rgb.to_vec())
        .filter(|_| width > 0 && height > 0)
        .filter(|frame| frame.as_raw().len() as u64 == u64::from(width) * u64::from(height) * 3)
        .ok_or_else(|| {
            MediaError::Invalid(format!(
                "{} bytes are no frame of {width}x{height}",
                rgb.len()
            ))
        })?;
    let (small_width, small_height) = fitted(width, height, longest_edge);
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

/// The size of a small picture, in the frame's proportions to the nearest pixel.
pub(crate) fn fitted(width: u32, height: u32, longest_edge: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= longest_edge {
        return (width, height);
    }
    let scaled = |edge: u32| {
        let exact = (u64::from(edge) * u64::from(longest_edge) * 2 + u64::from(longest))
            / (u64::from(longest) * 2);
        u32::try_from(exact).unwrap_or(longest_edge).max(1)
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
    fn previews_shrink_until_they_fit() {
        // Noise, which no coder makes small.
        let mut state = 1_u32;
        let rgb: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(256 * 128 * 3)
        .collect();
        for (max_bytes, expected) in [
            (1 << 20, (256, 128)),
            (64 << 10, (128, 64)),
            (2000, (32, 16)),
        ] {
            let webp = preview_webp(&rgb, 256, 128, max_bytes).expect("fits");
            assert!(webp.len() <= max_bytes, "{}", webp.len());
            let back = image::load_from_memory(&webp).expect("a picture").to_rgb8();
            assert_eq!(back.dimensions(), expected);
        }
        assert!(preview_webp(&rgb, 256, 128, 10).is_err());
    }

    #[test]
    fn wrong_sizes_are_refused() {
        for (bytes, width, height) in [(0, 0, 0), (3, 0, 1), (5, 1, 1), (6, 1, 1), (3, 2, 1)] {
            let error = thumbnail_webp(&vec![0; bytes], width, height).expect_err("refused");
            assert!(matches!(error, MediaError::Invalid(_)), "{error:?}");
        }
    }
}
