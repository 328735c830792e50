//! How often anybody may ask.

use std::time::Duration;

use futures::future::join_all;
use kinora_access::Claims;
use kinora_access::testing::id_of;
use kinora_edge::{EdgeOptions, UploadOptions};
use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1::ListModelsRequest;
use kinora_proto::scheduler::v1::video_service_client::VideoServiceClient;
use kinora_testkit::redis::TestRedis;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::access::preflight;
use crate::harness::{ADA, BOB, ORIGIN, TestEdge, check_problem, limit, read};

/// A window in which nothing comes back while a test runs, and so it is in seconds.
const DAY: u64 = 86_400;

async fn edge_with(change: impl FnOnce(&mut EdgeOptions)) -> TestEdge {
    TestEdge::start_as(UploadOptions::default(), change).await
}

/// With so many requests a day for a caller, and for an address.
async fn edge(of_caller: &str, of_address: &str) -> TestEdge {
    edge_with(|options| {
        options.limits.caller_limit = limit(of_caller);
        options.limits.address_limit = limit(of_address);
    })
    .await
}

fn models(edge: &TestEdge, credential: &str) -> RequestBuilder {
    let request = edge.anonymous(Method::GET, "/v1/models");
    request.bearer_auth(credential)
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

async fn status(request: RequestBuilder) -> u16 {
    send(request).await.status().as_u16()
}

/// How often requests were answered with each of the statuses.
async fn statuses(requests: impl IntoIterator<Item = RequestBuilder>, of: [u16; 2]) -> [usize; 2] {
    let answers = join_all(requests.into_iter().map(status)).await;
    assert!(
        answers.iter().all(|status| of.contains(status)),
        "{answers:?}"
    );
    of.map(|wanted| answers.iter().filter(|status| **status == wanted).count())
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

/// The policy that an answer names, and what is left.
fn level(response: &Response) -> (String, u64) {
    let text = header(response, "ratelimit");
    let (policy, rest) = text.split_once(";r=").unwrap_or_default();
    let (remaining, _) = rest.split_once(";t=").unwrap_or(("0", ""));
    (
        policy.trim_matches('"').to_owned(),
        remaining.parse().unwrap(),
    )
}

fn of(policy: &str, remaining: u64) -> (String, u64) {
    (policy.to_owned(), remaining)
}

#[tokio::test]
async fn answers_say_what_the_limit_is_and_refusals_when_to_come_back() {
    let edge = edge("2/24h", "off").await;
    let first = send(models(&edge, ADA)).await;
    assert_eq!(
        header(&first, "ratelimit-policy"),
        r#""caller";q=2;w=86400"#
    );
    assert_eq!(header(&first, "ratelimit"), r#""caller";r=1;t=43200"#);
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(level(&send(models(&edge, ADA)).await), of("caller", 0));
    let refused = send(models(&edge, ADA)).await;
    assert_eq!(
        header(&refused, "ratelimit-policy"),
        r#""caller";q=2;w=86400"#
    );
    assert_eq!(level(&refused), of("caller", 0));
    let retry_after: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!(
        (DAY / 2 - 60..=DAY / 2).contains(&retry_after),
        "{retry_after}"
    );
    let problem = check_problem(refused, 429, "RATE_LIMITED").await;
    assert_eq!(problem.metadata["limit"], "caller");
    assert_eq!(problem.error.kind, "rate_limit_error");
    assert_eq!(
        status(models(&edge, BOB)).await,
        200,
        "others are not concerned"
    );
}

#[tokio::test]
async fn keys_are_counted_apart_and_people_over_all_sessions() {
    let edge = edge("2/24h", "off").await;
    let issuer = edge.accounts.issuer.clone();
    for name in ["kk_one", "kk_two"] {
        let claims = Claims {
            amr: vec!["key".to_owned()],
            sid: id_of(name),
            ..issuer.claims("carl")
        };
        edge.accounts.add_key(name, claims);
    }
    for credential in ["kk_one", "kk_two", &issuer.token("carl")] {
        let answer = send(models(&edge, credential)).await;
        assert_eq!(level(&answer), of("caller", 1), "{credential}");
    }
    let elsewhere = send(models(&edge, &issuer.token("carl"))).await;
    assert_eq!(level(&elsewhere), of("caller", 0), "another session");
    assert_eq!(status(models(&edge, &issuer.token("carl"))).await, 429);
    assert_eq!(status(models(&edge, "kk_one")).await, 200);
    let for_work = issuer.token("acme:carl");
    assert_eq!(
        level(&send(models(&edge, &for_work)).await),
        of("caller", 1)
    );
}

#[tokio::test]
async fn guessing_keys_costs_accounts_no_more_than_the_quota() {
    let edge = edge("off", "3/24h").await;
    assert_eq!(status(models(&edge, ADA)).await, 200);
    let asked = edge.accounts.exchanges();
    let guesses = (0..40).map(|number| models(&edge, &format!("kk_guess{number}")));
    assert_eq!(statuses(guesses, [401, 429]).await, [3, 37]);
    assert_eq!(edge.accounts.exchanges() - asked, 3);
    let refused = send(models(&edge, "kk_another")).await;
    assert_eq!(
        header(&refused, "ratelimit-policy"),
        r#""address";q=3;w=86400"#
    );
    check_problem(refused, 429, "RATE_LIMITED").await;
    // Who is known here is answered all the same, by a key and by a token.
    assert_eq!(status(models(&edge, ADA)).await, 200);
    assert_eq!(
        status(models(&edge, &edge.accounts.issuer.token("carl"))).await,
        200
    );
    assert_eq!(
        edge.accounts.exchanges() - asked,
        3,
        "and accounts hears nothing of it"
    );
}

#[tokio::test]
async fn a_crowd_with_one_new_key_is_one_question() {
    let edge = edge("off", "1/24h").await;
    let calls = (0..50).map(|_| models(&edge, ADA));
    assert_eq!(statuses(calls, [200, 429]).await, [50, 0]);
    assert_eq!(edge.accounts.exchanges(), 1);
}

#[tokio::test]
async fn good_credentials_are_not_counted_on_their_address() {
    let edge = edge("1000/24h", "2/24h").await;
    for number in 0..20 {
        let key = format!("kk_{number}");
        edge.accounts
            .add_key(&key, edge.accounts.issuer.claims("bob"));
        assert_eq!(level(&send(models(&edge, &key)).await).0, "caller");
    }
    assert_eq!(
        level(&send(models(&edge, "kk_wrong")).await),
        of("address", 1)
    );
    assert_eq!(level(&send(models(&edge, "a.b.c")).await), of("address", 0));
    let missing = edge.anonymous(Method::GET, "/v1/models");
    assert_eq!(status(missing).await, 429);
}

#[tokio::test]
async fn what_is_open_to_all_is_counted_on_the_address() {
    let edge = edge("off", "5/24h").await;
    let sign_in = || {
        let request = edge.anonymous(Method::POST, "/v1/auth:signIn");
        request.json(&json!({ "email": "ada@example.org", "password": "hunter2 hunter2" }))
    };
    assert_eq!(level(&send(sign_in()).await), of("address", 4));
    let path = |path: &str| send(edge.anonymous(Method::GET, path));
    assert_eq!(level(&path("/openapi.json").await), of("address", 3));
    assert_eq!(level(&path("/nothing").await), of("address", 2));
    let by_ada = edge.get("/openapi.json").await;
    assert_eq!(level(&by_ada), of("address", 1), "nobody looks at who asks");
    assert_eq!(level(&send(sign_in()).await), of("address", 0));
    let heard = edge.accounts.origins().len();
    for refused in [
        send(sign_in()).await,
        path("/openapi.json").await,
        path("/nothing").await,
    ] {
        check_problem(refused, 429, "RATE_LIMITED").await;
    }
    assert_eq!(edge.accounts.origins().len(), heard, "not even asked");
}

#[tokio::test]
async fn probes_and_preflights_are_not_counted() {
    let edge = edge("off", "1/24h").await;
    for _ in 0..5 {
        let alive = send(edge.anonymous(Method::GET, "/healthz")).await;
        assert_eq!(
            (alive.status(), header(&alive, "ratelimit")),
            (StatusCode::OK, "")
        );
        preflight(&edge, ORIGIN).await;
    }
    assert_eq!(
        status(edge.anonymous(Method::GET, "/openapi.json")).await,
        200
    );
    assert_eq!(status(edge.anonymous(Method::GET, "/readyz")).await, 200);
    assert_eq!(
        status(edge.anonymous(Method::GET, "/openapi.json")).await,
        429
    );
}

#[tokio::test]
async fn who_shows_a_good_signature_is_not_counted() {
    let edge = edge("off", "2/24h").await;
    let call = |signature: &'static str| {
        let request = edge.anonymous(Method::POST, "/v1/ageVerifications:complete");
        let request = request.header("content-type", "application/json");
        status(request.header("x-kinora-signature", signature).body("{}"))
    };
    for _ in 0..5 {
        assert_eq!(call("signed").await, 204);
    }
    assert_eq!([call("made up").await, call("made up").await], [401, 401]);
    let heard = edge.accounts.verifications().len();
    assert_eq!(call("made up").await, 429);
    assert_eq!(edge.accounts.verifications().len(), heard);
}

#[tokio::test]
async fn an_address_is_what_trusted_proxies_say_it_is() {
    let edge = edge_with(|options| {
        options.limits.address_limit = limit("1/24h");
        options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let from = |address: &str| {
        let request = edge.anonymous(Method::GET, "/openapi.json");
        status(request.header("x-forwarded-for", address))
    };
    assert_eq!(
        [from("203.0.113.1").await, from("203.0.113.2").await],
        [200, 200]
    );
    assert_eq!(from("203.0.113.1").await, 429);
    assert_eq!(
        from("192.0.2.7, 203.0.113.1").await,
        429,
        "the first one is made up"
    );
    assert_eq!(from("2001:db8:0:7::1").await, 200);
    assert_eq!(from("2001:db8:0:7:a:b:c:d").await, 429, "the same home");
    assert_eq!(from("2001:db8:0:8::1").await, 200);
    assert_eq!(from("::ffff:203.0.113.1").await, 429);
}

#[tokio::test]
async fn without_a_trusted_proxy_nobody_chooses_an_address() {
    let edge = edge("off", "1/24h").await;
    let from = |address: &str| {
        let request = edge.anonymous(Method::GET, "/openapi.json");
        status(request.header("x-forwarded-for", address))
    };
    assert_eq!(
        [from("203.0.113.1").await, from("203.0.113.2").await],
        [200, 429]
    );
}

#[tokio::test]
async fn two_edges_with_one_store_have_one_quota() {
    let redis = TestRedis::start().await;
    let start = || {
        edge_with(|options| {
            options.limits.caller_limit = limit("20/24h");
            options.limits.address_limit = limit("7/24h");
            options.limits.limit_store = Some(redis.url().parse().unwrap());
            // However busy this machine is.
            options.limits.limit_store_timeout = Duration::from_secs(60);
        })
    };
    let edges = [start().await, start().await];
    let calls = edges.iter().cycle().take(60).map(|edge| models(edge, ADA));
    assert_eq!(statuses(calls, [200, 429]).await, [20, 40]);
    let open = edges.iter().cycle().take(20);
    let open = open.map(|edge| edge.anonymous(Method::GET, "/openapi.json"));
    assert_eq!(statuses(open, [200, 429]).await, [7, 13]);
}

#[tokio::test]
async fn a_stream_counts_once() {
    let edge = edge("4/24h", "off").await;
    let id = edge.submit().await;
    let mut events = edge.get(&format!("/v1/videos/{id}/events")).await;
    assert_eq!(level(&events), of("caller", 2));
    edge.scheduler.complete(&id);
    while events.chunk().await.unwrap().is_some() {}
    assert_eq!(level(&edge.get("/v1/models").await), of("caller", 1));
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client from outside of the mesh"
)]
#[tokio::test]
async fn grpc_is_counted_and_refused_in_its_own_way() {
    let edge = edge("2/24h", "1/24h").await;
    let endpoint = Endpoint::from_shared(format!("http://{}", edge.address)).unwrap();
    let client = VideoServiceClient::new(endpoint.connect_lazy());
    let call = |credential: &str| {
        let mut request = Request::new(ListModelsRequest {});
        let value = format!("Bearer {credential}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        let mut client = client.clone();
        async move { client.list_models(request).await }
    };
    let first = call(ADA).await.unwrap();
    assert_eq!(
        first.metadata().get("ratelimit").unwrap(),
        r#""caller";r=1;t=43200"#
    );
    assert_eq!(
        level(&edge.get("/v1/models").await),
        of("caller", 0),
        "as REST is"
    );
    let refused = call(ADA).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let policy = refused.metadata().get("ratelimit-policy").unwrap();
    assert_eq!(policy, r#""caller";q=2;w=86400"#);
    let error = PublicError::from_status(&refused);
    assert_eq!(error.reason, "RATE_LIMITED");
    assert!(error.retry_after.unwrap().as_secs() > DAY / 2 - 60);
    assert_eq!(
        call("kk_wrong").await.unwrap_err().code(),
        Code::Unauthenticated
    );
    assert_eq!(
        call("kk_worse").await.unwrap_err().code(),
        Code::ResourceExhausted
    );
}

#[tokio::test]
async fn pages_read_limits_of_grpc_web_and_of_rest() {
    let edge = edge("off", "1/24h").await;
    let call = || {
        let path = "/kinora.accounts.v1.AuthService/SignIn";
        let request = edge.anonymous(Method::POST, path).header("origin", ORIGIN);
        let request = request.header("content-type", "application/grpc-web+proto");
        send(request.body(vec![0; 5]))
    };
    let first = call().await;
    assert_eq!(level(&first), of("address", 0));
    for name in ["ratelimit", "ratelimit-policy"] {
        let exposed = header(&first, "access-control-expose-headers");
        assert!(exposed.contains(name), "{exposed}");
    }
    let refused = call().await;
    assert_eq!(refused.status(), StatusCode::OK);
    assert_eq!(header(&refused, "grpc-status"), "8");
    assert_eq!(
        header(&refused, "ratelimit-policy"),
        r#""address";q=1;w=86400"#
    );
    let unknown = edge.anonymous(Method::POST, "/kinora.accounts.v1.AuthService/None");
    let unknown = unknown.header("content-type", "application/grpc-web+proto");
    assert_eq!(header(&send(unknown).await, "grpc-status"), "8");
}

#[tokio::test]
async fn other_dialects_are_refused_in_their_form() {
    let edge = edge("1/24h", "off").await;
    assert_eq!(status(models(&edge, ADA)).await, 200);
    let runpod = edge.request(Method::GET, "/v2/kinora-tiny-t2v/health");
    let runpod = send(runpod).await;
    assert_eq!(runpod.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(level(&runpod), of("caller", 0));
    let document: Value = runpod.json().await.unwrap();
    assert!(document["error"].is_string(), "{document}");
    assert_eq!(document["reason"], "RATE_LIMITED");
}

#[tokio::test]
async fn limits_may_be_off() {
    let edge = edge("off", "off").await;
    let answer = send(models(&edge, ADA)).await;
    assert_eq!(
        (
            header(&answer, "ratelimit"),
            header(&answer, "ratelimit-policy")
        ),
        ("", "")
    );
    read(answer).await;
}
