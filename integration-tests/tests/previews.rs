//! What watchers see of a clip before it is there, and pictures on their way to a model.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora_integration_tests::{RandomModel, SeparateProcesses};
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

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

/// Puts bytes where an upload says, with its headers but for the type.
async fn put(upload: &Value, content_type: &str, bytes: &[u8]) -> StatusCode {
    let mut request = Client::new().put(upload["url"].as_str().unwrap());
    for (name, value) in upload["headers"].as_object().unwrap() {
        let value = match name.as_str() {
            "content-type" => content_type,
            _ => value.as_str().unwrap(),
        };
        // The client counts the body.
        if name != "content-length" {
            request = request.header(name, value);
        }
    }
    let answer = request.body(bytes.to_vec()).send().await;
    answer.unwrap().status()
}

/// Asks for something that a video left, and follows the redirect.
async fn fetch(
    mesh: &SeparateProcesses,
    method: Method,
    path: &str,
    range: Option<&str>,
) -> Response {
    let url = format!("{}{path}", mesh.api.base());
    let mut request = Client::new().request(method, url);
    if let Some(range) = range {
        request = request.header(RANGE, range);
    }
    let request = request.bearer_auth(mesh.api.key());
    request.send().await.unwrap()
}

#[tokio::test]
async fn an_uploaded_picture_becomes_a_clip_that_is_fetched_in_parts() {
    let mesh = SeparateProcesses::start().await;
    let model = RandomModel::named("i2v-native");
    let folder = mesh.folder.path().join("model");
    model.write(&folder);
    let _worker = mesh.worker_with("only", &folder, &[]);
    mesh.api.wait_ready().await;
    let mut request = model.request(2);
    let picture = STANDARD.decode(request["image"].as_str().unwrap()).unwrap();
    let sha256 = hex::encode(Sha256::digest(&picture));
    let body =
        json!({ "content_type": "image/png", "size_bytes": picture.len(), "sha256": sha256 });
    let reply = mesh.api.post("/v1/uploads", body).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let upload = reply.json();
    let inline = mesh.api.submit(request.clone()).await;
    request.as_object_mut().unwrap().remove("image");
    request["image_upload"] = upload["id"].clone();

    let mut other = picture.clone();
    *other.last_mut().unwrap() ^= 1;
    for (content_type, bytes) in [
        ("text/html", &picture[..]),
        ("image/png", &picture[1..]),
        ("image/png", &other),
    ] {
        let status = put(&upload, content_type, bytes).await;
        assert!(status.is_client_error(), "{status}");
    }
    let early = mesh.api.post("/v1/videos", request.clone()).await;
    assert_eq!(
        (early.status.as_u16(), early.reason().as_str()),
        (400, "UPLOAD_NOT_FOUND")
    );
    assert_eq!(early.json()["errors"][0]["field"], "image_upload");
    let status = put(&upload, "image/png", &picture).await;
    assert_eq!(status, StatusCode::OK);
    let id = mesh.api.submit(request).await;
    let video = mesh.api.wait_status(&id, "completed").await;
    assert_eq!(video["image_sha256"], sha256);
    let inline = mesh.api.wait_status(&inline, "completed").await;
    assert_eq!(inline["outputs"]["sha256"], video["outputs"]["sha256"]);

    let clip = mesh.api.get(&format!("/v1/videos/{id}/content")).await;
    let saved = clip.headers[CONTENT_DISPOSITION].to_str().unwrap();
    assert_eq!(saved, format!("attachment; filename=\"kinora-{id}.mp4\""));
    let cached = clip.headers["cache-control"].to_str().unwrap();
    assert!(cached.starts_with("private, max-age="), "{cached}");
    let path = format!("/v1/videos/{id}/content?filename=my%20clip");
    let part = fetch(&mesh, Method::GET, &path, Some("bytes=4-11")).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    let range = format!("bytes 4-11/{}", clip.body.len());
    assert_eq!(part.headers()[CONTENT_RANGE], range);
    let name = "attachment; filename=\"my clip.mp4\"";
    assert_eq!(part.headers()[CONTENT_DISPOSITION], name);
    assert_eq!(part.bytes().await.unwrap(), clip.body[4..12]);
    let path = format!("/v1/videos/{id}/content?download=false");
    let head = fetch(&mesh, Method::HEAD, &path, None).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()[CONTENT_LENGTH], clip.body.len().to_string());
    assert_eq!(head.headers()[CONTENT_DISPOSITION], "inline");

    let path = format!("/v1/videos/{id}/spritesheet");
    assert_eq!(video["outputs"]["spritesheet_url"], path);
    let sheet = mesh.api.get(&path).await;
    let by_variant = format!("/v1/videos/{id}/content?variant=spritesheet");
    assert_eq!(mesh.api.get(&by_variant).await.body, sheet.body);
    let sheet = kinora_media::decode_still(&sheet.body).unwrap();
    let frames = u32::try_from(video["frames"].as_u64().unwrap()).unwrap();
    let [width, height] = [&video["width"], &video["height"]]
        .map(|side| u32::try_from(side.as_u64().unwrap()).unwrap());
    assert_eq!(
        (sheet.width, sheet.height),
        (5 * width, frames.div_ceil(5) * height)
    );
}
