//! What the mesh adds to a generation: `make bench` prints the table.
//!
//! Jobs of the mesh (`kinora up`, a process of its own) alternate with the same generation inside this
//! process, so that both meet the same machine.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]
#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::time::{Duration, Instant};

use kinora_integration_tests::{OneProcess, model_folder};
use kinora_models::request::Uncontrolled;
use kinora_models::{GenerateRequest, LoadOptions, WanPipeline};
use serde_json::json;

const RUNS: u64 = 11;
const PROMPT: &str = "a blue square moves left on a white background";
const MIB: u64 = 1024 * 1024;

/// What one job took, as its client sees it.
struct Job {
    acknowledged: Duration,
    first_event: Duration,
    finished: Duration,
}

#[tokio::main]
async fn main() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let weights = weights_bytes();
    let at_rest = mesh.program.resident_bytes();
    // As the worker's.
    let options = LoadOptions {
        threads: Some(1),
        ..LoadOptions::default()
    };
    let mut pipeline = WanPipeline::load(&model_folder(), &options).unwrap();
    let (mut jobs, mut alone) = (Vec::new(), Vec::new());
    for seed in 0..=RUNS {
        let job = run_job(&mesh, seed).await;
        let generation = generate(&mut pipeline, seed);
        // The first of each warms up.
        if seed > 0 {
            jobs.push(job);
            alone.push(generation);
        }
    }
    println!("small clip, default steps, {RUNS} jobs alternating with {RUNS} plain generations\n");
    println!("| figure | median | min | max | target |");
    println!("| --- | --- | --- | --- | --- |");
    let column = |pick: fn(&Job) -> Duration| jobs.iter().map(pick).collect::<Vec<_>>();
    row("generation alone", alone.clone(), "<= 3 s");
    row(
        "job, submit to completed event",
        column(|job| job.finished),
        "",
    );
    row(
        "submit acknowledged",
        column(|job| job.acknowledged),
        "<= 20 ms",
    );
    row(
        "first event after the stream is asked for",
        column(|job| job.first_event),
        "<= 100 ms",
    );
    let pairs = jobs.iter().zip(&alone);
    let added = pairs
        .map(|(job, alone)| job.finished.saturating_sub(*alone))
        .collect();
    row("job minus generation", added, "<= 150 ms");
    println!(
        "| `kinora up` at rest, without {} MiB of weights | {} MiB | | | < 400 MB |",
        weights / MIB,
        at_rest.saturating_sub(weights) / MIB
    );
}

fn row(name: &str, mut times: Vec<Duration>, target: &str) {
    times.sort();
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let (min, max) = (ms(times[0]), ms(times[times.len() - 1]));
    println!(
        "| {name} | {} | {min} | {max} | {target} |",
        ms(times[times.len() / 2])
    );
}

async fn run_job(mesh: &OneProcess, seed: u64) -> Job {
    let begun = Instant::now();
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "seed": seed }))
        .await;
    let acknowledged = begun.elapsed();
    let watching = Instant::now();
    let first_event = mesh.api.watch(&id, watching).await;
    Job {
        acknowledged,
        first_event,
        finished: begun.elapsed(),
    }
}

fn generate(pipeline: &mut WanPipeline, seed: u64) -> Duration {
    let request = GenerateRequest::with_defaults(pipeline.card(), PROMPT, seed);
    let begun = Instant::now();
    pipeline.generate(&request, &mut Uncontrolled).unwrap();
    begun.elapsed()
}

fn weights_bytes() -> u64 {
    let parts = ["transformer", "vae", "text_encoder"];
    let files = parts
        .iter()
        .flat_map(|part| std::fs::read_dir(model_folder().join(part)).unwrap());
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}
