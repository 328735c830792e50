//! Workers that are cut off: another one goes on from the last checkpoint, to the same bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use kinora_integration_tests::{Program, SeparateProcesses};
use serde_json::{Value, json};

/// A checkpoint after every step, and no patience with running attempts.
const EVERY_STEP: [(&str, &str); 2] = [
    ("KINORA_CHECKPOINT_INTERVAL", "0s"),
    ("KINORA_DRAIN_TIMEOUT", "0s"),
];

const LIMIT: Duration = Duration::from_secs(60);

fn request() -> Value {
    json!({ "prompt": "a red circle moves right on a black background", "steps": 100, "seed": 11 })
}

/// Waits until an attempt is denoising and has stored a checkpoint of at least `step`.
async fn wait_checkpoint(mesh: &SeparateProcesses, id: &str, attempt: u32, step: u32) {
    let is_going = |job: &Value| {
        let progress = &job["progress"];
        job["attempt"] == attempt && job["state"] == "running" && progress["stage"] == "denoising"
    };
    mesh.api
        .wait_job(id, "the attempt is denoising", is_going)
        .await;
    let own = format!("{attempt}-");
    kinora_testkit::wait::until("a checkpoint is stored", LIMIT, || {
        let stored = checkpoints(mesh, id);
        let of_it = stored.iter().filter(|(_, path)| {
            let name = path.file_name().and_then(std::ffi::OsStr::to_str);
            name.is_some_and(|name| name.starts_with(&own))
        });
        let newest = of_it.map(|(step, _)| *step).max();
        std::future::ready(newest.filter(|newest| *newest >= step).ok_or(newest))
    })
    .await;
}

/// Stored checkpoints of a job, with their steps.
fn checkpoints(mesh: &SeparateProcesses, id: &str) -> Vec<(u32, PathBuf)> {
    let folder = std::fs::read_dir(mesh.objects_of(id).join("checkpoints"));
    let files = folder
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| file.path());
    files
        .filter_map(|path| Some((step_of(&path)?, path)))
        .collect()
}

/// The step in a name like `1-17.safetensors`.
fn step_of(path: &std::path::Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?.strip_suffix(".safetensors")?;
    name.split_once('-')?.1.parse().ok()
}

/// The step that a worker went on from, by its log.
fn resumed_step(worker: &Program) -> Option<u32> {
    let log = worker.log();
    let line = log.lines().find(|line| line.contains("clip delivered"))?;
    let (_, rest) = line.split_once("resumed_step")?;
    let digits: String = rest
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

async fn manifest(mesh: &SeparateProcesses, id: &str) -> Value {
    mesh.api
        .get(&format!("/v1/videos/{id}/manifest"))
        .await
        .json()
}

/// Submits the request, lets `interrupt` do its worst, and compares with an uninterrupted run.
async fn delivers_the_same_bytes(
    mesh: &SeparateProcesses,
    interrupt: impl AsyncFnOnce(&str) -> Program,
    expected_attempts: u32,
) -> Program {
    let id = mesh.api.submit(request()).await;
    let worker = interrupt(&id).await;
    let job = mesh.api.wait_state(&id, "completed").await;
    assert_eq!(job["attempt"], expected_attempts, "{job}");
    let plain = mesh.api.submit(request()).await;
    let uninterrupted = mesh.api.wait_state(&plain, "completed").await;
    assert_eq!(uninterrupted["attempt"], 1, "{uninterrupted}");
    assert_eq!(job["outputs"]["sha256"], uninterrupted["outputs"]["sha256"]);
    assert_eq!(manifest(mesh, &id).await, manifest(mesh, &plain).await);
    worker
}

#[tokio::test]
async fn killed_workers_are_gone_on_from_to_the_same_bytes() {
    // A job that loses its worker three times has failed, unless told otherwise.
    let patient = [("KINORA_SCHEDULER_MAX_ATTEMPTS", "5")];
    let mesh = SeparateProcesses::start_with(&patient).await;
    let mut worker = mesh.worker("w0", &EVERY_STEP);
    mesh.api.wait_ready().await;
    let kills = async |id: &str| {
        for kill in 1..4 {
            wait_checkpoint(&mesh, id, kill, kill * 5).await;
            worker.kill();
            worker = mesh.worker(&format!("w{kill}"), &EVERY_STEP);
        }
        worker
    };
    let last = delivers_the_same_bytes(&mesh, kills, 4).await;
    assert!(resumed_step(&last).unwrap() > 10, "{}", last.log());
}

#[tokio::test]
async fn drained_workers_hand_over_as_often_as_it_takes() {
    let mesh = SeparateProcesses::start().await;
    let mut worker = mesh.worker("w0", &EVERY_STEP);
    mesh.api.wait_ready().await;
    // More often than a job may fail.
    let drains = async |id: &str| {
        for drain in 1..5 {
            wait_checkpoint(&mesh, id, drain, drain * 4).await;
            let next = mesh.worker(&format!("w{drain}"), &EVERY_STEP);
            worker.terminate();
            let drained = std::mem::replace(&mut worker, next).finish().await;
            assert!(drained.status.success(), "{drained:?}");
        }
        worker
    };
    let last = delivers_the_same_bytes(&mesh, drains, 5).await;
    assert!(resumed_step(&last).unwrap() >= 16, "{}", last.log());
}

#[tokio::test]
async fn a_corrupted_checkpoint_starts_over_to_the_same_bytes() {
    let mesh = SeparateProcesses::start().await;
    let mut first = mesh.worker("first", &EVERY_STEP);
    mesh.api.wait_ready().await;
    let corrupts = async |id: &str| {
        wait_checkpoint(&mesh, id, 1, 5).await;
        first.kill();
        let stored = checkpoints(&mesh, id);
        assert!(!stored.is_empty());
        for (_, path) in stored {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
        mesh.worker("second", &EVERY_STEP)
    };
    let second = delivers_the_same_bytes(&mesh, corrupts, 2).await;
    let log = second.log();
    assert_eq!(resumed_step(&second), Some(0), "{log}");
    assert!(log.contains("the job starts over"), "{log}");
}
