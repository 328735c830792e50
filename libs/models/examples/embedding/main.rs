//! How long a sentence encoder takes for texts of several lengths:
//! `cargo run --release -p kinora-models --example embedding -- MODEL_FOLDER THREADS [bf16]`.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::path::Path;
use std::time::{Duration, Instant};

use kinora_models::{Precision, SentenceEncoder, SentenceOptions};

const USE: &str = "usage: embedding MODEL_FOLDER THREADS [bf16]";
/// Words of a text; nearly all are one token.
const WORDS: [usize; 5] = [10, 30, 60, 120, 250];
const RUNS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, threads, precision) = match arguments.as_slice() {
        [folder, threads] => (folder, threads, Precision::F32),
        [folder, threads, _] => (folder, threads, Precision::Bf16),
        _ => return Err(USE.into()),
    };
    let options = SentenceOptions {
        precision,
        threads: Some(threads.parse()?),
        ..SentenceOptions::default()
    };
    let encoder = SentenceEncoder::load(Path::new(folder), &options)?;
    println!("| words | p50 | p95 |\n| --- | --- | --- |");
    for words in WORDS {
        let text = "a boat leaves the old harbour at dawn in rain ".repeat(words / 10);
        let times = times(&encoder, &text)?;
        let (half, most) = (times[RUNS / 2], times[RUNS * 95 / 100]);
        println!("| {words} | {half:.1?} | {most:.1?} |");
    }
    Ok(())
}

/// The times of all runs but some first ones, in ascending order.
fn times(
    encoder: &SentenceEncoder,
    text: &str,
) -> Result<Vec<Duration>, kinora_models::GenerateError> {
    for _ in 0..5 {
        encoder.encode(&[text])?;
    }
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        encoder.encode(&[text])?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times)
}
