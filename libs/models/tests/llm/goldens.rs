//! Tiny random networks against transformers.

use std::collections::HashMap;
use std::path::Path;

use kinora_models::llm::{Decoder, DecoderConfig, KvCache, LanguageModel};
use kinora_nn::Weights;
use kinora_nn::weights::weight_files;
use tch::{Device, Kind, Tensor};

use crate::support;

/// Largest difference of a logit, relative to the largest logit of the reference.
const TOLERANCE: f64 = 1e-4;
/// Room in caches and tables, more than the sequences need.
const CAPACITY: i64 = 40;

struct Golden {
    ids: Vec<i64>,
    /// `[s, vocabulary]`
    logits: Tensor,
}

fn golden(folder: &Path) -> Golden {
    let values: HashMap<String, Tensor> = Tensor::read_safetensors(folder.join("io.safetensors"))
        .unwrap()
        .into_iter()
        .collect();
    Golden {
        ids: Vec::try_from(&values["ids"]).unwrap(),
        logits: values["logits"].shallow_clone(),
    }
}

fn decoder(folder: &Path) -> Decoder {
    tch::set_num_threads(1);
    let config = DecoderConfig::read(&folder.join("config.json")).unwrap();
    let files = weight_files(folder, "model").unwrap();
    let weights = Weights::open_files(&files, &[], Device::Cpu, Kind::Float).unwrap();
    let decoder = Decoder::load(&weights, &config, CAPACITY).unwrap();
    weights.finish().unwrap();
    decoder
}

/// The logits of all tokens, read in pieces of the given lengths.
fn logits(decoder: &Decoder, ids: &[i64], pieces: &[usize]) -> Tensor {
    let config = decoder.config();
    let mut cache = KvCache::new(config, CAPACITY, Device::Cpu, Kind::Float).unwrap();
    let mut rest = ids;
    let mut found = Vec::new();
    for &length in pieces {
        let (piece, after) = rest.split_at(length);
        found.push(decoder.logits(&decoder.forward(piece, &mut cache)));
        rest = after;
    }
    assert!(rest.is_empty(), "the pieces are the whole sequence");
    Tensor::cat(&found, 0)
}

#[track_caller]
fn check(name: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size());
    let largest = expected.abs().max().double_value(&[]);
    let difference = (found - expected).abs().max().double_value(&[]) / largest;
    println!("{name}: {difference:.1e}");
    assert!(difference < TOLERANCE, "{name} differs by {difference:e}");
}

/// All tokens at once, one by one, and in pieces.
fn check_folder(name: &str) {
    let folder = support::goldens(name);
    let golden = golden(&folder);
    let count = golden.ids.len();
    let decoder = decoder(&folder);
    tch::no_grad(|| {
        for pieces in [vec![count], vec![1; count], vec![5, 1, 9, 1, count - 16]] {
            let found = logits(&decoder, &golden.ids, &pieces);
            check(
                &format!("{name} in {} pieces", pieces.len()),
                &found,
                &golden.logits,
            );
        }
    });
}

#[test]
fn llama_with_grouped_queries_computes_the_reference() {
    check_folder("llm-llama");
}

#[test]
fn llama_with_scaled_frequencies_and_a_tied_head_computes_the_reference() {
    check_folder("llm-llama-3");
}

#[test]
fn mistral_with_a_window_shorter_than_the_sequence_computes_the_reference() {
    check_folder("llm-mistral");
}

#[test]
fn a_gguf_file_of_the_same_network_computes_the_same() {
    let folder = support::goldens("llm-mistral");
    let golden = golden(&folder);
    let model = LanguageModel::load(&folder.join("twin.gguf"), &support::options(1)).unwrap();
    let found = tch::no_grad(|| logits(model.decoder(), &golden.ids, &[golden.ids.len()]));
    check("twin", &found, &golden.logits);
}
