//! What watchers see of a clip before it is there, and pictures on their way to a model.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora_integration_tests::SeparateProcesses;
use serde_json::json;

const PROMPT: &str = "a green triangle moves up on a white background";

#[tokio::test]
async fn a_watcher_sees_the_clip_come() {
    let mesh = SeparateProcesses::start().await;
    let _worker = mesh.worker("only", &[("KINORA_PREVIEW_INTERVAL", "1ms")]);
    mesh.api.wait_ready().await;
    let request = json!({ "prompt": PROMPT, "steps": 40, "seed": 3 });
    let id = mesh.api.submit(request.clone()).await;
    let events = mesh.api.events(&id).await;
    let previews: Vec<&str> = events
        .iter()
        .filter_map(|event| event["preview_webp"].as_str())
        .collect();
    assert!(!previews.is_empty(), "{events:?}");
    for preview in previews {
        let webp = STANDARD.decode(preview).unwrap();
        assert!(webp.len() <= 64 << 10);
        kinora_media::decode_still(&webp).unwrap();
    }
    let last = events.last().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    // Looking changes nothing.
    let unseen = mesh.worker("other", &[("KINORA_PREVIEW_INTERVAL", "0s")]);
    let again = mesh.api.submit(request).await;
    let again = mesh.api.wait_status(&again, "completed").await;
    assert_eq!(again["outputs"]["sha256"], last["outputs"]["sha256"]);
    drop(unseen);
}

#[tokio::test]
async fn a_text_model_takes_no_picture_and_what_is_none_is_named() {
    let mesh = SeparateProcesses::start().await;
    let _worker = mesh.worker("only", &[]);
    mesh.api.wait_ready().await;
    let picture = kinora_media::thumbnail_webp(&[9; 48], 4, 4).unwrap();
    for (bytes, reason) in [
        (picture, "IMAGE_NOT_SUPPORTED"),
        (b"hello".to_vec(), "IMAGE_NOT_READABLE"),
    ] {
        let image = STANDARD.encode(bytes);
        let body = json!({ "prompt": PROMPT, "image": image });
        let reply = mesh.api.post("/v1/videos", body).await;
        assert_eq!(
            (reply.status.as_u16(), reply.reason().as_str()),
            (400, reason)
        );
        assert_eq!(reply.json()["errors"][0]["field"], "image");
    }
    let large = STANDARD.encode(vec![0; 17 << 20]);
    let reply = mesh
        .api
        .post(
            "/v1/videos",
            json!({ "prompt": PROMPT, "last_image": large }),
        )
        .await;
    assert_eq!(reply.status.as_u16(), 400);
    assert_eq!(reply.json()["errors"][0]["field"], "last_image");
}
