//! Files made to do harm.

use std::io::{Cursor, Write};

use kinora_nn::WeightsError;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::files::{archive, checkpoint, open, open_bytes, stored, with_header};
use crate::pickles::Pickle;

#[track_caller]
fn refused(bytes: &[u8], ending: &str, expected: &str) {
    match open_bytes(bytes, ending) {
        Err(WeightsError::Corrupt { reason, .. }) => {
            assert!(reason.contains(expected), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn pickle_refused(pickle: Pickle, expected: &str) {
    refused(&checkpoint(&pickle.raw(b".").0, 64), ".pth", expected);
}

#[test]
fn safetensors_headers_that_lie_are_refused() {
    let tensor = |shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let two = |first: &str, second: &str| {
        let one = |name: &str, offsets: &str| {
            format!(r#""{name}":{{"dtype":"F32","shape":[2],"data_offsets":{offsets}}}"#)
        };
        format!("{{{},{}}}", one("a", first), one("b", second))
    };
    for (header, data) in [
        (tensor("[2]", "[0,16]"), 16),
        (tensor("[2]", "[8,0]"), 8),
        (tensor("[2]", "[8,16]"), 16),
        (tensor("[2]", "[0,8]"), 4),
        (tensor("[2]", "[0,8]"), 12),
        (tensor("[4611686018427387904,4]", "[0,8]"), 8),
        (
            tensor("[9223372036854775807,9223372036854775807]", "[0,8]"),
            8,
        ),
        (tensor("[-1]", "[0,4]"), 4),
        (tensor("[2.5]", "[0,8]"), 8),
        (two("[0,8]", "[0,8]"), 8),
        (two("[0,8]", "[4,12]"), 12),
        (two("[0,8]", "[12,20]"), 20),
        ("[".repeat(100_000), 0),
        ("{}".to_owned(), 4),
        (r#"{"a":1}"#.to_owned(), 4),
    ] {
        let short: String = header.chars().take(80).collect();
        let result = open_bytes(&with_header(&header, data), ".safetensors");
        assert!(
            matches!(result, Err(WeightsError::Corrupt { .. })),
            "{short}"
        );
    }
}

#[test]
fn a_header_that_claims_more_than_the_file_is_refused() {
    for claim in [9, 1 << 20, 1 << 40, u64::MAX] {
        let mut file = claim.to_le_bytes().to_vec();
        file.extend(b"{}");
        refused(&file, ".safetensors", "");
    }
}

#[test]
fn pickles_that_would_run_something_are_refused_by_name() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_tensor"),
    ] {
        let pickle = Pickle::new()
            .global(module, name)
            .text("id")
            .raw(&[0x85])
            .raw(b"R");
        pickle_refused(pickle, &format!("{module}.{name}"));
    }
    let pickle = Pickle::new().text("os").text("system").raw(&[0x93]);
    pickle_refused(pickle, "os.system");
}

#[test]
fn instructions_that_weights_do_not_need_are_refused() {
    for instruction in [b'i', b'o', b'P', b'I', 0x82, 0x83, 0x84, 0x92, 0x97, 0xff] {
        let pickle = Pickle::new().raw(&[instruction]).raw(&[b'\n'; 16]);
        pickle_refused(pickle, "instruction");
    }
}

#[test]
fn calls_with_the_wrong_things_are_refused() {
    let rebuild = || Pickle::new().global("torch._utils", "_rebuild_tensor_v2");
    pickle_refused(rebuild().raw(b")R"), "without a storage");
    pickle_refused(rebuild().raw(b"]R"), "no tuple");
    pickle_refused(Pickle::new().text("x").raw(b")R"), "cannot be called");
    pickle_refused(Pickle::new().raw(b")Q"), "no storage");
    pickle_refused(Pickle::new().raw(b")Nb"), "no dictionary");
    let parameter = Pickle::new().global("torch._utils", "_rebuild_parameter");
    pickle_refused(parameter.raw(b")R"), "without a tensor");
}

#[test]
fn broken_stacks_are_refused() {
    for pickle in [
        &b"0"[..],
        b"(t",
        b"t",
        b"u",
        b"}s",
        b"}(Nu",
        b"]a",
        b"a",
        b"h\x05",
        b"2",
        b"((1t",
        b"N(0",
    ] {
        let pickle = Pickle::new().raw(pickle);
        let bytes = checkpoint(&pickle.raw(b".").0, 64);
        let result = open_bytes(&bytes, ".pth");
        assert!(
            matches!(result, Err(WeightsError::Corrupt { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn deep_nesting_and_cycles_end_without_harm() {
    let deep = Pickle::new().raw(b")").raw(&[0x85].repeat(500_000));
    pickle_refused(deep, "no dictionary of tensors");
    let cycle = Pickle::new().raw(b"}q\x00").text("a").raw(b"h\x00s");
    pickle_refused(cycle, "no tensors");
    // Each list holds the one before twice: as a tree it would have 2^4000 leaves.
    let mut bomb = Pickle::new().raw(b"]");
    for _ in 0..4000 {
        bomb = bomb.raw(b"q\x00](h\x00h\x00e");
    }
    pickle_refused(bomb, "no dictionary of tensors");
}

#[test]
fn calls_with_long_tuples_end_at_the_first_one() {
    // One tuple of 200,000 values, for 200,000 calls: copied each time, it would be 40,000,000,000 values.
    let arguments = Pickle::new()
        .raw(b"(")
        .raw(&b"N".repeat(200_000))
        .raw(b"tq\x000");
    let callable = arguments
        .global("torch._utils", "_rebuild_parameter")
        .raw(b"q\x010");
    let calls = callable.raw(&b"h\x01h\x00R0".repeat(200_000));
    pickle_refused(calls, "more than 16 arguments");
}

#[test]
fn one_dictionary_under_many_keys_is_refused_for_what_it_is() {
    let inner = Pickle::new().raw(b"}q\x00(").raw(&b"NN".repeat(100_000));
    let outer = inner.raw(b"u0}(").raw(&b"Nh\x00".repeat(200_000));
    pickle_refused(outer.raw(b"u"), "no tensors");
}

#[test]
fn storages_with_long_names_are_refused() {
    let pickle = Pickle::new()
        .raw(b"(")
        .text("storage")
        .global("torch", "FloatStorage")
        .text(&"0".repeat(300))
        .text("cpu")
        .int(16);
    pickle_refused(pickle.raw(b"tQ"), "too long");
}

#[test]
fn endless_pickles_are_refused() {
    let long = Pickle::new().raw(&b"N0".repeat(600_000));
    pickle_refused(long, "more than 1048576 instructions");
    let mut huge = Pickle::new().0;
    huge.resize((64 << 20) + 1, b'N');
    refused(&checkpoint(&huge, 0), ".pth", "data.pkl has");
}

#[test]
fn tensors_outside_of_their_storage_are_refused() {
    const MOST: i64 = i64::MAX;
    for (length, offset, shape, strides) in [
        (16, 0, &[17][..], &[1][..]),
        (16, 1, &[16], &[1]),
        (16, MOST, &[1], &[1]),
        (16, 0, &[4, 4], &[5, 1]),
        (16, 0, &[2], &[MOST]),
        (16, 0, &[MOST, MOST], &[1, 1]),
        (16, 0, &[1 << 32, 1 << 32], &[0, 0]),
        (16, 0, &[4], &[1, 1]),
        (17, 0, &[17], &[1]),
        (MOST, 0, &[1 << 40], &[1]),
    ] {
        let pickle = Pickle::one_tensor(length, offset, shape, strides);
        refused(&checkpoint(&pickle, 64), ".pth", "tensor a: ");
    }
    for (length, offset, shape, strides) in [
        (-1, 0, &[1][..], &[1][..]),
        (16, -1, &[1], &[1]),
        (16, 0, &[-1], &[1]),
        (16, 0, &[2], &[-1]),
    ] {
        let pickle = Pickle::one_tensor(length, offset, shape, strides);
        let result = open_bytes(&checkpoint(&pickle, 64), ".pth");
        assert!(matches!(result, Err(WeightsError::Corrupt { .. })));
    }
}

#[test]
fn a_tensor_repeated_over_one_number_is_not_larger_than_what_was_asked_for() {
    let pickle = Pickle::one_tensor(16, 0, &[1 << 30, 1 << 30], &[0, 0]);
    let weights = open_bytes(&checkpoint(&pickle, 64), ".pth").unwrap();
    let result = weights.get("a", &[2, 2]);
    assert!(matches!(result, Err(WeightsError::Misshaped { .. })));
}

#[test]
fn archives_that_are_not_what_torch_writes_are_refused() {
    let pickle = Pickle::one_tensor(2, 0, &[2], &[1]);
    refused(
        &archive(&[("x/data.pkl", &pickle)]),
        ".pth",
        "no record data/0",
    );
    refused(&archive(&[("x/other", b"")]), ".pth", "no data.pkl");
    let two = archive(&[("x/data.pkl", &pickle), ("y/data.pkl", &pickle)]);
    refused(&two, ".pth", "no data.pkl of its own");
    refused(b"", ".pth", "no zip archive");
    refused(b"not a zip archive at all", ".pth", "no zip archive");
    refused(b"PK\x03\x04 but no more", ".pth", "");
    refused(b"", ".txt", "ending");
}

/// Replaces the compression method in the local headers and in the directory.
fn with_method(mut bytes: Vec<u8>, method: u8) -> Vec<u8> {
    for at in 0..bytes.len() - 12 {
        match &bytes[at..at + 4] {
            b"PK\x03\x04" => bytes[at + 8] = method,
            b"PK\x01\x02" => bytes[at + 10] = method,
            _ => {}
        }
    }
    bytes
}

#[test]
fn compressed_records_are_refused() {
    let pickle = Pickle::one_tensor(2, 0, &[2], &[1]);
    for method in [8, 12, 99] {
        let bytes = with_method(checkpoint(&pickle, 8), method);
        let result = open_bytes(&bytes, ".pth");
        assert!(
            matches!(result, Err(WeightsError::Corrupt { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn two_records_of_one_name_are_refused() {
    let pickle = Pickle::one_tensor(2, 0, &[2], &[1]);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [
        ("x/data.pkl", &pickle[..]),
        ("x/data/0", &[0; 8]),
        ("x/data/1", &[1; 8]),
    ] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let mut bytes = zip.finish().unwrap().into_inner();
    for at in 0..bytes.len() - 8 {
        if &bytes[at..at + 8] == b"x/data/1" {
            bytes[at + 7] = b'0';
        }
    }
    refused(&bytes, ".pth", "one name");
}

#[test]
fn cut_files_are_refused() {
    let whole = std::fs::read(stored("kinds.pth")).unwrap();
    assert!(open(&stored("kinds.pth")).is_ok());
    for length in (0..whole.len()).step_by(61) {
        let result = open_bytes(&whole[..length], ".pth");
        assert!(
            matches!(result, Err(WeightsError::Corrupt { .. })),
            "{length}"
        );
    }
}
