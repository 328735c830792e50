use std::time::Duration;

use kinora_edge::UploadOptions;
use kinora_testkit::wait::until;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::DropGuard;

use crate::access::preflight;
use crate::fake::billing::FakeBilling;
use crate::fake::billing::SIGNATURE;
use crate::harness::{ORIGIN, TestEdge, check_problem, serve};

const PATH: &str = "/v1/stripe:webhook";

/// With spaces and an order that no serializer would give it.
const BODY: &str = "{ \"type\": \"invoice.paid\",\n  \"id\": \"evt_1\" }";

struct Shop {
    edge: TestEdge,
    billing: FakeBilling,
    _guard: DropGuard,
}

impl Shop {
    async fn start() -> Self {
        let billing = FakeBilling::default();
        let (endpoint, shutdown) = serve("billing", billing.routes()).await;
        let edge = TestEdge::start_as(UploadOptions::default(), |options| {
            options.billing_endpoint = Some(endpoint);
        });
        Self {
            edge: edge.await,
            billing,
            _guard: shutdown.drop_guard(),
        }
    }
}

/// As Stripe sends it.
fn webhook(edge: &TestEdge, signature: &str, body: &str) -> RequestBuilder {
    edge.anonymous(Method::POST, PATH)
        .header("content-type", "application/json; charset=utf-8")
        .header("stripe-signature", signature)
        .body(body.to_owned())
}

#[tokio::test]
async fn what_stripe_says_goes_on_as_it_came() {
    let shop = Shop::start().await;
    let taken = webhook(&shop.edge, SIGNATURE, BODY).send().await.unwrap();
    assert_eq!(taken.status(), StatusCode::OK);
    let seen = shop.billing.webhooks();
    assert_eq!(seen[0].body, BODY.as_bytes());
    assert_eq!(seen[0].signature, SIGNATURE);
    let made_up = "t=1795321258,v1=ff00";
    let refused = webhook(&shop.edge, made_up, BODY).send().await.unwrap();
    check_problem(refused, 400, "WEBHOOK_REFUSED").await;
}

#[tokio::test]
async fn what_cannot_be_a_webhook_troubles_nobody_behind_the_edge() {
    let shop = Shop::start().await;
    let edge = &shop.edge;
    let unsigned = edge.anonymous(Method::POST, PATH).json(&json!({}));
    check_problem(unsigned.send().await.unwrap(), 400, "WEBHOOK_REFUSED").await;
    let odd = webhook(edge, "signed", BODY).send().await.unwrap();
    check_problem(odd, 400, "WEBHOOK_REFUSED").await;
    let large = webhook(edge, SIGNATURE, &"x".repeat((1 << 20) + 1));
    check_problem(large.send().await.unwrap(), 413, "BODY_TOO_LARGE").await;
    let form = edge.anonymous(Method::POST, PATH);
    let form = form.header("stripe-signature", SIGNATURE).body("a=b");
    check_problem(form.send().await.unwrap(), 415, "CONTENT_TYPE_UNSUPPORTED").await;
    let read = edge.anonymous(Method::GET, PATH).send().await.unwrap();
    check_problem(read, 405, "METHOD_NOT_ALLOWED").await;
    assert!(shop.billing.webhooks().is_empty());
}

#[tokio::test]
async fn webhooks_come_again_while_billing_is_away() {
    let edge = TestEdge::start_as(UploadOptions::default(), |options| {
        // Nobody listens there.
        options.billing_endpoint = Some("https://127.0.0.1:9".to_owned());
    });
    let edge = edge.await;
    let answer = webhook(&edge, SIGNATURE, BODY).send().await.unwrap();
    check_problem(answer, 503, "UNAVAILABLE").await;
    let edge = TestEdge::start().await;
    let answer = webhook(&edge, SIGNATURE, BODY).send().await.unwrap();
    check_problem(answer, 404, "ROUTE_NOT_FOUND").await;
}

#[tokio::test]
async fn who_dawdles_takes_few_places() {
    let shop = Shop::start().await;
    let edge = &shop.edge;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: edge\r\ncontent-type: application/json\r\n\
         stripe-signature: {SIGNATURE}\r\ncontent-length: 100\r\n\r\n{{"
    );
    let mut dawdlers = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        dawdlers.push(stream);
    }
    let answer = until(
        "all places to be taken",
        Duration::from_secs(8),
        async || {
            let answer = webhook(edge, SIGNATURE, BODY).send().await.unwrap();
            match answer.status() {
                StatusCode::TOO_MANY_REQUESTS => Ok(answer),
                status => Err(status),
            }
        },
    );
    let answer = answer.await;
    assert_eq!(answer.headers()["retry-after"], "5");
    check_problem(answer, 429, "WEBHOOKS_BUSY").await;
    drop(dawdlers);
    until("a place to be free", Duration::from_secs(8), async || {
        let answer = webhook(edge, SIGNATURE, BODY).send().await.unwrap();
        match answer.status() {
            StatusCode::OK => Ok(()),
            status => Err(status),
        }
    })
    .await;
}

#[tokio::test]
async fn packs_are_for_everybody_and_buying_wants_a_caller() {
    let shop = Shop::start().await;
    let edge = &shop.edge;
    let packs = edge.anonymous(Method::GET, "/v1/packs").send().await;
    let packs: Value = packs.unwrap().json().await.unwrap();
    assert_eq!(packs["packs"][0]["name"], "small");
    for (method, path) in [
        (Method::POST, "/v1/checkouts"),
        (Method::GET, "/v1/checkouts/c1"),
        (Method::POST, "/v1/billingPortal"),
        (Method::GET, "/v1/subscriptions"),
        (Method::GET, "/v1/receipts"),
    ] {
        let answer = edge.anonymous(method, path).send().await.unwrap();
        check_problem(answer, 401, "TOKEN_MISSING").await;
    }
    let body = json!({ "request_id": "r1", "pack": "small" });
    let made = edge.post("/v1/checkouts", body).await;
    assert_eq!(made.status(), StatusCode::OK);
    let made: Value = made.json().await.unwrap();
    assert_eq!(made["checkout"]["state"], "CHECKOUT_STATE_OPEN");
    assert_eq!(shop.billing.checkouts()[0].request_id, "r1");
    let both = json!({ "request_id": "r2", "pack": "small", "plan": "creator" });
    let refused = edge.post("/v1/checkouts", both).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(shop.billing.checkouts().len(), 1);
}

#[tokio::test]
async fn pages_may_use_every_verb_that_a_route_has() {
    let shop = Shop::start().await;
    let headers = preflight(&shop.edge, ORIGIN).await;
    let verbs = headers["access-control-allow-methods"].to_str().unwrap();
    assert!(verbs.contains("PUT"), "{verbs}");
}
