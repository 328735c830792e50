use std::time::Duration;

use kinora_edge::UploadOptions;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{ADA, TestEdge, check_problem, id_of, read};

#[tokio::test]
async fn a_submission_is_answered_with_its_video() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompt": "a red ball", "seed": 0, "guidance": 5, "negative_prompt": "" });
    let video = read(edge.post("/v1/videos", body).await).await;
    assert_eq!(
        (&video["object"], &video["status"]),
        (&json!("video"), &json!("queued"))
    );
    let request = edge.scheduler.request(&id_of(&video));
    assert_eq!(request.guidance, Some(5.0));
    assert_eq!(
        (request.negative_prompt.as_deref(), request.width),
        (Some(""), None)
    );
    let path = format!("/v1/videos/{}", id_of(&video));
    assert_eq!(edge.read(&path).await, video);
}

#[tokio::test]
async fn numbers_of_64_bits_are_texts_and_zeros_are_there() {
    let edge = TestEdge::start().await;
    let largest = (1_u64 << 53) - 1;
    for seed in [json!(largest), json!(largest.to_string())] {
        let body = json!({ "prompt": "p", "seed": seed });
        let video = read(edge.post("/v1/videos", body).await).await;
        assert_eq!(video["seed"], largest.to_string());
        assert_eq!((&video["progress"], &video["seq"]), (&json!(0), &json!(1)));
        assert_eq!(video["notes"], json!([]));
        for unset in ["error", "outputs", "completed_at", "group_id"] {
            assert!(video.get(unset).is_none(), "{unset}");
        }
    }
}

#[tokio::test]
async fn what_the_scheduler_refuses_arrives_with_its_fields() {
    let edge = TestEdge::start().await;
    let response = edge
        .post("/v1/videos", json!({ "prompt": "a", "frames": 16 }))
        .await;
    let problem = check_problem(response, 400, "FRAMES_INVALID").await;
    assert_eq!(problem.kind, "https://kinora.dev/errors/frames-invalid");
    assert_eq!(problem.instance, "/v1/videos");
    assert_eq!(problem.errors[0].field, "frames");
    assert_eq!(problem.metadata["nearest"], "17");
}

#[tokio::test]
async fn pages_follow_each_other_newest_first() {
    let edge = TestEdge::start().await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.insert(0, edge.submit().await);
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/v1/videos?page_size=2&page_token={token}");
        let page = edge.read(&path).await;
        seen.extend(page["data"].as_array().unwrap().iter().map(id_of));
        token = page["next_page_token"].as_str().unwrap().to_owned();
        assert_eq!(page["has_more"], json!(!token.is_empty()));
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_list_is_searched_and_put_in_order() {
    let edge = TestEdge::start().await;
    let mut ids = Vec::new();
    for prompt in ["a red ball", "a blue ball", "a red star"] {
        let video = read(edge.post("/v1/videos", json!({ "prompt": prompt })).await).await;
        ids.push(id_of(&video));
    }
    let listed = async |query: &str| {
        let page = edge.read(&format!("/v1/videos?{query}")).await;
        let videos = page["data"].as_array().unwrap().iter();
        videos.map(id_of).collect::<Vec<_>>()
    };
    let (first, last) = ("2020-01-01T00:00:00Z", "2020-01-01T01:00:00%2B01:00");
    assert_eq!(listed("query=red&order=asc").await, [&*ids[0], &*ids[2]]);
    assert_eq!(listed("query=red&order=desc").await, [&*ids[2], &*ids[0]]);
    assert_eq!(listed("query=red%20star&status=queued").await, [&*ids[2]]);
    assert_eq!(listed(&format!("created_after={first}")).await.len(), 3);
    assert_eq!(listed(&format!("created_before={last}")).await, [""; 0]);
    assert_eq!(listed("model=another").await, [""; 0]);
    for wrong in ["order=up", "created_after=yesterday", "created_before="] {
        let refused = edge.request(Method::GET, &format!("/v1/videos?{wrong}"));
        let refused = check_problem(refused.send().await.unwrap(), 400, "FIELD_INVALID").await;
        assert_eq!(refused.errors[0].field, wrong.split('=').next().unwrap());
    }
}

#[tokio::test]
async fn a_page_may_be_larger_than_calls_usually_are() {
    let edge = TestEdge::start_with(UploadOptions::default(), Duration::from_secs(60)).await;
    let body = json!({ "prompt": "p".repeat(60_000) });
    for _ in 0..80 {
        read(edge.post("/v1/videos", body.clone()).await).await;
    }
    let page = edge.read("/v1/videos?page_size=100").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 80);
}

#[tokio::test]
async fn cancel_and_delete_act_on_the_video() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    for path in [
        format!("/v1/videos/{id}:cancel"),
        format!("/v1/videos/{id}%3Acancel"),
    ] {
        let cancel = edge.request(Method::POST, &path).send().await.unwrap();
        assert_eq!(read(cancel).await["status"], "cancelled");
    }
    let delete = edge
        .request(Method::DELETE, &format!("/v1/videos/{id}"))
        .send()
        .await
        .unwrap();
    let expected = json!({ "id": id, "object": "video.deleted", "deleted": true });
    assert_eq!(read(delete).await, expected);
    let response = edge.get(&format!("/v1/videos/{id}")).await;
    check_problem(response, 404, "JOB_NOT_FOUND").await;
}

#[tokio::test]
async fn outputs_redirect_to_links_once_completed() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}/content");
    let problem = check_problem(edge.get(&path).await, 409, "NOT_READY").await;
    assert_eq!(problem.metadata["status"], "queued");
    edge.scheduler.complete(&id);
    for (name, file) in [
        ("content", "video.mp4"),
        ("content?variant=video", "video.mp4"),
        ("content?variant=thumbnail", "thumbnail.webp"),
        ("thumbnail", "thumbnail.webp"),
        ("manifest", "manifest.json"),
    ] {
        let response = edge.get(&format!("/v1/videos/{id}/{name}")).await;
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let link = response.headers()["location"].to_str().unwrap();
        assert!(link.starts_with("https://clips.example.org/"), "{link}");
        assert!(
            link.contains(&format!("/{file}?")) && link.contains("X-Amz-Expires=60"),
            "{link}"
        );
        assert!(link.contains(&format!("kinora-{file}")), "{link}");
        assert!(!link.contains("hunter2"));
    }
    let video = edge.read(&format!("/v1/videos/{id}")).await;
    assert_eq!(video["outputs"]["content_url"], path);
    assert!(video["outputs"].get("still_url").is_none());
    let still = format!("/v1/videos/{id}/still");
    check_problem(edge.get(&still).await, 404, "OUTPUT_NOT_FOUND").await;
    edge.scheduler.complete_with_still(&id);
    let link = edge.get(&still).await.headers()["location"].clone();
    assert!(link.to_str().unwrap().contains("still.png"), "{link:?}");
    let video = edge.read(&format!("/v1/videos/{id}")).await;
    assert_eq!(video["outputs"]["still_url"], still);
}

#[tokio::test]
async fn variants_that_there_are_not_are_named() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    edge.scheduler.complete(&id);
    let get = async |query: &str| edge.get(&format!("/v1/videos/{id}/content?{query}")).await;
    check_problem(get("variant=spritesheet").await, 404, "OUTPUT_NOT_FOUND").await;
    for (query, field) in [
        ("variant=gif", "variant"),
        ("variant=", "variant"),
        ("variant=video&variant=video", "variant"),
        ("size=large", "size"),
    ] {
        let problem = check_problem(get(query).await, 400, "FIELD_INVALID").await;
        assert_eq!(problem.errors[0].field, field);
    }
}

#[tokio::test]
async fn a_sheet_has_a_link_where_one_was_made() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    edge.scheduler.complete(&id);
    let paths = [
        format!("/v1/videos/{id}/spritesheet"),
        format!("/v1/videos/{id}/content?variant=spritesheet"),
    ];
    for path in &paths {
        check_problem(edge.get(path).await, 404, "OUTPUT_NOT_FOUND").await;
    }
    edge.scheduler.complete_with_sheet(&id);
    for path in &paths {
        let link = edge.get(path).await.headers()["location"].clone();
        let link = link.to_str().unwrap();
        assert!(link.contains("/spritesheet.jpg?"), "{link}");
        assert!(
            link.contains("response-content-type=image%2Fjpeg"),
            "{link}"
        );
    }
}

/// What a link has the store say of the file.
async fn disposition(edge: &TestEdge, method: Method, path: &str) -> String {
    let answer = edge.request(method, path).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT, "{path}");
    let link: reqwest::Url = answer.headers()["location"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let mut pairs = link.query_pairs();
    let found = pairs.find(|(name, _)| name == "response-content-disposition");
    found.unwrap().1.into_owned()
}

#[tokio::test]
async fn a_download_is_called_what_was_asked_for() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    edge.scheduler.complete(&id);
    for (query, expected) in [
        ("", "attachment; filename=\"kinora-video.mp4\""),
        ("?download=1", "attachment; filename=\"kinora-video.mp4\""),
        ("?download=false", "inline"),
        ("?filename=a%20star", "attachment; filename=\"a star.mp4\""),
        (
            "?filename=a%22%3B%20x%3D.mp4",
            "attachment; filename=\"a__ x_.mp4\"; filename*=UTF-8''a%22%3B%20x%3D.mp4",
        ),
    ] {
        let path = format!("/v1/videos/{id}/content{query}");
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(disposition(&edge, method, &path).await, expected, "{path}");
        }
    }
    let thumbnail = format!("/v1/videos/{id}/thumbnail?filename=star");
    let seen = disposition(&edge, Method::GET, &thumbnail).await;
    assert_eq!(seen, "attachment; filename=\"star.webp\"");
    for name in ["", "a%0D%0AX-Evil:1", "..%2Fa", "a%5Cb", ".a"] {
        let path = format!("/v1/videos/{id}/content?filename={name}");
        let problem = check_problem(edge.get(&path).await, 400, "FIELD_INVALID").await;
        assert_eq!(problem.errors[0].field, "filename");
    }
}

#[tokio::test]
async fn an_upload_has_a_link_and_its_headers() {
    let edge = TestEdge::start().await;
    let body = json!({ "content_type": "image/png", "size_bytes": 12 });
    let request = edge.request(Method::POST, "/v1/uploads").json(&body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let upload = read(answer).await;
    assert_eq!(
        (&upload["id"], &upload["method"]),
        (&json!("upload-1"), &json!("PUT"))
    );
    assert_eq!(upload["expires_at"], 1_800_000_900);
    let headers = json!({ "content-type": "image/png", "content-length": "12" });
    assert_eq!(upload["headers"], headers);
}

#[tokio::test]
async fn models_are_listed() {
    let edge = TestEdge::start().await;
    let models = edge.read("/v1/models").await;
    assert_eq!(models["object"], "list");
    assert_eq!(models["data"][0]["id"], "kinora-tiny-t2v");
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}");
    let head = edge.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-type"], "application/json");
    assert!(head.bytes().await.unwrap().is_empty());
    let head = edge.request(Method::HEAD, "/v1/videos/x");
    let status = head.send().await.unwrap().status();
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_id_of_the_caller_is_kept() {
    let edge = TestEdge::start().await;
    let request = edge
        .request(Method::GET, "/v1/models")
        .header("x-request-id", "mine-1");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "mine-1");
}

#[tokio::test]
async fn edge_that_drains_is_not_ready_and_answers_until_balancers_have_noticed() {
    let edge = TestEdge::start_as(UploadOptions::default(), |options| {
        options.drain.drain_delay = Duration::from_secs(3600);
    })
    .await;
    assert_eq!(edge.get("/readyz").await.status(), StatusCode::OK);
    edge.shutdown.cancel();
    check_problem(edge.get("/readyz").await, 503, "UNAVAILABLE").await;
    for path in ["/v1/models", "/healthz"] {
        // Over a connection of its own, as it comes from who has not noticed yet.
        let answer = reqwest::Client::new()
            .get(format!("http://{}{path}", edge.address))
            .bearer_auth(ADA);
        assert_eq!(
            answer.send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
    }
}

#[tokio::test]
async fn health_is_about_the_process_and_readiness_about_the_scheduler() {
    let edge = TestEdge::start().await;
    assert_eq!(
        edge.anonymous(Method::GET, "/readyz")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    edge.stop_scheduler();
    let poll = async || {
        edge.anonymous(Method::GET, "/readyz")
            .send()
            .await
            .unwrap()
            .status()
    };
    while poll().await != StatusCode::SERVICE_UNAVAILABLE {}
    assert_eq!(
        edge.anonymous(Method::GET, "/healthz")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}
