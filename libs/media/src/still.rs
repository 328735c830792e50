//! Pictures that people send: told apart by their headers, decoded within limits; and written.

mod write;

use std::io::Cursor;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

pub use write::encode_still;

/// The largest file, in bytes.
pub const MAX_STILL_BYTES: usize = 16 << 20;
/// The longest side, in pixels.
const MAX_SIDE: u32 = 8192;
/// The largest area, in pixels.
const MAX_PIXELS: u64 = 40_000_000;
/// What a decoder may allocate: the largest area in 16-bit RGBA, and room to work.
const MAX_DECODER_BYTES: u64 = MAX_PIXELS * 8 + (64 << 20);

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StillFormat {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    WebP,
}

impl StillFormat {
    /// The usual end of a file name.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
        }
    }

    /// The format that a file with this end of its name has, in whatever case.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::WebP),
            _ => None,
        }
    }

    /// The media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        match image::guess_format(bytes).ok()? {
            ImageFormat::Png => Some(Self::Png),
            ImageFormat::Jpeg => Some(Self::Jpeg),
            ImageFormat::WebP => Some(Self::WebP),
            _ => None,
        }
    }
}

/// What the header of a picture says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillInfo {
    /// The format, told from the bytes.
    pub format: StillFormat,
    /// Pixels, the way up that the file asks for.
    pub width: u32,
    /// Pixels, the way up that the file asks for.
    pub height: u32,
}

/// A decoded picture: rows of RGB bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Still {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

/// A picture that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StillError {
    /// Too many bytes or pixels.
    #[error("the picture is too large: at most 16 MiB, 8192 pixels a side and 40 megapixels")]
    TooLarge,
    /// Not a picture of a known format, or not a whole one.
    #[error("the picture cannot be read as PNG, JPEG or WebP: {0}")]
    NotReadable(String),
}

/// Reads a picture's header and checks that the file is whole; decodes no pixels.
///
/// # Errors
/// [`StillError`].
pub fn probe_still(bytes: &[u8]) -> Result<StillInfo, StillError> {
    let (format, decoder, orientation) = open(bytes)?;
    if !is_whole(bytes, format) {
        return Err(StillError::NotReadable("the file is cut off".to_owned()));
    }
    let (width, height) = decoder.dimensions();
    let (width, height) = if is_on_its_side(orientation) {
        (height, width)
    } else {
        (width, height)
    };
    Ok(StillInfo {
        format,
        width,
        height,
    })
}

/// Decodes a picture, the way up that the file asks for. Transparency is dropped.
///
/// # Errors
/// [`StillError`].
pub fn decode_still(bytes: &[u8]) -> Result<Still, StillError> {
    let (_, decoder, orientation) = open(bytes)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(still_error)?;
    picture.apply_orientation(orientation);
    let picture = picture.into_rgb8();
    Ok(Still {
        width: picture.width(),
        height: picture.height(),
        rgb: picture.into_raw(),
    })
}

type Opened<'a> = (StillFormat, Box<dyn ImageDecoder + 'a>, Orientation);

/// Reads the header, within all limits.
fn open(bytes: &[u8]) -> Result<Opened<'_>, StillError> {
    if bytes.len() > MAX_STILL_BYTES {
        return Err(StillError::TooLarge);
    }
    let Some(format) = StillFormat::of(bytes) else {
        return Err(StillError::NotReadable("it is none".to_owned()));
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| StillError::NotReadable(error.to_string()))?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(still_error)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(StillError::TooLarge);
    }
    if pixels == 0 {
        return Err(StillError::NotReadable("it has no pixels".to_owned()));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((format, Box::new(decoder), orientation))
}

const fn is_on_its_side(orientation: Orientation) -> bool {
    match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => true,
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => false,
    }
}

fn still_error(error: ImageError) -> StillError {
    match error {
        ImageError::Limits(_) => StillError::TooLarge,
        other => StillError::NotReadable(other.to_string()),
    }
}

/// Whether the file goes on to its end mark.
fn is_whole(bytes: &[u8], format: StillFormat) -> bool {
    match format {
        StillFormat::Png => has_png_end(bytes),
        StillFormat::Jpeg => bytes.windows(2).rev().any(|mark| mark == [0xff, 0xd9]),
        StillFormat::WebP => bytes
            .get(4..8)
            .and_then(|size| size.try_into().ok())
            .is_some_and(|size| u64::from(u32::from_le_bytes(size)) + 8 <= bytes.len() as u64),
    }
}

/// Walks the chunks of a PNG to its last one.
fn has_png_end(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u64::from(u32::from_be_bytes(*length));
        // Name, data and checksum.
        let Some(end) = usize::try_from(length + 8)
            .ok()
            .filter(|end| *end <= after.len())
        else {
            return false;
        };
        if after.starts_with(b"IEND") {
            return true;
        }
        rest = &after[end..];
    }
    false
}

#[cfg(test)]
mod tests {
    use image::{ImageEncoder, RgbImage};

    use super::*;

    const FORMATS: [(ImageFormat, StillFormat); 3] = [
        (ImageFormat::Png, StillFormat::Png),
        (ImageFormat::Jpeg, StillFormat::Jpeg),
        (ImageFormat::WebP, StillFormat::WebP),
    ];

    fn encoded(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = RgbImage::from_pixel(width, height, image::Rgb([200, 30, 90]));
        picture.write_to(&mut bytes, format).expect("encodes");
        bytes.into_inner()
    }

    #[test]
    fn every_format_is_told_by_its_bytes_and_decoded() {
        for (format, expected) in FORMATS {
            let bytes = encoded(format, 12, 7);
            let info = probe_still(&bytes).expect("a picture");
            assert_eq!((info.format, info.width, info.height), (expected, 12, 7));
            let still = decode_still(&bytes).expect("decodes");
            assert_eq!((still.width, still.height, still.rgb.len()), (12, 7, 252));
            let close = |(value, expected): (&u8, u8)| value.abs_diff(expected) < 8;
            assert!(still.rgb[..3].iter().zip([200, 30, 90]).all(close));
        }
    }

    #[test]
    fn a_picture_that_is_cut_off_is_refused_at_every_length() {
        for (format, _) in FORMATS {
            let bytes = encoded(format, 12, 7);
            for length in 0..bytes.len() {
                let cut = probe_still(&bytes[..length]);
                assert!(
                    matches!(cut, Err(StillError::NotReadable(_))),
                    "{format:?} {length}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        for bytes in [
            &b""[..],
            b"hello",
            b"GIF89a\x01\0\x01\0",
            b"%PDF-1.7",
            &[0; 100],
        ] {
            let refused = probe_still(bytes);
            assert!(
                matches!(refused, Err(StillError::NotReadable(_))),
                "{refused:?}"
            );
            assert!(matches!(
                decode_still(bytes),
                Err(StillError::NotReadable(_))
            ));
        }
    }

    /// A PNG whose header claims a size and whose data is a few bytes.
    fn bomb(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = encoded(ImageFormat::Png, 1, 1);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
            })
        })
    }

    #[test]
    fn headers_beyond_the_limits_are_refused_before_anything_is_decoded() {
        for (width, height) in [(60_000, 60_000), (8193, 1), (1, 8193), (8192, 8192)] {
            let bytes = bomb(width, height);
            assert_eq!(
                probe_still(&bytes),
                Err(StillError::TooLarge),
                "{width}x{height}"
            );
            assert_eq!(decode_still(&bytes).err(), Some(StillError::TooLarge));
        }
        assert!(probe_still(&bomb(6000, 6000)).is_ok());
        assert!(
            decode_still(&bomb(6000, 6000)).is_err(),
            "the pixels are missing"
        );
        let long = vec![0; MAX_STILL_BYTES + 1];
        assert_eq!(probe_still(&long), Err(StillError::TooLarge));
    }

    #[test]
    fn a_picture_on_its_side_is_set_upright() {
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        // One Exif entry: orientation 6, a quarter turn.
        let exif = *b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        encoder.set_exif_metadata(exif.to_vec()).expect("takes it");
        let picture = RgbImage::from_pixel(12, 7, image::Rgb([1, 2, 3]));
        let colour = image::ExtendedColorType::Rgb8;
        encoder
            .write_image(&picture, 12, 7, colour)
            .expect("encodes");
        let info = probe_still(bytes.get_ref()).expect("a picture");
        assert_eq!((info.width, info.height), (7, 12));
        let still = decode_still(bytes.get_ref()).expect("decodes");
        assert_eq!((still.width, still.height), (7, 12));
    }
}
