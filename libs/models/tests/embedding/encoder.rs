//! The network at a tiny configuration, windows, and what is refused.

use std::collections::HashMap;
use std::fs;

use kinora_models::config::read_checked;
use kinora_models::embedding::config::BertConfig;
use kinora_models::embedding::network::BertEncoder;
use kinora_models::{Precision, SentenceEncoder, SentenceOptions};
use kinora_nn::Weights;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use crate::support::{check_close, difference, encoder, goldens};

/// Fourteen words, one token each: a window of the tiny model.
const LINE: &str = "a red boat leaves the harbour slowly at dawn a red boat leaves the";

fn tiny() -> SentenceEncoder {
    encoder(&goldens().join("sentence"))
}

fn texts() -> Vec<String> {
    let file = fs::read_to_string(goldens().join("sentence/texts.json")).unwrap();
    serde_json::from_str(&file).unwrap()
}

fn values() -> HashMap<String, Tensor> {
    let path = goldens().join("sentence/io.safetensors");
    let tensors = Tensor::read_safetensors(path).unwrap();
    tensors.into_iter().collect()
}

/// A copy of the tiny model with one text replaced in one of its files.
fn altered(file: &str, from: &str, to: &str) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(goldens().join("sentence")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let path = copy.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
    copy
}

#[test]
fn hidden_states_and_masks_agree_with_the_reference() {
    tch::set_num_threads(1);
    let folder = goldens().join("sentence");
    let weights = Weights::open(&folder, "model", Device::Cpu, Kind::Float).unwrap();
    let config: BertConfig = read_checked(&folder.join("config.json")).unwrap();
    let network = BertEncoder::load(&weights, &config).unwrap();
    weights.finish().unwrap();
    let values = values();
    let (mask, expected) = (&values["mask"], &values["hidden"]);
    let found = network.forward(&values["ids"], Some(mask));
    // What stands at padding is nobody's business.
    let difference = (found - expected).abs() * mask.unsqueeze(-1);
    let largest = difference.max().double_value(&[]) / expected.abs().max().double_value(&[]);
    println!("hidden: {largest:.1e}");
    assert!(largest < 1e-4, "{largest:e}");
}

#[test]
fn vectors_of_texts_agree_with_the_reference() {
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let expected = Vec::<Vec<f32>>::try_from(&values()["vectors"]).unwrap();
    let found = tiny().encode(&texts).unwrap();
    for ((text, found), expected) in texts.iter().zip(&found).zip(&expected) {
        check_close(text, found, expected);
    }
}

#[test]
fn a_text_has_the_same_vector_alone_and_among_others() {
    let encoder = tiny();
    // More than run through the network at once.
    let texts: Vec<String> = (0..21).map(|count| "boat play ".repeat(count)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = encoder.encode(&texts).unwrap();
    assert_eq!(together.len(), texts.len());
    for (text, vector) in texts.iter().zip(&together) {
        let alone = encoder.encode(&[text]).unwrap();
        assert!(difference(&alone[0], vector) < 1e-6, "{text}");
        let length: f32 = vector.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    assert!(encoder.encode(&[]).unwrap().is_empty());
}

#[test]
fn a_long_text_becomes_windows_that_overlap() {
    let encoder = tiny();
    assert_eq!((encoder.width(), encoder.window_tokens()), (24, 16));
    let one = encoder.encode_windows(LINE, 4).unwrap();
    assert!(!one.is_cut);
    assert_eq!(one.windows, encoder.encode(&[LINE]).unwrap());
    // Fourteen words, and from the thirteenth on again.
    let two = encoder
        .encode_windows(&format!("{LINE} dawn play"), 4)
        .unwrap();
    assert!(!two.is_cut);
    assert_eq!(two.windows.len(), 2);
    let tail = encoder.encode(&["leaves the dawn play"]).unwrap();
    assert!(difference(&two.windows[0], &one.windows[0]) < 1e-6);
    assert!(difference(&two.windows[1], &tail[0]) < 1e-6);
}

#[test]
fn what_is_beyond_the_last_window_is_not_read_and_said() {
    let encoder = tiny();
    let long = format!("{LINE} {LINE} {LINE}");
    let cut = encoder.encode_windows(&long, 2).unwrap();
    assert!(cut.is_cut);
    assert_eq!(cut.windows.len(), 2);
    let whole = encoder.encode_windows(&long, 9).unwrap();
    assert!(!whole.is_cut);
    assert_eq!(whole.windows.len(), 4);
    // No windows are not offered.
    assert_eq!(encoder.encode_windows(LINE, 0).unwrap().windows.len(), 1);
}

#[test]
fn a_hostile_text_is_cut_before_it_is_read() {
    let encoder = tiny();
    let megabyte = 1 << 20;
    for piece in [" ", "\u{0}", "boat ", "é", "\u{200d}", "x", "😀", "\u{301}"] {
        let text = piece.repeat(megabyte / piece.len());
        let found = encoder.encode_windows(&text, 4).unwrap();
        assert!(found.is_cut, "{piece:?}");
        assert!(found.windows.len() <= 4);
        let numbers = found.windows.iter().flatten();
        assert!(numbers.into_iter().all(|value| value.is_finite()));
    }
    // Spaces hide nothing silently, although the tokenizer makes nothing of them.
    let hidden = format!("{}boat", " ".repeat(megabyte));
    assert!(encoder.encode_windows(&hidden, 4).unwrap().is_cut);
}

#[test]
fn half_precision_stays_near_full_precision() {
    let options = SentenceOptions {
        precision: Precision::Bf16,
        threads: Some(1),
        ..SentenceOptions::default()
    };
    let half = SentenceEncoder::load(&goldens().join("sentence"), &options).unwrap();
    let found = half.encode(&[LINE]).unwrap();
    let difference = difference(&found[0], &tiny().encode(&[LINE]).unwrap()[0]);
    println!("bfloat16: {difference:.1e}");
    assert!(difference > 0.0 && difference < 0.02, "{difference}");
}

#[test]
fn folders_whose_files_do_not_fit_are_refused_by_name() {
    let refused = |file: &str, from: &str, to: &str, reason: &str| {
        let folder = altered(file, from, to);
        let loaded = SentenceEncoder::load(folder.path(), &SentenceOptions::default());
        let error = loaded.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    let config = "config.json";
    refused(config, "_layers\": 3", "_layers\": 2", "encoder.layer.2");
    refused(config, "_layers\": 3", "_layers\": 4", "encoder.layer.3");
    refused(config, "_size\": 40", "_size\": 41", "intermediate.dense");
    refused(config, "\"gelu\"", "\"relu\"", "hidden_act");
    refused("tokenizer.json", "WordPiece", "Wordless", "tokenizer.json");
    refused("sentence_bert_config.json", "16", "1", "max_seq_length");
    let empty = TempDir::new().unwrap();
    let loaded = SentenceEncoder::load(empty.path(), &SentenceOptions::default());
    let error = loaded.unwrap_err().to_string();
    assert!(error.contains("config.json is missing"), "{error}");
}

#[test]
fn words_that_the_network_does_not_know_are_an_error() {
    let folder = altered("tokenizer.json", "\"boat\": 6", "\"boat\": 68");
    let encoder = encoder(folder.path());
    let error = encoder.encode(&["a red boat"]).unwrap_err().to_string();
    assert_eq!(error, "text: unknown token 68");
    encoder.encode(&["a red harbour"]).unwrap();
}
