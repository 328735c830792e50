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
        b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>",
        b"<?xml version=\"1.0\"?><!DOCTYPE svg [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><svg>&a;</svg>",
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

/// Something else may stand behind a picture, as in an archive that is one, too. It is never looked at, and nobody gets the
/// file back under another type than that of the picture.
#[test]
fn what_is_a_picture_and_something_else_is_the_picture() {
    for (format, expected) in FORMATS {
        let picture = encoded(format, 12, 7);
        let alone = decode_still(&picture).expect("decodes");
        for other in [&b"<script>alert(1)</script>"[..], b"PK\x03\x04", b"GIF89a"] {
            let behind = [&picture[..], other].concat();
            let info = probe_still(&behind).expect("a picture");
            assert_eq!((info.format, info.width, info.height), (expected, 12, 7));
            assert!(decode_still(&behind).expect("decodes") == alone);
            let before = [other, &picture[..]].concat();
            assert!(matches!(
                probe_still(&before),
                Err(StillError::NotReadable(_))
            ));
        }
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
fn a_side_is_less_than_64_times_the_other() {
    for (format, _) in FORMATS {
        for (width, height) in [(64, 1), (1, 64), (128, 2), (2, 130)] {
            let bytes = encoded(format, width, height);
            assert_eq!(probe_still(&bytes), Err(StillError::TooLong));
            assert_eq!(decode_still(&bytes).err(), Some(StillError::TooLong));
        }
        for (width, height) in [(63, 1), (2, 127)] {
            assert!(probe_still(&encoded(format, width, height)).is_ok());
        }
    }
}

#[test]
fn a_jpegs_end_mark_is_looked_for_near_the_end() {
    let mut bytes = encoded(ImageFormat::Jpeg, 12, 7);
    bytes.resize(bytes.len() + JPEG_TAIL - 2, 0);
    assert!(probe_still(&bytes).is_ok(), "something was appended");
    bytes.push(0);
    assert!(matches!(
        probe_still(&bytes),
        Err(StillError::NotReadable(_))
    ));
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
