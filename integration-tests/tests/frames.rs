//! A clip whose frames may not be seen, through the whole mesh.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use kinora_integration_tests::SeparateProcesses;
use serde_json::json;

const PROMPT: &str = "a green triangle moves up on a white background";
/// The class that the changed detector sees in everything, and its number.
const CLASS: (&str, usize) = ("MALE_GENITALIA_EXPOSED", 14);

/// The real detector with the weights of one class changed: it sees that class everywhere, with a score of almost 1.
fn detector_that_sees_it_everywhere(path: &Path) {
    let weights = kinora_testkit::env::required("KINORA_NUDENET", "the weights of a detector");
    let mut bytes = std::fs::read(weights).unwrap();
    // The name, the tag of the raw data, and their length: 18 floats.
    let marker = [b"model.22.cv3.0.2.bias".as_slice(), &[0x4a, 72]].concat();
    let starts = |start: &usize| bytes[*start..].starts_with(&marker);
    let start = (0..bytes.len()).find(starts).unwrap() + marker.len() + 4 * CLASS.1;
    bytes[start..start + 4].copy_from_slice(&20.0_f32.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_refused_clip_fails_at_once_and_nothing_of_it_can_be_had() {
    let mesh = SeparateProcesses::start().await;
    let detector = mesh.folder.path().join("detector.onnx");
    detector_that_sees_it_everywhere(&detector);
    let environment = [
        ("KINORA_FRAME_DETECTOR", detector.to_str().unwrap()),
        ("KINORA_PREVIEW_INTERVAL", "1ms"),
    ];
    let worker = mesh.worker("strict", &environment);
    mesh.api.wait_ready().await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 20 }))
        .await;
    let events = mesh.api.events(&id).await;
    let last = events.last().unwrap();
    assert_eq!(last["status"], "failed", "{last}");
    assert_eq!(last["attempt"], 1, "{last}");
    assert_eq!(last["error"]["code"], "CLIP_REFUSED");
    let message = last["error"]["message"].as_str().unwrap();
    assert!(message.contains("not allowed here (nudity)"), "{message}");
    let shown = events
        .iter()
        .filter(|event| event["preview_webp"].is_string());
    assert_eq!(shown.count(), 0, "{CLASS:?} was shown");
    for kind in ["content", "thumbnail", "manifest", "spritesheet", "still"] {
        let reply = mesh.api.get(&format!("/v1/videos/{id}/{kind}")).await;
        assert!(reply.status.is_client_error(), "{kind}: {reply:?}");
    }
    drop(worker);

    // The same clip at a worker that may deliver it.
    let weights = kinora_testkit::env::required("KINORA_NUDENET", "the weights of a detector");
    let _worker = mesh.worker("other", &[("KINORA_FRAME_DETECTOR", &weights)]);
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 20 }))
        .await;
    mesh.api.wait_status(&id, "completed").await;
    let manifest = mesh.api.manifest(&id).await;
    let checked = &manifest["frame_check"]["checked"];
    assert_eq!(checked["verdict"], "allow", "{manifest}");
    assert_eq!(checked["frames"].as_array().unwrap().len(), 10);
}
