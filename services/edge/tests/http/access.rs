use kinora_access::{Claims, Scope};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};

use crate::harness::{ADA, BOB, ORIGIN, TestEdge, check_problem, read};

#[tokio::test]
async fn every_path_of_the_api_wants_a_caller() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let paths = [
        (Method::POST, "/v1/videos".to_owned()),
        (Method::GET, "/v1/videos".to_owned()),
        (Method::GET, format!("/v1/videos/{id}")),
        (Method::POST, format!("/v1/videos/{id}:cancel")),
        (Method::DELETE, format!("/v1/videos/{id}")),
        (Method::GET, format!("/v1/videos/{id}/events")),
        (Method::GET, format!("/v1/videos/{id}/content")),
        (Method::GET, format!("/v1/videos/{id}/thumbnail")),
        (Method::GET, format!("/v1/videos/{id}/still")),
        (Method::GET, format!("/v1/videos/{id}/manifest")),
        (Method::GET, format!("/v1/videos/{id}/preview")),
        (Method::GET, format!("/v1/videos/{id}/preview/still")),
        (Method::POST, "/v1/videos:estimate".to_owned()),
        (Method::POST, "/v1/batches".to_owned()),
        (Method::GET, format!("/v1/batches/{id}")),
        (Method::GET, format!("/v1/sequences/{id}/events")),
        (Method::POST, "/v1/webhooks".to_owned()),
        (Method::PATCH, format!("/v1/webhooks/{id}")),
        (Method::POST, format!("/v1/deliveries/{id}:replay")),
        (Method::GET, "/v1/models".to_owned()),
        (Method::GET, "/v1/admin/workers".to_owned()),
    ];
    for (method, path) in paths {
        let response = edge.anonymous(method.clone(), &path).send().await.unwrap();
        assert_eq!(
            response.headers()["www-authenticate"],
            "Bearer realm=\"kinora\""
        );
        check_problem(response, 401, "TOKEN_MISSING").await;
        let response = edge
            .anonymous(method, &path)
            .bearer_auth("kk_other")
            .send()
            .await
            .unwrap();
        assert_eq!(
            response.headers()["www-authenticate"],
            "Bearer realm=\"kinora\", error=\"invalid_token\""
        );
        check_problem(response, 401, "API_KEY_INVALID").await;
    }
}

/// What the contracts want of callers, which the fakes behind the edge do not look at.
#[tokio::test]
async fn who_may_not_call_is_told_so_before_the_body_is_read() {
    let edge = TestEdge::start().await;
    let good = edge.accounts.issuer.claims("carl");
    let reader = Claims {
        scope: Scope::VideosRead.to_string(),
        ..good.clone()
    };
    let of_old_terms = Claims {
        terms: 0,
        ..good.clone()
    };
    let signed_in_long_ago = Claims {
        auth_time: good.auth_time - 3600,
        ..good.clone()
    };
    let newcomer = Claims { init: true, ..good };
    let insufficient = |error| Some(format!("Bearer realm=\"kinora\", error=\"{error}"));
    for (claims, path, status, reason, challenge) in [
        (
            &reader,
            "/v1/videos",
            403,
            "SCOPE_MISSING",
            insufficient("insufficient_scope\", scope=\"videos:write\""),
        ),
        (&of_old_terms, "/v1/videos", 400, "TERMS_NOT_ACCEPTED", None),
        (
            &signed_in_long_ago,
            "/v1/keys",
            403,
            "STEP_UP_REQUIRED",
            insufficient("insufficient_user_authentication\", max_age=\"600\""),
        ),
        (
            &newcomer,
            "/v1/videos",
            400,
            "PASSWORD_CHANGE_REQUIRED",
            None,
        ),
    ] {
        let request = edge
            .anonymous(Method::POST, path)
            .bearer_auth(edge.accounts.issuer.sign(claims))
            .header("content-type", "application/json")
            .body("no JSON");
        let response = request.send().await.unwrap();
        let said = response.headers().get("www-authenticate").cloned();
        let said = said.map(|said| said.to_str().unwrap().to_owned());
        assert_eq!(said, challenge, "{reason}");
        check_problem(response, status, reason).await;
    }
    assert_eq!(edge.scheduler.count(), 0);
}

#[tokio::test]
async fn both_headers_carry_a_key() {
    let edge = TestEdge::start().await;
    let request = edge
        .anonymous(Method::GET, "/v1/models")
        .header("X-Api-Key", ADA);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_foreign_video_reads_as_not_found() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    edge.scheduler.complete(&id);
    for (method, suffix) in [
        (Method::GET, ""),
        (Method::GET, "/content"),
        (Method::GET, "/events"),
        (Method::POST, ":cancel"),
        (Method::DELETE, ""),
    ] {
        let request = edge
            .anonymous(method, &format!("/v1/videos/{id}{suffix}"))
            .bearer_auth(BOB);
        check_problem(request.send().await.unwrap(), 404, "JOB_NOT_FOUND").await;
    }
    let request = edge.anonymous(Method::GET, "/v1/videos").bearer_auth(BOB);
    let list = read(request.send().await.unwrap()).await;
    assert_eq!(list["data"], serde_json::json!([]));
}

pub async fn preflight(edge: &TestEdge, origin: &'static str) -> HeaderMap {
    let headers = HeaderMap::from_iter([
        (reqwest::header::ORIGIN, HeaderValue::from_static(origin)),
        (
            reqwest::header::ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("POST"),
        ),
    ]);
    let request = edge
        .anonymous(Method::OPTIONS, "/v1/videos")
        .headers(headers);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.headers().clone()
}

#[tokio::test]
async fn pages_of_configured_origins_may_call() {
    let edge = TestEdge::start().await;
    let headers = preflight(&edge, ORIGIN).await;
    assert_eq!(headers["access-control-allow-origin"], ORIGIN);
    let allowed = headers["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.contains("idempotency-key"), "{allowed}");
    let verbs = headers["access-control-allow-methods"].to_str().unwrap();
    for verb in ["GET", "POST", "PATCH", "DELETE"] {
        assert!(verbs.contains(verb), "{verbs}");
    }
    let strangers = preflight(&edge, "https://evil.example").await;
    assert!(!strangers.contains_key("access-control-allow-origin"));
}
