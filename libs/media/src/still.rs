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
/// How many times as long as the short side the long one may be, not quite: models scale the whole length before they
/// cut out the middle.
const MAX_ASPECT: u32 = 64;
/// Where a JPEG's end mark must be, in bytes from the end: cameras and web sites append a little.
const JPEG_TAIL: usize = 64 << 10;
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
    /// One side is many times the other.
    #[error("the picture is too long: one side must be less than 64 times the other")]
    TooLong,
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
    if width.max(height) / width.min(height) >= MAX_ASPECT {
        return Err(StillError::TooLong);
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
        StillFormat::Jpeg => {
            let tail = &bytes[bytes.len().saturating_sub(JPEG_TAIL)..];
            tail.windows(2).rev().any(|mark| mark == [0xff, 0xd9])
        }
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
mod tests;
