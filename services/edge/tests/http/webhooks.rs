use kinora_edge::view::{Delivery, DeliveryList, DeliveryState, WebhookList, WebhookWithSecret};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{ADA, BOB, TestEdge, check_problem};

const URL: &str = "https://hooks.example.org/kinora";

async fn create(edge: &TestEdge) -> WebhookWithSecret {
    let body = json!({ "url": URL, "events": ["video.completed"] });
    let response = edge.post("/v1/webhooks", body).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let made: WebhookWithSecret = response.json().await.unwrap();
    assert_eq!(location, format!("/v1/webhooks/{}", made.webhook.id));
    made
}

#[tokio::test]
async fn a_secret_is_shown_when_it_is_made_and_never_again() {
    let edge = TestEdge::start().await;
    let made = create(&edge).await;
    assert_eq!(
        (made.secret.as_str(), made.webhook.url.as_str()),
        ("whsec_one", URL)
    );
    let path = format!("/v1/webhooks/{}", made.webhook.id);
    for path in [path.as_str(), "/v1/webhooks"] {
        let text = edge.get(path).await.text().await.unwrap();
        assert!(text.contains(URL) && !text.contains("whsec"), "{text}");
    }
    let rotate = edge.request(Method::POST, &format!("{path}:rotate-secret"));
    let rotated: WebhookWithSecret = rotate.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (rotated.secret.as_str(), rotated.webhook.secrets),
        ("whsec_two", 2)
    );
    let body = json!({ "drop_former": true });
    let response = edge.post(&format!("{path}:rotate-secret"), body).await;
    assert_eq!(
        response
            .json::<WebhookWithSecret>()
            .await
            .unwrap()
            .webhook
            .secrets,
        1
    );
}

#[tokio::test]
async fn only_the_fields_of_a_change_change() {
    let edge = TestEdge::start().await;
    let path = format!("/v1/webhooks/{}", create(&edge).await.webhook.id);
    let change = async |body: Value| {
        let request = edge.request(Method::PATCH, &path).json(&body);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let off = change(json!({ "enabled": false })).await;
    assert_eq!(
        (&off["enabled"], &off["events"]),
        (&json!(false), &json!(["video.completed"]))
    );
    let all = change(json!({ "events": [] })).await;
    assert_eq!((&all["url"], &all["events"]), (&json!(URL), &json!([])));
    let delete = edge.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(delete.status(), StatusCode::NO_CONTENT);
    check_problem(edge.get(&path).await, 404, "ENDPOINT_NOT_FOUND").await;
    let list: WebhookList = edge.get("/v1/webhooks").await.json().await.unwrap();
    assert!(list.webhooks.is_empty());
}

#[tokio::test]
async fn a_delivery_is_listed_and_replayed() {
    let edge = TestEdge::start().await;
    let path = format!("/v1/webhooks/{}/deliveries", create(&edge).await.webhook.id);
    let page: DeliveryList = edge.get(&path).await.json().await.unwrap();
    let failed = &page.deliveries[0];
    assert_eq!(
        (failed.state, failed.last_status),
        (DeliveryState::Failed, Some(500))
    );
    let replay = format!("/v1/deliveries/{}:replay", failed.id);
    let replayed: Delivery = edge.post(&replay, json!({})).await.json().await.unwrap();
    assert_eq!(replayed.state, DeliveryState::Pending);
    let foreign = edge.anonymous(Method::POST, &replay).bearer_auth(BOB);
    check_problem(foreign.send().await.unwrap(), 404, "DELIVERY_NOT_FOUND").await;
    let response = edge.get(&format!("{path}?page_size=-1")).await;
    check_problem(response, 400, "INVALID_ARGUMENT").await;
}

#[tokio::test]
async fn hostile_webhooks_are_refused_by_name() {
    let edge = TestEdge::start().await;
    for (body, reason, field) in [
        (json!({}), "INVALID_ARGUMENT", "url"),
        (json!({ "url": 1 }), "INVALID_ARGUMENT", "url"),
        (
            json!({ "url": URL, "events": "all" }),
            "INVALID_ARGUMENT",
            "events",
        ),
        (
            json!({ "url": URL, "events": vec!["x"; 17] }),
            "INVALID_ARGUMENT",
            "events",
        ),
        (
            json!({ "url": URL, "video_id": "../x" }),
            "INVALID_ARGUMENT",
            "video_id",
        ),
        (
            json!({ "url": URL, "secret": "mine" }),
            "INVALID_ARGUMENT",
            "secret",
        ),
        (
            json!({ "url": "http://127.0.0.1/" }),
            "URL_NOT_ALLOWED",
            "url",
        ),
    ] {
        let problem = check_problem(edge.post("/v1/webhooks", body).await, 400, reason).await;
        assert_eq!(problem.errors[0].field, field);
    }
    let long = json!({ "url": "x".repeat(70_000) });
    check_problem(edge.post("/v1/webhooks", long).await, 413, "BODY_TOO_LARGE").await;
}

#[tokio::test]
async fn what_is_no_webhook_of_the_caller_is_not_found() {
    let edge = TestEdge::start().await;
    let id = create(&edge).await.webhook.id;
    let send = async |method: Method, path: String, key: &str| {
        let request = edge
            .anonymous(method, &path)
            .bearer_auth(key)
            .json(&json!({}));
        request.send().await.unwrap()
    };
    for (method, suffix) in [
        (Method::GET, ""),
        (Method::PATCH, ""),
        (Method::DELETE, ""),
        (Method::POST, ":rotate-secret"),
        (Method::GET, "/deliveries"),
    ] {
        let foreign = send(method.clone(), format!("/v1/webhooks/{id}{suffix}"), BOB).await;
        check_problem(foreign, 404, "ENDPOINT_NOT_FOUND").await;
        let odd = send(method, format!("/v1/webhooks/x{suffix}"), ADA).await;
        check_problem(odd, 404, "ENDPOINT_NOT_FOUND").await;
    }
    let response = send(Method::POST, format!("/v1/webhooks/{id}"), ADA).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD,PATCH,DELETE");
    check_problem(response, 405, "METHOD_NOT_ALLOWED").await;
    for path in ["/v1/deliveries/x", "/v1/deliveries/x:explode"] {
        check_problem(
            send(Method::POST, path.to_owned(), ADA).await,
            404,
            "ROUTE_NOT_FOUND",
        )
        .await;
    }
}
