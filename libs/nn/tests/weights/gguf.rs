//! GGUF files: blocks stand for the numbers that the reference says, metadata of every kind is read.

use std::path::{Path, PathBuf};

use kinora_nn::{GgufMetadata, GgufValue, Weights, WeightsError};
use tch::{Device, Kind};

use crate::ALLOCATOR;

/// What `tools/goldens/make_llm_goldens.py` wrote.
fn blocks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/blocks.gguf")
}

fn open(path: &Path) -> Result<Weights, WeightsError> {
    Weights::open_files(&[path.to_owned()], &[], Device::Cpu, Kind::Float)
}

#[test]
fn blocks_stand_for_the_numbers_of_the_reference() {
    let weights = open(&blocks()).unwrap();
    let kinds = [
        "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K",
    ];
    for kind in kinds {
        let at = weights.sub(kind);
        let shape = at.shape("expected").unwrap();
        let found = at.get("stored", &shape).unwrap();
        assert_eq!(found, at.get("expected", &shape).unwrap(), "{kind}");
        assert!(found.abs().max().double_value(&[]) > 0.0, "{kind}");
    }
    weights.finish().unwrap();
}

#[test]
fn blocks_are_read_in_the_compute_type() {
    let files = [blocks()];
    let weights = Weights::open_files(&files, &[], Device::Cpu, Kind::BFloat16).unwrap();
    let found = weights.get("Q4_1.stored", &[3, 512]).unwrap();
    let expected = weights.get("Q4_1.expected", &[3, 512]).unwrap();
    assert_eq!((found.kind(), found), (Kind::BFloat16, expected));
}

#[test]
fn metadata_of_every_kind_is_read() {
    let metadata = GgufMetadata::read(&blocks()).unwrap();
    let value = |kind: &str| metadata.get(&format!("kinds.{kind}")).unwrap().clone();
    let unsigned = [
        ("uint8", 200),
        ("uint16", 60_000),
        ("uint32", 4_000_000_000),
        ("uint64", 1 << 63),
    ];
    for (kind, expected) in unsigned {
        assert_eq!(value(kind), GgufValue::Unsigned(expected));
    }
    let signed = [
        ("int8", -100),
        ("int16", -30_000),
        ("int32", -2_000_000_000),
        ("int64", -(1 << 62)),
    ];
    for (kind, expected) in signed {
        assert_eq!(value(kind), GgufValue::Signed(expected));
        assert_eq!(value(kind).unsigned(), None);
    }
    assert_eq!(value("float32").float(), Some(1.5));
    assert_eq!(value("float64").float(), Some(0.1));
    assert_eq!(value("bool").bool(), Some(true));
    assert_eq!(value("string").text(), Some("tëxt"));
    let texts: Vec<&str> = ["a", "", "c"].to_vec();
    let found = value("texts");
    let found: Vec<&str> = found
        .array()
        .unwrap()
        .iter()
        .filter_map(GgufValue::text)
        .collect();
    assert_eq!(found, texts);
    let numbers = value("numbers");
    assert_eq!(
        numbers.array().unwrap().get(1),
        Some(&GgufValue::Signed(-2))
    );
}

/// A file of this metadata and these tensor descriptions, with some data.
fn file(pairs: &[&[u8]], tensors: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((pairs.len() as u64).to_le_bytes());
    bytes.extend(pairs.concat());
    bytes.extend(tensors.concat());
    bytes.resize(bytes.len().next_multiple_of(32) + 256, 0);
    bytes
}

fn text(value: &str) -> Vec<u8> {
    let mut bytes = (value.len() as u64).to_le_bytes().to_vec();
    bytes.extend(value.as_bytes());
    bytes
}

fn tensor(name: &str, sizes: &[u64], type_id: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend(u32::try_from(sizes.len()).unwrap().to_le_bytes());
    sizes
        .iter()
        .for_each(|size| bytes.extend(size.to_le_bytes()));
    bytes.extend(type_id.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

fn array(key: &str, type_id: u32, count: u64) -> Vec<u8> {
    let mut bytes = text(key);
    bytes.extend(9_u32.to_le_bytes());
    bytes.extend(type_id.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes
}

/// Why a file cannot be opened.
fn refusal(bytes: &[u8]) -> String {
    let file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    match open(file.path()) {
        Err(WeightsError::Corrupt { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_small_file_made_by_hand_is_read() {
    let written = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
    let bytes = file(
        &[],
        &[&tensor("a", &[4, 2], 0, 0), &tensor("b", &[32], 2, 32)],
    );
    std::fs::write(written.path(), bytes).unwrap();
    let weights = open(written.path()).unwrap();
    assert_eq!(weights.shape("a").unwrap(), [2, 4]);
    assert_eq!(weights.get("b", &[32]).unwrap().size(), [32]);
}

#[test]
fn lies_of_a_file_are_told_apart_and_take_no_memory() {
    let huge = 1 << 62;
    let nested = {
        let mut pair = array("deep", 9, 1);
        for _ in 0..6 {
            pair.extend(9_u32.to_le_bytes());
            pair.extend(1_u64.to_le_bytes());
        }
        pair
    };
    let bad_alignment = {
        let mut pair = text("general.alignment");
        pair.extend(4_u32.to_le_bytes());
        pair.extend(24_u32.to_le_bytes());
        pair
    };
    let mut version_1 = file(&[], &[]);
    version_1[4] = 1;
    let mut many = file(&[], &[]);
    many[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases: [(Vec<u8>, &str); 16] = [
        (b"GGML".to_vec(), "does not start"),
        (version_1, "version 1"),
        (many, "tensors, more than fit"),
        (file(&[&array("a", 0, huge)], &[]), "values in an array"),
        (file(&[&array("a", 8, 1 << 20)], &[]), "values in an array"),
        (file(&[&nested], &[]), "nested too deep"),
        (file(&[&array("a", 99, 1)], &[]), "no value is of type 99"),
        (
            file(&[&array("a", 0, 0), &array("a", 0, 0)], &[]),
            "a twice",
        ),
        (file(&[&bad_alignment], &[]), "alignment"),
        (
            file(&[], &[&tensor("t", &[1, 1, 1, 1, 1], 0, 0)]),
            "too many axes",
        ),
        (
            file(&[], &[&tensor("t", &[huge, huge], 0, 0)]),
            "too large a shape",
        ),
        (
            file(&[], &[&tensor("t", &[1 << 40], 0, 0)]),
            "ends after the file",
        ),
        (
            file(&[], &[&tensor("t", &[1], 0, u64::MAX - 31)]),
            "ends after the file",
        ),
        (
            file(&[], &[&tensor("t", &[1], 0, 8)]),
            "does not start where it may",
        ),
        (file(&[], &[&tensor("t", &[33], 2, 0)]), "not whole blocks"),
        (file(&[], &[&tensor("t", &[32], 10, 0)]), "type 10"),
    ];
    for (bytes, expected) in cases {
        let reason = refusal(&bytes);
        assert!(reason.contains(expected), "{reason}, not {expected}");
    }
    let over = [&tensor("t", &[16], 0, 0)[..], &tensor("u", &[16], 0, 32)];
    assert!(refusal(&file(&[], &over)).contains("lies over another"));
    let twice = [&tensor("t", &[8], 0, 0)[..], &tensor("t", &[8], 0, 32)];
    assert!(refusal(&file(&[], &twice)).contains("t twice"));
    let peak = ALLOCATOR.max_allocated();
    assert!(peak < 512 << 20, "{peak} bytes were held");
}
