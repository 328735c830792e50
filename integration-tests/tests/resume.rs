//! Workers that are cut off: another one goes on from the last checkpoint, to the same bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use kinora_integration_tests::{Program, RandomModel, SeparateProcesses};
use serde_json::{Value, json};

/// A checkpoint after every step, and no patience with running attempts.
const EVERY_STEP: [(&str, &str); 2] = [
    ("KINORA_CHECKPOINT_INTERVAL", "0s"),
    ("KINORA_DRAIN_TIMEOUT", "0s"),
];

fn request() -> Value {
    json!({ "prompt": "a red circle moves right on a black background", "steps": 100, "seed": 11 })
}

/// Submits the request, lets `interrupt` do its worst, and compares with an uninterrupted run.
async fn delivers_the_same_bytes(
    mesh: &SeparateProcesses,
    request: Value,
    interrupt: impl AsyncFnOnce(&str) -> Program,
    expected_attempts: u32,
) -> Program {
    let id = mesh.api.submit(request.clone()).await;
    let worker = interrupt(&id).await;
    let job = mesh.api.wait_status(&id, "completed").await;
    assert_eq!(job["attempt"], expected_attempts, "{job}");
    let plain = mesh.api.submit(request).await;
    let uninterrupted = mesh.api.wait_status(&plain, "completed").await;
    assert_eq!(uninterrupted["attempt"], 1, "{uninterrupted}");
    assert_eq!(job["outputs"]["sha256"], uninterrupted["outputs"]["sha256"]);
    assert_eq!(
        mesh.api.manifest(&id).await,
        mesh.api.manifest(&plain).await
    );
    worker
}

#[tokio::test]
async fn killed_workers_are_gone_on_from_to_the_same_bytes() {
    let mesh = SeparateProcesses::start().await;
    let mut worker = mesh.worker("w0", &EVERY_STEP);
    mesh.api.wait_ready().await;
    let kills = async |id: &str| {
        // As often as a job may lose its worker without getting on.
        for kill in 1..4 {
            mesh.wait_checkpoint(id, kill, kill * 5).await;
            worker.kill();
            worker = mesh.worker(&format!("w{kill}"), &EVERY_STEP);
        }
        worker
    };
    let last = delivers_the_same_bytes(&mesh, request(), kills, 4).await;
    assert!(last.resumed_step().unwrap() > 10, "{}", last.log());
}

#[tokio::test]
async fn killed_workers_of_picture_models_are_gone_on_from_to_the_same_bytes() {
    for name in ["i2v-native", "ti2v-diffusers"] {
        let model = RandomModel::named(name);
        let mesh = SeparateProcesses::start().await;
        let folder = mesh.folder.path().join(name);
        model.write(&folder);
        let mut worker = mesh.worker_with("w0", &folder, &EVERY_STEP);
        mesh.api.wait_ready().await;
        let kills = async |id: &str| {
            for kill in 1..3 {
                mesh.wait_checkpoint(id, kill, kill * 10).await;
                worker.kill();
                worker = mesh.worker_with(&format!("w{kill}"), &folder, &EVERY_STEP);
            }
            worker
        };
        // Long enough for a busy machine to see every attempt before it is over.
        let last = delivers_the_same_bytes(&mesh, model.request(600), kills, 3).await;
        assert!(last.resumed_step().unwrap() > 0, "{}", last.log());
    }
}

#[tokio::test]
async fn drained_workers_hand_over_as_often_as_it_takes() {
    let mesh = SeparateProcesses::start().await;
    let mut worker = mesh.worker("w0", &EVERY_STEP);
    mesh.api.wait_ready().await;
    // More often than a job may fail.
    let drains = async |id: &str| {
        for drain in 1..5 {
            mesh.wait_checkpoint(id, drain, drain * 4).await;
            let next = mesh.worker(&format!("w{drain}"), &EVERY_STEP);
            worker.terminate();
            let drained = std::mem::replace(&mut worker, next).finish().await;
            assert!(drained.status.success(), "{drained:?}");
        }
        worker
    };
    let last = delivers_the_same_bytes(&mesh, request(), drains, 5).await;
    assert!(last.resumed_step().unwrap() >= 16, "{}", last.log());
}

#[tokio::test]
async fn a_corrupted_checkpoint_starts_over_and_the_next_attempt_goes_on_from_there() {
    let mesh = SeparateProcesses::start().await;
    let mut first = mesh.worker("first", &EVERY_STEP);
    mesh.api.wait_ready().await;
    let corrupts = async |id: &str| {
        mesh.wait_checkpoint(id, 1, 15).await;
        first.kill();
        let stored = mesh.checkpoints(id);
        assert!(!stored.is_empty());
        for (_, path) in stored {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
        // It starts over, and is cut off before it has come as far as the first.
        let mut second = mesh.worker("second", &EVERY_STEP);
        mesh.wait_checkpoint(id, 2, 4).await;
        second.kill();
        let log = second.log();
        assert!(log.contains("the job starts over"), "{log}");
        mesh.worker("third", &EVERY_STEP)
    };
    let third = delivers_the_same_bytes(&mesh, request(), corrupts, 3).await;
    let log = third.log();
    assert!(third.resumed_step().unwrap() > 0, "{log}");
    assert!(!log.contains("the job starts over"), "{log}");
}
