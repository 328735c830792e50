//! The `kinora` command as a person uses it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use kinora_integration_tests::{Finished, OneProcess, Program, repository, text};
use kinora_media::decode_mp4;
use kinora_testkit::env::ffmpeg;

async fn kinora(data: &Path, arguments: &[&str]) -> Finished {
    let models = repository().join("models");
    let environment = [
        ("KINORA_DATA_DIR", text(data)),
        ("KINORA_MODELS", text(&models)),
    ];
    Program::start_with("kinora", &data.join("command"), arguments, &environment)
        .finish()
        .await
}

#[tokio::test]
async fn generate_without_a_mesh_starts_one_and_writes_the_clip() {
    let data = tempfile::tempdir().unwrap();
    let out = data.path().join("a clip.mp4");
    let prompt = "a yellow triangle falls on a black background";
    let ended = kinora(
        data.path(),
        &["generate", prompt, "-o", text(&out), "--seed", "4"],
    )
    .await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.output.contains("a clip.mp4"), "{}", ended.output);
    let frames = decode_mp4(&ffmpeg(), &out).unwrap();
    assert_eq!((frames.width, frames.height, frames.frames), (64, 64, 17));
    let leftovers = std::fs::read_dir(data.path()).unwrap().flatten();
    let mp4s = leftovers.filter(|entry| entry.file_name().to_string_lossy().contains("mp4"));
    assert_eq!(mp4s.count(), 1, "no half-written file is left");
}

#[tokio::test]
async fn generate_uses_the_mesh_that_is_running_and_jobs_lists_it() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let out = data.path().join("clip.mp4");
    let arguments = ["generate", "a red star", "-o", text(&out), "--steps", "2"];
    let ended = kinora(data.path(), &arguments).await;
    assert!(ended.status.success(), "{ended:?}");
    let jobs = kinora(data.path(), &["jobs", "--json"]).await;
    assert!(jobs.status.success(), "{jobs:?}");
    let listed = mesh.api.get("/v1/videos").await.json();
    let id = listed["data"][0]["id"].as_str().unwrap();
    assert!(jobs.output.contains(id), "{}", jobs.output);
}

#[tokio::test]
async fn bad_requests_end_with_status_two_and_say_what_would_do() {
    let data = tempfile::tempdir().unwrap();
    let _mesh = OneProcess::start(data.path()).await;
    let out = data.path().join("clip.mp4");
    let arguments = ["generate", "a red star", "-o", text(&out), "--frames", "16"];
    let ended = kinora(data.path(), &arguments).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.log.contains("17"), "names the nearest: {}", ended.log);
    assert!(!out.exists());
    let unwritable = data.path().join("missing/folder/clip.mp4");
    let ended = kinora(
        data.path(),
        &["generate", "a red star", "-o", text(&unwritable)],
    )
    .await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

#[tokio::test]
async fn an_interrupted_generate_cancels_its_job() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let out = data.path().join("clip.mp4");
    let arguments = ["generate", "a red star", "-o", text(&out), "--steps", "100"];
    let models = repository().join("models");
    let environment = [
        ("KINORA_DATA_DIR", text(data.path())),
        ("KINORA_MODELS", text(&models)),
    ];
    let folder = data.path().join("command");
    let program = Program::start_with("kinora", &folder, &arguments, &environment);
    let limit = std::time::Duration::from_secs(60);
    let id = kinora_testkit::wait::until("the job is there", limit, || async {
        let jobs = mesh.api.get("/v1/videos").await.json();
        jobs["data"][0]["id"]
            .as_str()
            .map(str::to_owned)
            .ok_or(jobs.to_string())
    })
    .await;
    let is_running = |job: &serde_json::Value| job["status"] == "in_progress";
    mesh.api.wait_job(&id, "the job runs", is_running).await;
    program.interrupt();
    let ended = program.finish().await;
    assert!(!ended.status.success(), "{ended:?}");
    mesh.api.wait_status(&id, "cancelled").await;
    assert!(!out.exists());
}

#[tokio::test]
async fn a_mesh_that_cannot_be_reached_is_status_three() {
    let data = tempfile::tempdir().unwrap();
    let server = format!("http://127.0.0.1:{}", kinora_testkit::net::free_port());
    let out = data.path().join("clip.mp4");
    let arguments = [
        "generate",
        "a red star",
        "-o",
        text(&out),
        "--server",
        &server,
        "--api-key",
        "kk_x",
    ];
    let ended = kinora(data.path(), &arguments).await;
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
}
