//! What clients of the OpenAI API for videos send and expect. The client itself is met in the journeys.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{TestEdge, check_problem, id_of, read};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

impl TestEdge {
    async fn send_form(&self, path: &str, form: Form) -> Response {
        let request = self.request(Method::POST, path).multipart(form);
        request.send().await.unwrap()
    }
}

fn picture() -> Part {
    Part::bytes(PNG).file_name("first.png")
}

#[tokio::test]
async fn a_form_makes_a_video() {
    let edge = TestEdge::start().await;
    let form = Form::new()
        .text("prompt", "a red ball")
        .text("model", "kinora-tiny-t2v")
        .text("size", "64x64")
        .text("seconds", "2")
        .text("steps", "12")
        .text("preview_first", "true")
        .part("input_reference", picture());
    let video = read(edge.send_form("/v1/videos", form).await).await;
    let request = edge.scheduler.request(&id_of(&video));
    assert_eq!(request.prompt, "a red ball");
    assert_eq!(
        (request.size.as_str(), request.seconds.as_str()),
        ("64x64", "2")
    );
    assert_eq!((request.steps, request.preview_first), (Some(12), true));
    assert_eq!(request.image, PNG);
}

#[tokio::test]
async fn the_first_picture_has_another_name() {
    let edge = TestEdge::start().await;
    let url = "data:image/png;base64,iVBORw0KGgo=";
    let form = Form::new()
        .text("prompt", "a red ball")
        .text("input_reference[image_url]", url);
    let of_form = read(edge.send_form("/v1/videos", form).await).await;
    let body = json!({ "prompt": "a red cube", "input_reference": { "image_url": url } });
    let of_json = read(edge.post("/v1/videos", body).await).await;
    for video in [of_form, of_json] {
        assert_eq!(edge.scheduler.request(&id_of(&video)).image, PNG);
    }
}

#[tokio::test]
async fn pictures_that_are_elsewhere_are_refused() {
    let edge = TestEdge::start().await;
    let reference = json!({ "image_url": "https://a.example/x.png" });
    let body = json!({ "prompt": "a red ball", "input_reference": reference });
    let problem = check_problem(edge.post("/v1/videos", body).await, 400, "FIELD_INVALID").await;
    assert_eq!(problem.errors[0].field, "input_reference");
    assert_eq!(problem.error.param.as_deref(), Some("input_reference"));
}

#[tokio::test]
async fn a_file_id_is_that_of_an_upload() {
    let edge = TestEdge::start().await;
    let form = Form::new()
        .text("prompt", "a red ball")
        .text("input_reference[file_id]", "upload-1");
    let of_form = read(edge.send_form("/v1/videos", form).await).await;
    let body = json!({ "prompt": "a red cube", "input_reference": { "file_id": "upload-1" } });
    let of_json = read(edge.post("/v1/videos", body).await).await;
    for video in [of_form, of_json] {
        let request = edge.scheduler.request(&id_of(&video));
        assert_eq!(
            (request.image_upload.as_str(), request.image.len()),
            ("upload-1", 0)
        );
    }
}

#[tokio::test]
async fn a_remix_and_an_estimate_may_be_forms() {
    let edge = TestEdge::start().await;
    let source = edge.submit().await;
    for verb in [":remix", "/remix"] {
        let form = Form::new().text("prompt", format!("a blue ball by {verb}"));
        let path = format!("/v1/videos/{source}{verb}");
        let video = read(edge.send_form(&path, form).await).await;
        assert_eq!(edge.scheduler.request(&id_of(&video)).remix_of, source);
    }
    let form = Form::new().text("prompt", "a red ball");
    let estimate = read(edge.send_form("/v1/videos:estimate", form).await).await;
    assert_eq!(estimate["object"], "estimate");
}

#[tokio::test]
async fn other_calls_take_no_forms() {
    let edge = TestEdge::start().await;
    for path in ["/v1/batches", "/v1/sequences", "/v1/webhooks"] {
        let response = edge.send_form(path, Form::new().text("prompt", "x")).await;
        check_problem(response, 415, "CONTENT_TYPE_UNSUPPORTED").await;
    }
}

#[tokio::test]
async fn unknown_parameters_are_refused_by_name() {
    let edge = TestEdge::start().await;
    let form = Form::new()
        .text("prompt", "a red ball")
        .text("quality", "high");
    let of_form = edge.send_form("/v1/videos", form).await;
    let body = json!({ "prompt": "a red ball", "quality": "high" });
    for response in [of_form, edge.post("/v1/videos", body).await] {
        let error = check_problem(response, 400, "FIELD_INVALID").await.error;
        assert_eq!(error.message, "`quality` is no field of this call");
        assert_eq!(error.kind, "invalid_request_error");
        assert_eq!(error.param.as_deref(), Some("quality"));
        assert_eq!(error.code, "FIELD_INVALID");
    }
    assert_eq!(
        edge.read("/v1/videos").await["data"],
        json!([]),
        "nothing was made"
    );
}

#[tokio::test]
async fn forms_that_cannot_be_read_are_refused() {
    let edge = TestEdge::start().await;
    for (content_type, body) in [
        ("multipart/form-data", "--b--"),
        ("multipart/form-data; boundary=b", "{}"),
        ("multipart/form-data; boundary=b", "--b\r\n\r\n"),
    ] {
        let request = edge
            .request(Method::POST, "/v1/videos")
            .header("content-type", content_type);
        let response = request.body(body).send().await.unwrap();
        check_problem(response, 400, "BODY_INVALID").await;
    }
    let large = Part::bytes(vec![0; (16 << 20) + 1]).file_name("large.png");
    let form = Form::new()
        .text("prompt", "x")
        .part("input_reference", large);
    let problem = check_problem(
        edge.send_form("/v1/videos", form).await,
        400,
        "FIELD_INVALID",
    )
    .await;
    assert_eq!(problem.errors[0].field, "input_reference");
}

#[tokio::test]
async fn a_client_is_told_when_to_ask_again() {
    let edge = TestEdge::start().await;
    let created = edge
        .post("/v1/videos", json!({ "prompt": "a red ball" }))
        .await;
    let wait = |response: &Response| -> Option<u64> {
        let value = response.headers().get("openai-poll-after-ms")?;
        Some(value.to_str().unwrap().parse().unwrap())
    };
    let first = wait(&created).unwrap();
    assert!((500..=10_000).contains(&first), "{first}");
    let id = id_of(&read(created).await);
    let path = format!("/v1/videos/{id}");
    assert!(wait(&edge.get(&path).await).is_some());
    edge.scheduler.complete(&id);
    assert_eq!(wait(&edge.get(&path).await), None);
    assert_eq!(wait(&edge.get("/v1/videos").await), None);
}

#[tokio::test]
async fn a_variant_that_was_not_made_is_not_found() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    edge.scheduler.complete(&id);
    let path = |variant: &str| format!("/v1/videos/{id}/content?variant={variant}");
    for variant in ["video", "thumbnail"] {
        let status = edge.get(&path(variant)).await.status();
        assert_eq!(status, StatusCode::TEMPORARY_REDIRECT);
    }
    let response = edge.get(&path("spritesheet")).await;
    check_problem(response, 404, "OUTPUT_NOT_FOUND").await;
    edge.scheduler.complete_with_sheet(&id);
    let response = edge.get(&path("spritesheet")).await;
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    let response = edge.get(&path("audio")).await;
    check_problem(response, 400, "FIELD_INVALID").await;
}

#[tokio::test]
async fn an_answer_has_what_these_clients_read() {
    let edge = TestEdge::start().await;
    let video = edge
        .read(&format!("/v1/videos/{}", edge.submit().await))
        .await;
    let texts = [
        "id", "object", "model", "status", "seconds", "size", "prompt",
    ];
    assert!(texts.iter().all(|name| video[name].is_string()), "{video}");
    assert!(
        ["progress", "created_at"]
            .iter()
            .all(|name| video[name].is_u64()),
        "{video}"
    );
    let page: Value = edge.read("/v1/videos?limit=1").await;
    assert_eq!(page["object"], "list");
    assert!(
        page["has_more"].is_boolean() && page["data"].is_array(),
        "{page}"
    );
}
