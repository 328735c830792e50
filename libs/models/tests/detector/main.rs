//! The detector with NudeNet's weights: against onnxruntime, with damaged files, and how fast it is.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use kinora_models::detector::{Detection, Detector};
use kinora_models::{LoadError, Picture};
use tch::{Kind, Tensor};

/// Largest difference of a box accepted, in pixels of the network's 320.
const BOX_PIXELS: f64 = 1e-2;
/// Largest difference of a score accepted.
const SCORE: f64 = 1e-4;
/// Of the network's output, the goldens hold every seventh box.
const EVERY: i64 = 7;

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no config; the test run names its files here"
)]
fn weights() -> PathBuf {
    let path = std::env::var_os("KINORA_NUDENET");
    path.expect("KINORA_NUDENET is set by `eval \"$(scripts/env)\"`, and by `make test`")
        .into()
}

fn detector() -> Detector {
    // The tests run side by side already.
    tch::set_num_threads(1);
    Detector::load(&weights()).unwrap()
}

fn goldens() -> HashMap<String, Tensor> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/detector");
    let values = Tensor::read_safetensors(folder.join("io.safetensors")).unwrap();
    values.into_iter().collect()
}

fn picture(pixels: &Tensor) -> Picture {
    let (height, width, _) = pixels.size3().unwrap();
    Picture {
        width: u32::try_from(width).unwrap(),
        height: u32::try_from(height).unwrap(),
        rgb: Vec::<u8>::try_from(pixels.flatten(0, -1)).unwrap(),
    }
}

fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    (found - expected).abs().max().double_value(&[])
}

fn rows(found: &[Detection]) -> Tensor {
    let row = |it: &Detection| {
        let [left, top, width, height] = it.rectangle;
        let class = f32::from(u8::try_from(it.class).unwrap());
        [class, it.score, left, top, width, height]
    };
    let rows: Vec<f32> = found.iter().flat_map(row).collect();
    Tensor::from_slice(&rows).view([-1, 6])
}

#[test]
fn every_picture_is_seen_as_onnxruntime_sees_it() {
    let (detector, goldens) = (detector(), goldens());
    let mut pictures = 0;
    for (name, pixels) in goldens.iter().filter(|(name, _)| name.ends_with(".pixels")) {
        let name = name.trim_end_matches(".pixels");
        let picture = picture(pixels);
        let found = detector.predict(&picture).unwrap().slice(1, 0, None, EVERY);
        let expected = &goldens[&format!("{name}.output")];
        let classes = found.size()[0] - 4;
        let boxes = difference(&found.narrow(0, 0, 4), &expected.narrow(0, 0, 4));
        let scores = difference(
            &found.narrow(0, 4, classes),
            &expected.narrow(0, 4, classes),
        );
        assert!(
            boxes < BOX_PIXELS && scores < SCORE,
            "{name}: {boxes:e} px, {scores:e}"
        );

        let found = rows(&detector.detect(&picture).unwrap());
        let expected = &goldens[&format!("{name}.found")];
        assert_eq!(found.size(), expected.size(), "{name}");
        if expected.numel() > 0 {
            let largest = difference(&found, expected);
            assert!(largest < BOX_PIXELS, "{name}: {largest:e}");
        }
        pictures += 1;
    }
    assert_eq!(pictures, 6);
}

#[test]
fn a_drawn_face_is_a_face_and_a_pattern_is_nothing() {
    let (detector, goldens) = (detector(), goldens());
    let seen = |name: &str| {
        let found = detector.detect(&picture(&goldens[name])).unwrap();
        let label = |it: Detection| detector.labels()[it.class].clone();
        found.into_iter().map(label).collect::<Vec<_>>()
    };
    assert_eq!(seen("face.pixels"), ["FACE_FEMALE"]);
    assert_eq!(seen("faces.pixels"), ["FACE_FEMALE", "FACE_FEMALE"]);
    assert!(seen("pattern.pixels").is_empty() && seen("black.pixels").is_empty());
}

#[test]
fn a_file_says_what_it_is() {
    let detector = detector();
    assert_eq!(detector.labels().len(), 18);
    assert_eq!(detector.labels()[4], "FEMALE_GENITALIA_EXPOSED");
    assert_eq!(detector.sha256().len(), 64);
}

#[test]
fn pictures_without_sense_are_refused() {
    let picture = Picture {
        width: 4,
        height: 4,
        rgb: vec![0; 47],
    };
    let error = detector().detect(&picture).unwrap_err().to_string();
    assert!(error.contains("47 bytes"), "{error}");
}

fn load(bytes: &[u8]) -> Result<Detector, LoadError> {
    let file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Detector::load(file.path())
}

#[test]
fn files_that_are_cut_off_or_of_another_kind_are_refused() {
    let bytes = std::fs::read(weights()).unwrap();
    for length in [0, 1, 100, 40_000, bytes.len() / 2, bytes.len() - 1] {
        assert!(load(&bytes[..length]).is_err(), "{length}");
    }
    assert!(load(&[0xff; 4096]).is_err());
    assert!(load(b"PK\x03\x04 a zip archive").is_err());
    let missing = Detector::load(Path::new("/nowhere/detector.onnx"));
    assert!(matches!(missing, Err(LoadError::Missing { .. })));
}

#[test]
fn a_tensor_that_is_missing_or_misshaped_is_named() {
    let bytes = std::fs::read(weights()).unwrap();
    let renamed = replaced(
        &bytes,
        b"model.9.cv2.conv.weight",
        b"model.9.cv2.conv.weighs",
    );
    let error = load(&renamed).unwrap_err().to_string();
    assert!(
        error.contains("model.9.cv2.conv.weight is missing"),
        "{error}"
    );
    let fewer = replaced(
        &bytes,
        b", 17: 'BUTTOCKS_COVERED'}",
        b"}                        ",
    );
    let error = load(&fewer).unwrap_err().to_string();
    assert!(error.contains("model.22.cv3.0.2.weight"), "{error}");
}

/// Every occurrence of a text replaced by another of the same length.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes.to_vec();
    let starts: Vec<usize> = (0..=bytes.len() - old.len())
        .filter(|&start| bytes[start..].starts_with(old))
        .collect();
    assert!(!starts.is_empty());
    for start in starts {
        bytes[start..start + new.len()].copy_from_slice(new);
    }
    bytes
}

#[test]
fn weights_that_are_no_numbers_end_in_an_error_and_not_in_a_verdict() {
    // The first weights of the first layer, wherever they are: all ones are not a number.
    let mut bytes = std::fs::read(weights()).unwrap();
    let name = b"model.0.conv.weight";
    let is_name =
        |start: &usize| bytes[*start..].starts_with(name) && bytes[start + name.len()] == 0x4a;
    let start = (0..bytes.len() - 64).find(is_name).unwrap() + name.len();
    // Behind the name: the tag of `raw_data` and two bytes of its length.
    bytes[start + 3..start + 15].fill(0xff);
    let pixels = Tensor::full([32, 32, 3], 200, (Kind::Uint8, tch::Device::Cpu));
    let error = load(&bytes).unwrap().detect(&picture(&pixels)).unwrap_err();
    assert!(error.to_string().contains("not finite"), "{error}");
}
