//! A hub on this machine that misbehaves to order, and a store that pulls from it.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use futures::stream;
use kinora_model_store::{
    Catalogue, FileVerdict, PullEvent, PullOptions, Pulled, RetryPolicy, Store, StoreError,
};
use sha2::{Digest, Sha256};

/// The file that faults are about.
pub const LARGE_PATH: &str = "deep/large.bin";
const CONFIG: &[u8] = b"{\"a\": 1}";
const LINKED: &[u8] = b"kept elsewhere";

/// Its bytes: no two blocks alike.
pub static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..400_000_u32)
        .flat_map(|n| [n.to_le_bytes()[0] ^ n.to_le_bytes()[1]])
        .collect()
});

/// As long and different.
pub fn other_bytes() -> Vec<u8> {
    LARGE.iter().map(|byte| !byte).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What goes wrong with [`LARGE_PATH`].
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    CloseAfter(usize),
    StallAfter(usize),
    Status(u16),
    OtherBytes,
    TooLong,
    TooLongUnannounced,
    RedirectToItself,
}

/// Requests as they came: path, first byte of the range, token.
type Seen = (String, Option<u64>, Option<String>);

#[derive(Default)]
struct Behaviour {
    faults: Vec<Fault>,
    ignores_ranges: bool,
    elsewhere: Option<String>,
    /// Answered to every request, while set.
    status: Option<u16>,
    /// A path that is not this server's business, such as a store's layout has.
    forbids_hub_layout: bool,
    seen: Vec<Seen>,
    stalled: bool,
}

#[derive(Clone)]
pub struct Hub {
    pub address: String,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Hub {
    pub async fn start() -> Self {
        // Fails when another test of this process was first, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hub = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            behaviour: Arc::default(),
        };
        let router = Router::new()
            .route("/a/b/resolve/0123/{*path}", get(answer_as_hub))
            .route("/a/b/resolve/4567/{*path}", get(answer_as_hub))
            .route("/m/{*path}", get(answer))
            .with_state(hub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        hub
    }

    /// The next `times` requests for the large file go wrong.
    pub fn with(self, fault: Fault, times: usize) -> Self {
        self.then(fault, times)
    }

    pub fn then(self, fault: Fault, times: usize) -> Self {
        let mut behaviour = self.behaviour.lock().unwrap();
        behaviour.faults.extend(std::iter::repeat_n(fault, times));
        drop(behaviour);
        self
    }

    pub fn without_ranges(self) -> Self {
        self.behaviour.lock().unwrap().ignores_ranges = true;
        self
    }

    pub fn redirecting_to(self, other: &Self) -> Self {
        self.behaviour.lock().unwrap().elsewhere = Some(other.address.clone());
        self
    }

    /// Every request fails from now on.
    pub fn fail(&self, status: u16) {
        self.behaviour.lock().unwrap().status = Some(status);
    }

    /// What is asked for as at a hub is forbidden, as servers of buckets say of what they do not have.
    pub fn with_bucket_manners(self) -> Self {
        self.behaviour.lock().unwrap().forbids_hub_layout = true;
        self
    }

    pub fn behave(&self) {
        let mut behaviour = self.behaviour.lock().unwrap();
        behaviour.faults.clear();
        behaviour.status = None;
    }

    pub fn requests(&self) -> usize {
        self.behaviour.lock().unwrap().seen.len()
    }

    pub fn ranges(&self, path: &str) -> Vec<Option<u64>> {
        let behaviour = self.behaviour.lock().unwrap();
        let seen = behaviour.seen.iter().filter(|seen| seen.0 == path);
        seen.map(|seen| seen.1).collect()
    }

    pub fn tokens(&self) -> Vec<Option<String>> {
        let behaviour = self.behaviour.lock().unwrap();
        behaviour.seen.iter().map(|seen| seen.2.clone()).collect()
    }

    pub fn has_stalled(&self) -> bool {
        self.behaviour.lock().unwrap().stalled
    }
}

async fn answer_as_hub(state: State<Hub>, path: UrlPath<String>, headers: HeaderMap) -> Response {
    if state.0.behaviour.lock().unwrap().forbids_hub_layout {
        return StatusCode::FORBIDDEN.into_response();
    }
    answer(state, path, headers).await
}

async fn answer(
    State(hub): State<Hub>,
    UrlPath(path): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &header::HeaderValue| value.to_str().unwrap().to_owned())
    };
    let range = text(header::RANGE).map(|range| {
        range
            .strip_prefix("bytes=")
            .unwrap()
            .trim_end_matches('-')
            .parse()
            .unwrap()
    });
    let mut behaviour = hub.behaviour.lock().unwrap();
    behaviour
        .seen
        .push((path.clone(), range, text(header::AUTHORIZATION)));
    if let Some(status) = behaviour.status {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    if let Some(elsewhere) = &behaviour.elsewhere {
        return Redirect::temporary(&format!("{elsewhere}/a/b/resolve/0123/{path}"))
            .into_response();
    }
    let range = range.filter(|_| !behaviour.ignores_ranges);
    match path.as_str() {
        LARGE_PATH if !behaviour.faults.is_empty() => {
            let fault = behaviour.faults.remove(0);
            behaviour.stalled |= matches!(fault, Fault::StallAfter(_));
            drop(behaviour);
            faulty(fault, range)
        }
        LARGE_PATH => good(&LARGE, range),
        "config.json" => good(CONFIG, range),
        "linked.bin" => {
            let mut response = good(LINKED, range);
            let digest = format!("\"{}\"", sha256(LINKED)).parse().unwrap();
            response.headers_mut().insert("x-linked-etag", digest);
            response
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn good(bytes: &[u8], range: Option<u64>) -> Response {
    let total = bytes.len();
    let start = usize::try_from(range.unwrap_or(0)).unwrap();
    if start > 0 && start >= total {
        let range = [(header::CONTENT_RANGE, format!("bytes */{total}"))];
        return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
    }
    let mut response = Bytes::copy_from_slice(&bytes[start..]).into_response();
    response
        .headers_mut()
        .insert(header::ETAG, "\"one\"".parse().unwrap());
    if start > 0 {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {start}-{}/{total}", total - 1);
        response
            .headers_mut()
            .insert(header::CONTENT_RANGE, range.parse().unwrap());
    }
    response
}

fn faulty(fault: Fault, range: Option<u64>) -> Response {
    let start = usize::try_from(range.unwrap_or(0)).unwrap();
    match fault {
        Fault::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Fault::OtherBytes => good(&other_bytes(), range),
        Fault::TooLong => good(&[LARGE.as_slice(), b"x"].concat(), range),
        Fault::TooLongUnannounced => {
            let chunks = [LARGE.clone(), vec![0; 1 << 20]]
                .map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk)));
            Body::from_stream(stream::iter(chunks)).into_response()
        }
        Fault::RedirectToItself => {
            Redirect::temporary("/a/b/resolve/0123/deep/large.bin").into_response()
        }
        Fault::CloseAfter(count) => {
            let chunk = Bytes::copy_from_slice(&LARGE[start..(start + count).min(LARGE.len())]);
            let first = stream::iter([Ok(chunk)]);
            // Pending once, so that what was written leaves before the connection breaks.
            let end = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("closed"))
            });
            cut(
                start,
                Body::from_stream(stream::StreamExt::chain(first, end)),
            )
        }
        Fault::StallAfter(count) => {
            let chunk = Bytes::copy_from_slice(&LARGE[start..start + count]);
            let first = stream::iter([Ok::<_, Infallible>(chunk)]);
            cut(
                start,
                Body::from_stream(stream::StreamExt::chain(first, stream::pending())),
            )
        }
    }
}

/// Announces the whole rest of the large file, whatever the body has.
fn cut(start: usize, body: Body) -> Response {
    let mut response = good(&LARGE, Some(start as u64).filter(|start| *start > 0));
    let rest = (LARGE.len() - start).to_string().parse().unwrap();
    response.headers_mut().insert(header::CONTENT_LENGTH, rest);
    *response.body_mut() = body;
    response
}

pub fn catalogue(hub: &str, is_gated: bool) -> Catalogue {
    Catalogue::parse("test", &catalogue_text(hub, is_gated)).unwrap()
}

pub fn catalogue_text(hub: &str, is_gated: bool) -> String {
    let size = LARGE.len();
    let total = size + CONFIG.len() + LINKED.len();
    let digest = sha256(&LARGE);
    format!(
        r#"
[models."m"]
title = "M"
family = "wan-t2v"
licence = {{ spdx = "CC-BY-NC-4.0", url = "https://example.org/terms", accept = {is_gated}, text = "not for money" }}
source = {{ hub = "{hub}", repo = "a/b", revision = "0123" }}
needs = {{ download_bytes = {total}, weights_bytes_bf16 = 3 }}
defaults = {{ width = 64, height = 64, frames = 17, fps = 8, steps = 20, guidance = 2.0, sampler = "unipc", grid = "native" }}
limits = {{ min_width = 64, max_width = 64, min_height = 64, max_height = 64, max_frames = 17, max_steps = 100, max_prompt_chars = 2000, max_guidance = 20.0 }}
files = [
  {{ path = "{LARGE_PATH}", size = {size}, sha256 = "{digest}" }},
  {{ path = "config.json" }},
  {{ path = "linked.bin" }},
]
"#
    )
}

pub fn options() -> PullOptions {
    PullOptions {
        retry: RetryPolicy {
            attempts: 5,
            first_delay: Duration::from_millis(1),
            stall: Duration::from_millis(800),
        },
        ..PullOptions::default()
    }
}

/// A hub, a store and what its pulls told.
pub struct Setup {
    pub hub: Hub,
    pub store: Store,
    events: Arc<Mutex<Vec<PullEvent>>>,
    _folder: Option<tempfile::TempDir>,
}

impl Setup {
    pub fn new(hub: Hub) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut setup = Self::at(hub, folder.path().join("store"));
        setup._folder = Some(folder);
        setup
    }

    pub fn at(hub: Hub, root: PathBuf) -> Self {
        let store = Store::new(root, catalogue(&hub.address, false));
        Self {
            hub,
            store,
            events: Arc::default(),
            _folder: None,
        }
    }

    /// Another handle of the same folder, as another process has.
    pub fn other_handle(&self) -> Self {
        Self::at(self.hub.clone(), self.root().to_owned())
    }

    pub fn root(&self) -> &Path {
        self.store.root()
    }

    pub async fn pull(&self) -> Result<Pulled, StoreError> {
        self.pull_with(options()).await
    }

    pub async fn pull_with(&self, options: PullOptions) -> Result<Pulled, StoreError> {
        let events = Arc::clone(&self.events);
        let observer = Arc::new(move |event| events.lock().unwrap().push(event));
        Box::pin(self.store.pull("m", options, observer)).await
    }

    pub fn events(&self) -> Vec<PullEvent> {
        self.events.lock().unwrap().clone()
    }

    pub fn verdicts(&self) -> Vec<FileVerdict> {
        self.store.verify("m", |_| true).unwrap()
    }

    /// Bytes of the large file that are kept for the next pull.
    pub fn partial_length(&self) -> u64 {
        let path = self
            .root()
            .join("m.part")
            .join(format!("{LARGE_PATH}.partial"));
        path.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Until the server stalls with its bytes on the disk, and all other files are done.
    pub async fn until_stalled(&self) {
        loop {
            let done = |event: &&PullEvent| matches!(event, PullEvent::FileDone { .. });
            let others = self.events().iter().filter(done).count();
            if self.hub.has_stalled() && self.partial_length() == 100_000 && others == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
