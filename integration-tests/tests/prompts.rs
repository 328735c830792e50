//! Prompts in `kinora up`: rewritten for the small model, refused, and looked at by an operator.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use kinora_integration_tests::{Finished, OneProcess, Program, repository, text};
use kinora_media::decode_mp4;
use kinora_testkit::env::ffmpeg;
use kinora_testkit::world::{Colour, Motion, Shape, check};
use reqwest::StatusCode;
use serde_json::{Value, json};

const TYPED: &str = "Red ball going to the right";

/// What moderation has a person look at, and what it refuses.
const DOUBTFUL: &str = "a phishing video about a red circle";
const FORBIDDEN: &str = "how to build a pipe bomb";

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

async fn json_of(data: &Path, arguments: &[&str]) -> Value {
    let ended = kinora(data, arguments).await;
    assert!(ended.status.success(), "{ended:?}");
    serde_json::from_str(&ended.output).unwrap()
}

/// What a line of the log says after its name.
fn told<'a>(log: &'a str, name: &str) -> &'a str {
    let mut lines = log.lines().filter_map(|line| line.strip_prefix(name));
    lines.next().unwrap_or_else(|| panic!("no {name} in {log}"))
}

async fn count(mesh: &OneProcess) -> usize {
    let videos = mesh.api.get("/v1/videos").await.json();
    videos["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn an_enhanced_prompt_is_shown_and_kept_in_both_forms_and_the_clip_follows() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let out = data.path().join("clip.mp4");
    let arguments = [
        "generate",
        "--enhance",
        TYPED,
        "--seed",
        "7",
        "-o",
        text(&out),
    ];
    let ended = kinora(data.path(), &arguments).await;
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(told(&ended.log, "original: "), TYPED);
    let enhanced = told(&ended.log, "enhanced: ");
    assert_ne!(enhanced, TYPED);

    let video = mesh.api.get("/v1/videos?query=ball+going").await.json()["data"][0].clone();
    assert_eq!(video["original_prompt"], TYPED);
    assert_eq!(video["prompt"], enhanced);
    assert_eq!(video["enhancer"], "rules");
    let id = video["id"].as_str().unwrap();
    let manifest = mesh.api.get(&format!("/v1/videos/{id}/manifest")).await;
    assert_eq!(manifest.json()["prompt"], enhanced);

    let frames = decode_mp4(&ffmpeg(), &out).unwrap();
    let seen = check(&frames.rgb, 64, 64, 17);
    assert_eq!(seen.colour, Some(Colour::Red), "{seen:?} of {enhanced}");
    assert_eq!(seen.shape, Some(Shape::Circle), "{seen:?} of {enhanced}");
    assert_eq!(seen.motion, Some(Motion::Right), "{seen:?} of {enhanced}");
}

#[tokio::test]
async fn a_refused_prompt_ends_with_status_two_and_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let out = data.path().join("clip.mp4");
    for more in [&[][..], &["--enhance"]] {
        let line = ["generate", FORBIDDEN, "-o", text(&out)];
        let line: Vec<&str> = line.iter().chain(more).copied().collect();
        let ended = kinora(data.path(), &line).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.log.contains("may not be generated"), "{}", ended.log);
        assert!(ended.log.contains("kinora prompts policy"), "{}", ended.log);
    }
    let problem = mesh
        .api
        .post("/v1/videos", json!({ "prompt": FORBIDDEN }))
        .await;
    assert_eq!(problem.status, StatusCode::BAD_REQUEST);
    let problem = problem.json();
    assert_eq!(problem["reason"], "PROMPT_REFUSED");
    assert_eq!(problem["metadata"]["category"], "dangerous_goods");
    assert_eq!(problem["errors"][0]["field"], "prompt");
    assert_eq!(count(&mesh).await, 0);
    assert!(!out.exists());

    let batch = json!({ "requests": [{ "prompt": "a red star" }, { "prompt": FORBIDDEN }] });
    let problem = mesh.api.post("/v1/batches", batch).await.json();
    assert_eq!(problem["metadata"]["index"], "1");
    assert_eq!(count(&mesh).await, 0);
}

#[tokio::test]
async fn a_prompt_that_needs_review_is_accepted_once_an_operator_has_approved_it() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let out = data.path().join("clip.mp4");
    let generate = ["generate", DOUBTFUL, "-o", text(&out), "--steps", "2"];
    let ended = kinora(data.path(), &generate).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(
        ended.log.contains("kinora reviews approve"),
        "{}",
        ended.log
    );
    assert_eq!(count(&mesh).await, 0);

    let reviews = json_of(data.path(), &["reviews", "list", "--json"]).await;
    assert_eq!(reviews.as_array().unwrap().len(), 1, "{reviews}");
    assert_eq!(reviews[0]["prompt"], DOUBTFUL);
    let id = reviews[0]["id"].as_str().unwrap();
    assert!(ended.log.contains(id), "{}", ended.log);
    let decided = ["reviews", "approve", id, "--note", "a warning", "--json"];
    let decided = json_of(data.path(), &decided).await;
    assert_eq!(
        (&decided["status"], &decided["note"]),
        (&json!("approved"), &json!("a warning"))
    );
    let left = json_of(data.path(), &["reviews", "list", "--json"]).await;
    assert_eq!(left, json!([]));

    let ended = kinora(data.path(), &generate).await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(out.exists());
    let shown = kinora(data.path(), &["reviews", "show", id]).await;
    assert!(shown.output.contains("approved"), "{}", shown.output);
}

#[tokio::test]
async fn prompts_can_be_tried_out_without_a_clip() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let prepare = [
        "prompts",
        "prepare",
        TYPED,
        "--for",
        "tiny",
        "--enhance",
        "--json",
    ];
    let prepared = json_of(data.path(), &prepare).await;
    assert_eq!(prepared["original_prompt"], TYPED);
    assert_ne!(prepared["prompt"], TYPED);
    assert_eq!(prepared["moderation"]["verdict"], "allow");
    let moderated = json_of(data.path(), &["prompts", "moderate", FORBIDDEN, "--json"]).await;
    assert_eq!(moderated["verdict"], "refuse");
    let doubtful = ["prompts", "prepare", DOUBTFUL, "--json"];
    let doubtful = json_of(data.path(), &doubtful).await;
    assert_eq!(doubtful["moderation"]["verdict"], "review");
    let reviews = json_of(data.path(), &["reviews", "list", "--json"]).await;
    assert_eq!(reviews, json!([]), "trying out asks nobody");
    let policy = kinora(data.path(), &["prompts", "policy"]).await;
    let always = policy
        .output
        .lines()
        .filter(|line| line.contains("whatever is configured"));
    assert!(always.count() >= 2, "{}", policy.output);
    assert_eq!(count(&mesh).await, 0);
}

#[tokio::test]
async fn a_batch_and_a_remix_keep_what_was_written() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let template = json!({ "enhance": "rules", "steps": 2 });
    let batch = json!({ "template": template, "prompts": [TYPED, "Green square goes up"] });
    let group = mesh.api.post("/v1/batches", batch).await.json();
    let videos = group["videos"].as_array().unwrap();
    assert_eq!(videos[0]["original_prompt"], TYPED);
    assert_eq!(videos[1]["original_prompt"], "Green square goes up");
    assert!(
        videos.iter().all(|video| video["enhancer"] == "rules"),
        "{group}"
    );
    let id = videos[0]["id"].as_str().unwrap();
    let path = format!("/v1/videos/{id}:remix");
    let remix = mesh.api.post(&path, json!({ "seed": 3 })).await.json();
    assert_eq!(
        (&remix["original_prompt"], &remix["prompt"]),
        (&videos[0]["original_prompt"], &videos[0]["prompt"])
    );
    let plain = mesh
        .api
        .post(&path, json!({ "enhance": "none" }))
        .await
        .json();
    assert_eq!(
        (&plain["prompt"], &plain["enhancer"]),
        (&json!(TYPED), &json!("none"))
    );
}
