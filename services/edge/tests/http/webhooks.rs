use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ADA, BOB, TestEdge, check_problem, id_of, read};

const URL: &str = "https://hooks.example.org/kinora";

async fn create(edge: &TestEdge) -> Value {
    let body = json!({ "url": URL, "events": ["video.completed"] });
    read(edge.post("/v1/webhooks", body).await).await
}

#[tokio::test]
async fn a_secret_is_shown_when_it_is_made_and_never_again() {
    let edge = TestEdge::start().await;
    let made = create(&edge).await;
    assert_eq!(
        (&made["secret"], &made["url"], &made["object"]),
        (&json!("whsec_one"), &json!(URL), &json!("webhook"))
    );
    let path = format!("/v1/webhooks/{}", id_of(&made));
    for path in [path.as_str(), "/v1/webhooks"] {
        let text = edge.get(path).await.text().await.unwrap();
        assert!(text.contains(URL) && !text.contains("secret\""), "{text}");
    }
    let rotate = format!("{path}:rotate-secret");
    let without_body = edge.request(Method::POST, &rotate).send().await.unwrap();
    let rotated = read(without_body).await;
    assert_eq!(
        (&rotated["secret"], &rotated["secrets"]),
        (&json!("whsec_two"), &json!(2))
    );
    let response = edge.post(&rotate, json!({ "drop_former": true })).await;
    assert_eq!(read(response).await["secrets"], 1);
}

#[tokio::test]
async fn only_the_fields_of_a_change_change() {
    let edge = TestEdge::start().await;
    let path = format!("/v1/webhooks/{}", id_of(&create(&edge).await));
    let change = async |body: Value| {
        let request = edge.request(Method::PATCH, &path).json(&body);
        read(request.send().await.unwrap()).await
    };
    let off = change(json!({ "enabled": false })).await;
    assert_eq!(
        (&off["enabled"], &off["events"]),
        (&json!(false), &json!(["video.completed"]))
    );
    let all = change(json!({ "events": [] })).await;
    assert_eq!((&all["url"], &all["events"]), (&json!(URL), &json!([])));
    assert_eq!(all["enabled"], false, "as it was");
    let request = edge.request(Method::PATCH, &format!("{path}?update_mask=enabled"));
    let request = request.json(&json!({ "enabled": true, "url": "https://other.example.org/" }));
    let masked = read(request.send().await.unwrap()).await;
    assert_eq!(
        (&masked["enabled"], &masked["url"]),
        (&json!(true), &json!(URL))
    );
    let delete = edge.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(read(delete).await, json!({}));
    check_problem(edge.get(&path).await, 404, "ENDPOINT_NOT_FOUND").await;
    assert_eq!(edge.read("/v1/webhooks").await, json!({ "webhooks": [] }));
}

#[tokio::test]
async fn a_delivery_is_listed_and_replayed() {
    let edge = TestEdge::start().await;
    let path = format!("/v1/webhooks/{}/deliveries", id_of(&create(&edge).await));
    let page = edge.read(&path).await;
    let failed = &page["deliveries"][0];
    assert_eq!(
        (&failed["state"], &failed["last_status"]),
        (&json!("failed"), &json!(500))
    );
    let replay = format!("/v1/deliveries/{}:replay", id_of(failed));
    let replayed = read(edge.post(&replay, json!({})).await).await;
    assert_eq!(replayed["state"], "pending");
    let foreign = edge.anonymous(Method::POST, &replay).bearer_auth(BOB);
    check_problem(foreign.send().await.unwrap(), 404, "DELIVERY_NOT_FOUND").await;
    let response = edge.get(&format!("{path}?page_size=1.5")).await;
    check_problem(response, 400, "FIELD_INVALID").await;
}

#[tokio::test]
async fn hostile_webhooks_are_refused_by_name() {
    let edge = TestEdge::start().await;
    for (body, reason, field) in [
        (json!({ "url": 1 }), "FIELD_INVALID", "url"),
        (
            json!({ "url": URL, "events": "all" }),
            "FIELD_INVALID",
            "events",
        ),
        (
            json!({ "url": URL, "whatever": "mine" }),
            "FIELD_INVALID",
            "whatever",
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
    let id = id_of(&create(&edge).await);
    let send = async |method: Method, path: String, key: &str| {
        let request = edge.anonymous(method.clone(), &path).bearer_auth(key);
        let request = if method == Method::PATCH {
            request.json(&json!({ "enabled": true }))
        } else {
            request
        };
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
    assert_eq!(response.headers()["allow"], "DELETE, GET, HEAD, PATCH");
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
