//! The real edge on a free port, in front of a fake scheduler.

use std::net::SocketAddr;
use std::time::Duration;

use kinora_blobs::{BlobOptions, Secret};
use kinora_edge::limits::Limit;
use kinora_edge::problem::ProblemDocument;
use kinora_edge::{EdgeOptions, LimitOptions, UploadOptions};
use kinora_mesh::lifecycle::{DrainOptions, Lifecycle};
use kinora_mesh::serve::{Grpc, HttpOptions, TlsOptions};
use kinora_testkit::identity::identity;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;

use crate::fake::{FakeAccounts, FakeScheduler};

pub const ADA: &str = "kk_ada";
pub const BOB: &str = "kk_bob";
pub const ORIGIN: &str = "https://app.example.org";
/// Short, for the tests of a scheduler that does not answer.
pub const CALL_TIMEOUT: Duration = Duration::from_millis(1500);

/// Stops its servers when dropped.
pub struct TestEdge {
    pub scheduler: FakeScheduler,
    pub accounts: FakeAccounts,
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub client: reqwest::Client,
    scheduler_shutdown: CancellationToken,
    accounts_shutdown: CancellationToken,
    _guards: [DropGuard; 3],
}

impl TestEdge {
    pub async fn start() -> Self {
        Self::start_with(UploadOptions::default(), CALL_TIMEOUT).await
    }

    pub async fn start_with(uploads: UploadOptions, call_timeout: Duration) -> Self {
        Self::start_as(uploads, |options| options.call_timeout = call_timeout).await
    }

    pub async fn start_as(uploads: UploadOptions, change: impl FnOnce(&mut EdgeOptions)) -> Self {
        // Fails when another test of this process was first, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let accounts = FakeAccounts::new();
        accounts.add_key(ADA, accounts.issuer.operator("ada"));
        accounts.add_key(BOB, accounts.issuer.claims("bob"));
        let (accounts_endpoint, accounts_shutdown) = serve("accounts", accounts.routes()).await;
        let scheduler = FakeScheduler::new(&accounts.issuer);
        let (scheduler_endpoint, scheduler_shutdown) = serve("scheduler", scheduler.routes()).await;
        let (listener, address) = listen().await;
        let shutdown = CancellationToken::new();
        let mut options = options(scheduler_endpoint, accounts_endpoint);
        change(&mut options);
        let (edge, stop) = (identity("edge"), shutdown.clone());
        let serving = kinora_edge::serve_with(options, uploads, edge, listener, stop);
        tokio::spawn(serving);
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        Self {
            scheduler,
            accounts,
            address,
            client: client.build().unwrap(),
            _guards: [
                shutdown.clone().drop_guard(),
                scheduler_shutdown.clone().drop_guard(),
                accounts_shutdown.clone().drop_guard(),
            ],
            shutdown,
            scheduler_shutdown,
            accounts_shutdown,
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

    /// What a path answers, as JSON.
    pub async fn read(&self, path: &str) -> Value {
        read(self.get(path).await).await
    }

    /// Submits as Ada and gives the id of the video.
    pub async fn submit(&self) -> String {
        let body = serde_json::json!({ "prompt": "a red ball" });
        let video = read(self.post("/v1/videos", body).await).await;
        id_of(&video)
    }

    pub fn stop_scheduler(&self) {
        self.scheduler_shutdown.cancel();
    }

    pub fn stop_accounts(&self) {
        self.accounts_shutdown.cancel();
    }
}

/// Asserts that an answer is a good one, and gives its JSON.
#[track_caller]
pub fn read(response: Response) -> impl Future<Output = Value> {
    let caller = std::panic::Location::caller();
    async move {
        let status = response.status();
        let kind = response.headers().get("content-type").cloned();
        let body = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{caller}: {body}");
        assert_eq!(kind.unwrap(), "application/json", "{caller}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// The id that an answer begins with.
pub fn id_of(answer: &Value) -> String {
    answer["id"].as_str().unwrap().to_owned()
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

/// Serves until it is cancelled; the URL, and what cancels it.
pub async fn serve(service: &str, routes: Routes) -> (String, CancellationToken) {
    let (listener, address) = listen().await;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let identity = identity(service);
    tokio::spawn(async move {
        let lifecycle = Lifecycle::until(&stop);
        kinora_mesh::serve::grpc(listener, &identity, Grpc::of(routes), &lifecycle).await
    });
    (format!("https://{address}"), shutdown)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A limit, as options say it.
pub fn limit(text: &str) -> Limit {
    text.parse().unwrap()
}

fn options(scheduler_endpoint: String, accounts_endpoint: String) -> EdgeOptions {
    EdgeOptions {
        scheduler_endpoint,
        accounts_endpoint,
        billing_endpoint: None,
        prompts_endpoint: None,
        token_issuer: "kinora".to_owned(),
        cors_origins: vec![ORIGIN.parse().unwrap()],
        trusted_proxies: Vec::new(),
        link_lifetime: Duration::from_secs(60),
        call_timeout: CALL_TIMEOUT,
        reflection: false,
        limits: LimitOptions {
            // Tests of other things do not meet them, however often they ask.
            caller_limit: limit("off"),
            address_limit: limit("off"),
            ..LimitOptions::default()
        },
        tls: TlsOptions::default(),
        http: HttpOptions::default(),
        drain: DrainOptions::default(),
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
