//! `kinora up`: the whole mesh in one process, driven over REST.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use kinora_integration_tests::{OneProcess, text};
use kinora_media::decode_mp4;
use kinora_testkit::env::ffmpeg;
use kinora_testkit::world::{Background, Colour, Motion, Shape, check};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PROMPT: &str = "a blue square moves left on a white background";

#[tokio::test]
async fn a_prompt_becomes_the_clip_it_asks_for() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "seed": 7 }))
        .await;
    let job = mesh.api.wait_status(&id, "completed").await;

    let clip = mesh.api.get(&format!("/v1/videos/{id}/content")).await;
    assert_eq!(clip.headers["content-type"], "video/mp4");
    assert_eq!(
        sha256(&clip.body),
        job["outputs"]["sha256"].as_str().unwrap()
    );
    let file = data.path().join("clip.mp4");
    std::fs::write(&file, &clip.body).unwrap();
    let frames = decode_mp4(&ffmpeg(), &file).unwrap();
    assert_eq!((frames.width, frames.height, frames.frames), (64, 64, 17));
    let seen = check(&frames.rgb, 64, 64, 17);
    assert_eq!(seen.background, Some(Background::White), "{seen:?}");
    assert_eq!(seen.colour, Some(Colour::Blue), "{seen:?}");
    assert_eq!(seen.motion, Some(Motion::Left), "{seen:?}");
    assert_eq!(seen.shape, Some(Shape::Square), "{seen:?}");

    let thumbnail = mesh.api.get(&format!("/v1/videos/{id}/thumbnail")).await;
    assert_eq!(thumbnail.headers["content-type"], "image/webp");
    assert_eq!(&thumbnail.body[8..12], b"WEBP");
    let sheet = mesh.api.get(&format!("/v1/videos/{id}/spritesheet")).await;
    assert_eq!(sheet.headers["content-type"], "image/jpeg");
    let sheet = kinora_media::decode_still(&sheet.body).unwrap();
    assert_eq!((sheet.width, sheet.height), (5 * 64, 4 * 64), "17 tiles");
    let manifest = mesh
        .api
        .get(&format!("/v1/videos/{id}/manifest"))
        .await
        .json();
    assert_eq!(manifest["prompt"], PROMPT);
    assert_eq!(manifest["seed"], 7);
    assert!(!manifest["weights"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes_also_after_another_job() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let mut sums = BTreeSet::new();
    for body in [
        json!({ "prompt": PROMPT, "seed": 1, "steps": 4 }),
        json!({ "prompt": "a red star spins on a gray background", "seed": 2, "steps": 4 }),
        json!({ "prompt": PROMPT, "seed": 1, "steps": 4 }),
    ] {
        let id = mesh.api.submit(body).await;
        let job = mesh.api.wait_status(&id, "completed").await;
        sums.insert(job["outputs"]["sha256"].as_str().unwrap().to_owned());
    }
    assert_eq!(sums.len(), 2, "two different requests, one of them twice");
}

#[tokio::test]
async fn events_arrive_step_by_step_and_resume_where_a_client_left() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 100 }))
        .await;
    let whole = mesh.api.get(&format!("/v1/videos/{id}/events")).await;
    assert_eq!(whole.headers["content-type"], "text/event-stream");
    let events = parse_events(&whole.body);
    let numbers: Vec<u64> = events.iter().map(|(seq, _)| *seq).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let (last, end) = events.last().unwrap();
    assert_eq!(end["status"], "completed");
    let steps = events
        .iter()
        .filter(|(_, event)| event["work"]["stage"] == "denoising");
    let steps: BTreeSet<u64> = steps
        .filter_map(|(_, event)| event["work"]["step"].as_u64())
        .collect();
    // A fast machine makes several between two events.
    assert!(steps.len() >= 3, "progress of single steps: {steps:?}");

    let path = format!("/v1/videos/{id}/events?after_seq={}", last - 1);
    let rest = parse_events(&mesh.api.get(&path).await.body);
    assert_eq!(rest.len(), 1, "only what was missed: {rest:?}");
    assert_eq!(rest[0].1["status"], "completed");
}

#[tokio::test]
async fn cancel_stops_the_device_and_the_next_job_runs() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let long = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 100 }))
        .await;
    let waiting = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 2 }))
        .await;
    mesh.api.wait_step(&long, 2).await;
    assert_eq!(mesh.api.cancel(&long).await.json()["status"], "cancelled");
    mesh.api.wait_status(&waiting, "completed").await;
    let job = mesh.api.wait_status(&long, "cancelled").await;
    assert!(job["work"]["step"].as_u64().unwrap() < 100, "{job}");
    let again = mesh.api.cancel(&long).await;
    assert_eq!(
        (again.status, again.json()["status"].as_str()),
        (StatusCode::OK, Some("cancelled"))
    );
    let content = mesh.api.get(&format!("/v1/videos/{long}/content")).await;
    assert_eq!(content.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_deleted_video_leaves_nothing_behind() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 2 }))
        .await;
    mesh.api.wait_status(&id, "completed").await;
    assert!(!files_of(data.path(), &id).is_empty());
    let path = format!("/v1/videos/{id}");
    let reply = mesh.api.send(Method::DELETE, &path, None).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    let deleted = json!({ "id": id, "object": "video.deleted", "deleted": true });
    assert_eq!(reply.json(), deleted);
    assert_eq!(mesh.api.get(&path).await.status, StatusCode::NOT_FOUND);
    let limit = std::time::Duration::from_secs(30);
    kinora_testkit::wait::until("the objects are gone", limit, || {
        let files = files_of(data.path(), &id);
        std::future::ready(if files.is_empty() { Ok(()) } else { Err(files) })
    })
    .await;
}

#[tokio::test]
async fn a_killed_mesh_loses_no_job() {
    let data = tempfile::tempdir().unwrap();
    let mut mesh = OneProcess::start(data.path()).await;
    let done = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 2 }))
        .await;
    mesh.api.wait_status(&done, "completed").await;
    let running = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 60, "seed": 3 }))
        .await;
    let queued = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 2 }))
        .await;
    mesh.api.wait_step(&running, 2).await;
    mesh.program.kill();

    let mesh = OneProcess::start(data.path()).await;
    let job = mesh.api.wait_status(&running, "completed").await;
    assert_eq!(job["attempt"], 2, "{job}");
    mesh.api.wait_status(&queued, "completed").await;
    mesh.api.wait_status(&done, "completed").await;
    let files = files_of(data.path(), &running);
    assert_eq!(
        files
            .iter()
            .filter(|file| file.contains("video.mp4"))
            .count(),
        1,
        "{files:?}"
    );
}

#[tokio::test]
async fn a_stopped_mesh_hands_its_job_back_and_goes_on_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start_with(data.path(), &["--drain-timeout", "0s"]).await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 100 }))
        .await;
    mesh.api.wait_step(&id, 2).await;
    mesh.program.terminate();
    let ended = mesh.program.finish().await;
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    let mesh = OneProcess::start(data.path()).await;
    mesh.api.wait_status(&id, "completed").await;
}

#[tokio::test]
async fn one_data_folder_serves_one_mesh() {
    let data = tempfile::tempdir().unwrap();
    let _mesh = OneProcess::start(data.path()).await;
    let arguments = [
        "up",
        "--data-dir",
        text(data.path()),
        "--listen",
        "127.0.0.1:0",
    ];
    let folder = data.path().join("second");
    let second = kinora_integration_tests::Program::start("kinora", &folder, &arguments);
    let ended = second.finish().await;
    assert!(!ended.status.success());
    assert!(ended.log.contains("already"), "{}", ended.log);
}

#[tokio::test]
async fn bad_requests_name_the_field_and_what_would_do() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let with = |name: &str, value: Value| {
        let mut body = json!({ "prompt": PROMPT });
        body[name] = value;
        body
    };
    for (body, status, reason) in [
        (json!({ "prompt": "" }), 400, "PROMPT_EMPTY"),
        (
            with("prompt", "x".repeat(5000).into()),
            400,
            "PROMPT_TOO_LONG",
        ),
        (with("frames", 15.into()), 400, "FRAMES_INVALID"),
        (with("width", 70.into()), 400, "SIZE_INVALID"),
        (with("height", 4096.into()), 400, "SIZE_INVALID"),
        (with("steps", 0.into()), 400, "STEPS_INVALID"),
        (with("model", "sora".into()), 400, "UNKNOWN_MODEL"),
        (
            with("seed", 9_007_199_254_740_992_u64.into()),
            400,
            "SEED_OUT_OF_RANGE",
        ),
    ] {
        let reply = mesh.api.post("/v1/videos", body.clone()).await;
        assert_eq!(reply.reason(), reason, "{body} {reply:?}");
        assert_eq!(reply.status.as_u16(), status, "{body} {reply:?}");
        assert_eq!(reply.headers["content-type"], "application/problem+json");
    }
    let frames = mesh
        .api
        .post("/v1/videos", with("frames", 15.into()))
        .await
        .json();
    assert_eq!(frames["metadata"]["nearest"], "13,17", "{frames}");
    let unknown = mesh
        .api
        .post("/v1/videos", with("frames", "many".into()))
        .await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST, "{unknown:?}");
    let id = mesh
        .api
        .submit(json!({ "prompt": "a blue zeppelin moves left", "steps": 1 }))
        .await;
    let job = mesh.api.wait_status(&id, "completed").await;
    assert!(job["notes"].to_string().contains("zeppelin"), "{job}");
}

/// The events of a stream that has ended, with their numbers.
fn parse_events(body: &[u8]) -> Vec<(u64, Value)> {
    let text = std::str::from_utf8(body).unwrap();
    let mut events = Vec::new();
    for block in text.split("\n\n") {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
            events.push((id.parse().unwrap(), serde_json::from_str(data).unwrap()));
        }
    }
    events
}

/// Files under `folder` whose path names `id`.
fn files_of(folder: &Path, id: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        // A folder may vanish while it is read.
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if text(&path).contains(id) {
                found.push(text(&path).to_owned());
            }
        }
    }
    found
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}
