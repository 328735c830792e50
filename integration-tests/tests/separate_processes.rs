//! Faults of the services as separate processes on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use kinora_integration_tests::{SeparateProcesses, text};
use serde_json::json;
use sha2::{Digest, Sha256};

const PROMPT: &str = "a blue square moves left on a white background";

/// Objects of a job in the store's folder, without the store's own bookkeeping.
fn videos_of(mesh: &SeparateProcesses, id: &str) -> Vec<PathBuf> {
    let leases = std::fs::read_dir(mesh.objects_of(id));
    let leases = leases.into_iter().flatten().flatten();
    leases
        .map(|lease| lease.path().join("video.mp4"))
        .filter(|path| path.is_file())
        .collect()
}

#[tokio::test]
async fn a_killed_worker_costs_an_attempt_and_nothing_else() {
    let mesh = SeparateProcesses::start().await;
    let mut first = mesh.worker("first", &[]);
    mesh.api.wait_ready().await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 100, "seed": 5 }))
        .await;
    mesh.api.wait_step(&id, 3).await;
    first.kill();
    let _second = mesh.worker("second", &[]);
    let job = mesh.api.wait_status(&id, "completed").await;
    assert_eq!(job["attempt"], 2, "{job}");
    let videos = videos_of(&mesh, &id);
    assert_eq!(videos.len(), 1, "one set of outputs: {videos:?}");
    let clip = mesh.api.get(&format!("/v1/videos/{id}/content")).await;
    assert_eq!(
        hex::encode(Sha256::digest(&clip.body)),
        job["outputs"]["sha256"].as_str().unwrap()
    );
}

#[tokio::test]
async fn a_restarted_scheduler_interrupts_no_attempt() {
    let mut mesh = SeparateProcesses::start().await;
    let _worker = mesh.worker("only", &[]);
    mesh.api.wait_ready().await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 100 }))
        .await;
    mesh.api.wait_step(&id, 3).await;
    mesh.restart_scheduler();
    let job = mesh.api.wait_status(&id, "completed").await;
    assert_eq!(job["attempt"], 1, "the worker kept its lease: {job}");
}

#[tokio::test]
async fn a_killed_encoder_is_one_failed_attempt_and_the_worker_lives() {
    let mesh = SeparateProcesses::start().await;
    let wrapper = dying_encoder(mesh.folder.path());
    let mut worker = mesh.worker("only", &[("KINORA_FFMPEG", text(&wrapper))]);
    mesh.api.wait_ready().await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 2 }))
        .await;
    let job = mesh.api.wait_status(&id, "completed").await;
    assert_eq!(job["attempt"], 2, "{job}");
    assert!(worker.is_running());
}

/// An ffmpeg that kills itself the first time and works from then on.
fn dying_encoder(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("dying-ffmpeg");
    let real = kinora_testkit::env::ffmpeg();
    let mark = folder.join("died-once");
    let (mark, real) = (text(&mark), text(&real));
    let script = format!(
        "#!/bin/sh\nif [ ! -e '{mark}' ]; then : > '{mark}'; kill -9 $$; fi\nexec '{real}' \"$@\"\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_store_that_is_away_at_upload_fails_the_attempt_and_the_next_one_delivers() {
    let mut mesh = SeparateProcesses::start().await;
    let mut worker = mesh.worker("only", &[]);
    mesh.api.wait_ready().await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 100 }))
        .await;
    mesh.api.wait_step(&id, 1).await;
    mesh.store.cancel();
    let is_queued_again = |job: &serde_json::Value| job["error"]["code"] == "STORAGE_UNAVAILABLE";
    mesh.api
        .wait_job(&id, "the attempt has failed", is_queued_again)
        .await;
    mesh.restart_store().await;
    mesh.api.wait_status(&id, "completed").await;
    assert_eq!(videos_of(&mesh, &id).len(), 1);
    assert!(worker.is_running());
}
