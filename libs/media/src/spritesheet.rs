//! A clip at one look: frames from all over it on one picture.

use std::path::Path;

use image::imageops::{FilterType, replace, resize};
use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::jpeg::JpegEncoder};

use crate::decode::decode_frames;
use crate::probe::probe;
use crate::thumbnail::fitted;
use crate::{MediaError, Still};

/// The most tiles of a sheet.
const MAX_TILES: u32 = 25;
/// Tiles of a full row.
const COLUMNS: u32 = 5;
/// The longer side of a tile, in pixels.
const TILE_EDGE_PIXELS: u32 = 160;
/// Quality of the JPEG, of 100.
const QUALITY: u8 = 85;

/// Makes a JPEG of up to 25 frames of a clip, given as raw frames of RGB, spread evenly over it: of `n` tiles tile `i` shows
/// frame `i * frames / n`. They stand five to a row, scaled down to a longer side of 160 pixels; what is left of the last
/// row is black. The sheet is at most 800 pixels wide and high.
///
/// # Errors
/// [`MediaError::Invalid`] when the sizes do not fit.
pub fn spritesheet_jpeg(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, MediaError> {
    let frame_bytes = u128::from(width) * u128::from(height) * 3;
    let frame_bytes = usize::try_from(frame_bytes).unwrap_or(usize::MAX);
    let frames: Vec<&[u8]> = match frame_bytes {
        0 => Vec::new(),
        bytes => rgb.chunks_exact(bytes).collect(),
    };
    if frames.is_empty() || frames.len() * frame_bytes != rgb.len() {
        let text = format!("{} bytes are no frames of {width}x{height}", rgb.len());
        return Err(MediaError::Invalid(text));
    }
    let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    let shown = frames_shown(count).into_iter().filter_map(|index| {
        let frame = frames.get(usize::try_from(index).ok()?)?;
        RgbImage::from_raw(width, height, frame.to_vec())
    });
    let (tile_width, tile_height) = fitted(width, height, TILE_EDGE_PIXELS);
    let tiles = shown.map(|frame| {
        if frame.dimensions() == (tile_width, tile_height) {
            frame
        } else {
            resize(&frame, tile_width, tile_height, FilterType::Triangle)
        }
    });
    sheet(&tiles.collect::<Vec<_>>())
}

/// As [`spritesheet_jpeg`], of a clip in a file; its frames are scaled down while they are decoded.
///
/// # Errors
/// [`MediaError::Invalid`] for a file that is no mp4 of a constant whole frame rate; otherwise as ffmpeg fails.
pub fn spritesheet_of_mp4(ffmpeg: &Path, path: &Path) -> Result<Vec<u8>, MediaError> {
    let info = probe(path)?;
    let size = fitted(info.width, info.height, TILE_EDGE_PIXELS);
    let stills = decode_frames(ffmpeg, path, &info, &frames_shown(info.frames), size)?;
    let tiles = stills.into_iter().filter_map(|still| {
        let Still { width, height, rgb } = still;
        RgbImage::from_raw(width, height, rgb)
    });
    sheet(&tiles.collect::<Vec<_>>())
}

/// The frames that a sheet shows, in their order, of a clip of so many.
fn frames_shown(frames: u32) -> Vec<u32> {
    let tiles = frames.min(MAX_TILES);
    let index = |tile: u32| u64::from(tile) * u64::from(frames) / u64::from(tiles.max(1));
    let shown = (0..tiles).map(index);
    shown
        .map(|index| u32::try_from(index).unwrap_or(u32::MAX))
        .collect()
}

fn sheet(tiles: &[RgbImage]) -> Result<Vec<u8>, MediaError> {
    let Some(first) = tiles.first() else {
        return Err(MediaError::Invalid("no frames for a sheet".to_owned()));
    };
    let (width, height) = first.dimensions();
    let count = u32::try_from(tiles.len()).unwrap_or(MAX_TILES);
    let columns = count.min(COLUMNS);
    let mut sheet = RgbImage::new(width * columns, height * count.div_ceil(columns));
    for (index, tile) in (0..).zip(tiles) {
        let (column, row): (u32, u32) = (index % columns, index / columns);
        let (x, y) = (i64::from(column * width), i64::from(row * height));
        replace(&mut sheet, tile, x, y);
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .write_image(
            sheet.as_raw(),
            sheet.width(),
            sheet.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|error| MediaError::Invalid(format!("sprite sheet not encoded: {error}")))?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StillFormat, decode_still, probe_still};

    /// Frames whose brightness tells their place.
    fn ramp(width: u32, height: u32, frames: u8) -> Vec<u8> {
        let bytes = (width * height * 3) as usize;
        (0..frames)
            .flat_map(|index| vec![index * 2; bytes])
            .collect()
    }

    /// What the middle of each tile shows, row by row.
    fn seen(sheet: &Still, tile: (u32, u32)) -> Vec<u8> {
        let (columns, rows) = (sheet.width / tile.0, sheet.height / tile.1);
        let middles = (0..rows).flat_map(|row| {
            (0..columns).map(move |column| {
                let (x, y) = (column * tile.0 + tile.0 / 2, row * tile.1 + tile.1 / 2);
                sheet.rgb[((y * sheet.width + x) * 3) as usize]
            })
        });
        middles.collect()
    }

    fn check(clip: (u32, u32, u8), tile: (u32, u32), grid: (u32, u32), expected: &[u8]) {
        let (width, height, frames) = clip;
        let jpeg = spritesheet_jpeg(&ramp(width, height, frames), width, height).expect("encodes");
        assert_eq!(
            probe_still(&jpeg).expect("a picture").format,
            StillFormat::Jpeg
        );
        let sheet = decode_still(&jpeg).expect("decodes");
        assert_eq!(
            (sheet.width, sheet.height),
            (tile.0 * grid.0, tile.1 * grid.1),
            "{clip:?}"
        );
        let seen = seen(&sheet, tile);
        let near = |(seen, frame): (&u8, &u8)| seen.abs_diff(frame * 2) <= 2;
        assert_eq!(seen.len(), (grid.0 * grid.1) as usize);
        assert!(seen.iter().zip(expected).all(near), "{clip:?}: {seen:?}");
        assert!(
            seen[expected.len()..].iter().all(|tile| *tile <= 2),
            "{seen:?}"
        );
    }

    #[test]
    fn tiles_are_spread_evenly_and_stand_row_by_row() {
        check((64, 48, 1), (64, 48), (1, 1), &[0]);
        check((64, 48, 3), (64, 48), (3, 1), &[0, 1, 2]);
        let all: Vec<u8> = (0..13).collect();
        check((64, 48, 13), (64, 48), (5, 3), &all);
        let every_fourth: Vec<u8> = (0..25).map(|tile| tile * 4).collect();
        check((64, 48, 100), (64, 48), (5, 5), &every_fourth);
        let rounded: Vec<u8> = (0_u16..25)
            .map(|tile| u8::try_from(tile * 33 / 25).expect("small"))
            .collect();
        check((64, 48, 33), (64, 48), (5, 5), &rounded);
    }

    #[test]
    fn large_frames_become_tiles_of_at_most_160_pixels() {
        check((320, 160, 2), (160, 80), (2, 1), &[0, 1]);
        check((96, 320, 2), (48, 160), (2, 1), &[0, 1]);
    }

    #[test]
    fn wrong_sizes_are_refused() {
        for (bytes, width, height) in [
            (0, 0, 0),
            (0, 2, 2),
            (11, 2, 2),
            (3, 0, 1),
            (3, u32::MAX, u32::MAX),
        ] {
            let refused = spritesheet_jpeg(&vec![0; bytes], width, height);
            assert!(
                matches!(refused, Err(MediaError::Invalid(_))),
                "{refused:?}"
            );
        }
    }
}
