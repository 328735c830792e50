//! ONNX files: the initialisers of good ones, and what is said of bad ones.

use std::path::Path;

use kinora_nn::{WeightsError, onnx_metadata};

use crate::files::{counted, numbers, open, open_bytes, stored};

/// A field of bytes: number, length, content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let [low, high] = [length % 128 + 128, length / 128].map(|it| u8::try_from(it).unwrap());
    [&[number << 3 | 2, low, high], content].concat()
}

/// A file of one tensor with these fields.
fn tensor(fields: &[u8]) -> Vec<u8> {
    field(7, &field(5, fields))
}

/// A tensor `a` of four numbers, with other fields before its data.
fn four(others: &[u8], raw: &[u8]) -> Vec<u8> {
    let name = field(8, b"a");
    tensor(&[&[0x08, 4, 0x10, 1], others, &name, &field(9, raw)].concat())
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    match open_bytes(bytes, ".onnx") {
        Err(WeightsError::Corrupt { reason, .. }) => assert!(reason.contains(expected), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn initialisers_are_read_and_integers_are_refused_by_name() {
    let weights = open(&stored("kinds.onnx")).unwrap();
    assert_eq!(numbers(&weights, "plain", &[2, 3, 4]), counted(24));
    assert_eq!(numbers(&weights, "bf16", &[24]), counted(24));
    assert_eq!(numbers(&weights, "stepped", &[12]), counted(12));
    assert_eq!(numbers(&weights, "scalar", &[]), [0.0]);
    let error = weights.get("integers", &[3]).unwrap_err().to_string();
    assert!(error.contains("integers is stored as I64"), "{error}");
}

#[test]
fn metadata_are_read() {
    let metadata = onnx_metadata(&stored("kinds.onnx")).unwrap();
    assert_eq!(metadata["names"], "{0: 'CAT'}");
    assert_eq!(metadata["imgsz"], "[32, 32]");
    let missing = onnx_metadata(Path::new("/nowhere.onnx"));
    assert!(matches!(missing, Err(WeightsError::MissingFile { .. })));
}

#[test]
fn sizes_may_come_packed_or_one_by_one() {
    let raw = [0; 16];
    let weights = open_bytes(&four(&[], &raw), ".onnx").unwrap();
    assert_eq!(weights.get("a", &[4]).unwrap().size(), [4]);
    let packed = [
        field(1, &[2, 2]),
        vec![0x10, 1],
        field(8, b"a"),
        field(9, &raw),
    ]
    .concat();
    let weights = open_bytes(&tensor(&packed), ".onnx").unwrap();
    assert_eq!(weights.get("a", &[2, 2]).unwrap().size(), [2, 2]);
}

#[test]
fn files_that_lie_are_refused() {
    let raw = [0; 16];
    for (bytes, expected) in [
        (Vec::new(), "no ONNX file"),
        (b"PK\x03\x04".to_vec(), "unknown kind"),
        (four(&[], &raw[..15]), "15 bytes of raw data"),
        (
            four(
                &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
                &raw,
            ),
            "16 bytes of raw data",
        ),
        (
            four(
                &[
                    0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
                ],
                &raw,
            ),
            "negative size",
        ),
        (
            four(
                &[
                    0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
                ],
                &raw,
            ),
            "64 bits",
        ),
        (four(&[0x08, 1].repeat(8), &raw), "more than 8 axes"),
        (four(&[0x70, 1], &raw), "another file"),
        (four(&field(8, &[0xff, 0xfe]), &raw), "no text"),
        (four(&[0x0b], &raw), "unknown kind"),
        ([four(&[], &raw), four(&[], &raw)].concat(), "twice"),
        (vec![0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f], "within a field"),
        (vec![0x3a, 0xff], "within a number"),
    ] {
        refused(&bytes, expected);
    }
}
