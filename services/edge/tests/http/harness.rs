//! The real edge on a free port, in front of a fake scheduler.

use std::net::SocketAddr;
use std::time::Duration;

use kinora_blobs::{BlobOptions, Secret};
use kinora_edge::auth::ApiKeyHash;
use kinora_edge::problem::ProblemDocument;
use kinora_edge::view::Video;
use kinora_edge::{EdgeOptions, UploadOptions};
use kinora_mesh::principal::Principal;
use kinora_testkit::identity::identity;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fake::FakeScheduler;

pub const ADA: &str = "kk_ada";
pub const BOB: &str = "kk_bob";
pub const ORIGIN: &str = "https://app.example.org";
/// Short, for the tests of a scheduler that does not answer.
pub const CALL_TIMEOUT: Duration = Duration::from_millis(1500);

/// Stops its servers when dropped.
pub struct TestEdge {
    pub scheduler: FakeScheduler,
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub client: reqwest::Client,
    scheduler_shutdown: CancellationToken,
    _guards: [DropGuard; 2],
}

impl TestEdge {
    pub async fn start() -> Self {
        Self::start_with(UploadOptions::default(), CALL_TIMEOUT).await
    }

    pub async fn start_with(uploads: UploadOptions, call_timeout: Duration) -> Self {
        // Fails when another test of this process was first, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let scheduler = FakeScheduler::new();
        let (listener, upstream) = listen().await;
        let scheduler_shutdown = CancellationToken::new();
        let routes = scheduler.routes();
        let stop = scheduler_shutdown.clone();
        tokio::spawn(async move {
            let identity = identity("scheduler");
            kinora_mesh::serve::grpc(listener, &identity, routes, &[], stop).await
        });
        let (listener, address) = listen().await;
        let shutdown = CancellationToken::new();
        let options = options(format!("https://{upstream}"), call_timeout);
        let (edge, stop) = (identity("edge"), shutdown.clone());
        let serving = kinora_edge::serve_with(options, uploads, edge, listener, stop);
        tokio::spawn(serving);
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        Self {
            scheduler,
            address,
            client: client.build().unwrap(),
            _guards: [
                shutdown.clone().drop_guard(),
                scheduler_shutdown.clone().drop_guard(),
            ],
            shutdown,
            scheduler_shutdown,
        }
    }

    /// A request by Ada.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(ADA)
    }

    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.request(Method::POST, path)
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    /// Submits as Ada and gives the video.
    pub async fn submit(&self) -> Video {
        let response = self
            .post("/v1/videos", serde_json::json!({ "prompt": "a red ball" }))
            .await;
        assert_eq!(response.status(), StatusCode::CREATED);
        response.json().await.unwrap()
    }

    pub fn stop_scheduler(&self) {
        self.scheduler_shutdown.cancel();
    }
}

/// Asserts that an answer is a problem of this status and reason, and gives its document.
#[track_caller]
pub fn check_problem(
    response: Response,
    status: u16,
    reason: &'static str,
) -> impl Future<Output = ProblemDocument> {
    let caller = std::panic::Location::caller();
    async move {
        let headers = response.headers().clone();
        let actual = response.status().as_u16();
        let body = response.text().await.unwrap();
        assert_eq!(actual, status, "{caller}: {body}");
        assert_eq!(
            headers["content-type"], "application/problem+json",
            "{caller}: {body}"
        );
        let document: ProblemDocument = serde_json::from_str(&body).unwrap();
        assert_eq!(document.reason, reason, "{caller}: {body}");
        assert_eq!(document.status, status, "{caller}: {body}");
        assert_eq!(
            headers["x-request-id"],
            document.request_id.as_str(),
            "{caller}"
        );
        document
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn options(scheduler_endpoint: String, call_timeout: Duration) -> EdgeOptions {
    let key = |name: &str, key| ApiKeyHash::of_key(Principal::new(name).unwrap(), key);
    EdgeOptions {
        scheduler_endpoint,
        api_keys: vec![key("ada", ADA), key("bob", BOB)],
        cors_origins: vec![ORIGIN.parse().unwrap()],
        link_lifetime: Duration::from_secs(60),
        call_timeout,
        blobs: BlobOptions {
            endpoint: "http://127.0.0.1:9".to_owned(),
            public_endpoint: Some("https://clips.example.org".to_owned()),
            region: "us-east-1".to_owned(),
            bucket: "kinora".to_owned(),
            access_key: "access".to_owned(),
            secret_key: Secret::new("hunter2"),
        },
    }
}
