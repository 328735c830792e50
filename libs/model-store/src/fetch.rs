//! Asking a server, or a folder, for the bytes of a file from an offset on.

use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, LOCATION, RANGE,
    RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::catalogue::is_sha256;
use crate::error::StoreError;
use crate::origin::Location;
use crate::token::HubToken;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_REDIRECTS: usize = 5;
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);
const FILE_BLOCK: usize = 1 << 20;

/// The hub's own word on a file that it keeps elsewhere.
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");

/// A client of the hub or of a mirror.
#[derive(Clone)]
pub(crate) struct Fetcher {
    client: Client,
    token: Option<HubToken>,
    is_of_hub: bool,
}

/// What a source answers.
pub(crate) enum Answer {
    /// Bytes.
    Bytes(Delivery),
    /// There are no bytes from that offset on.
    NothingMore {
        /// Size of the file, where said.
        total: Option<u64>,
    },
    /// The bytes asked for cannot be had on their own; the file must be asked for from its beginning.
    OutOfStep(String),
}

/// Bytes on their way.
pub(crate) struct Delivery {
    /// Offset of the first.
    pub start: u64,
    /// Size of the whole file, where said.
    pub total: Option<u64>,
    /// Strong validator of these bytes.
    pub etag: Option<String>,
    /// SHA-256 that the hub promises, if it does.
    pub sha256: Option<String>,
    body: Body,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// It may go better next time.
    Transient {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// There is no such file here.
    NotFound,
    /// The file is not given, to us or at all: some servers say so for what they do not have.
    Forbidden(String),
    /// It will not go better next time.
    Refused(String),
}

enum Body {
    Http(Box<Response>),
    File(tokio::fs::File),
}

/// What the hub itself says before it redirects.
#[derive(Default)]
struct HubWord {
    /// Whether the hub is asked at all: a mirror is not heard.
    is_of_hub: bool,
    sha256: Option<String>,
    size: Option<u64>,
}

impl Fetcher {
    /// A client that gives up on a server that sends nothing for `stall`.
    pub(crate) fn new(
        token: Option<HubToken>,
        is_of_hub: bool,
        stall: Duration,
    ) -> Result<Self, StoreError> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(stall)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("kinora/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| StoreError::Client(chain(&error)))?;
        // The token is the hub's: a mirror is somebody else.
        let token = token.filter(|_| is_of_hub);
        Ok(Self {
            client,
            token,
            is_of_hub,
        })
    }

    /// Asks for the bytes from `offset` on, unless the file has changed since `etag`.
    pub(crate) async fn open(
        &self,
        location: &Location,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<Answer, FetchError> {
        match location {
            Location::Http(url) => self.open_url(url, offset, etag).await,
            Location::File(path) => open_file(path, offset).await,
        }
    }

    async fn open_url(
        &self,
        first: &Url,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<Answer, FetchError> {
        let mut url = first.clone();
        let mut word = HubWord {
            is_of_hub: self.is_of_hub,
            ..HubWord::default()
        };
        for _ in 0..=MAX_REDIRECTS {
            let is_first = url.origin() == first.origin();
            let response = self.send(&url, is_first, offset, etag).await?;
            if is_first {
                word.hear(response.headers());
            }
            if !response.status().is_redirection() {
                return answer(response, offset, word);
            }
            url = next_hop(&url, &response)?;
        }
        Err(FetchError::Refused(format!(
            "more than {MAX_REDIRECTS} redirects"
        )))
    }

    async fn send(
        &self,
        url: &Url,
        is_first: bool,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<Response, FetchError> {
        // Compressed bytes would be other bytes, and their offsets other offsets.
        let mut request = self
            .client
            .get(url.clone())
            .header(ACCEPT_ENCODING, "identity");
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
            if let Some(etag) = etag {
                request = request.header(IF_RANGE, etag);
            }
        }
        if let (true, Some(token)) = (is_first, &self.token) {
            request = request.bearer_auth(token.reveal());
        }
        request
            .send()
            .await
            .map_err(|error| transient(chain(&error.without_url())))
    }
}

impl Delivery {
    /// The next bytes; none at the end. An error when they stop before the end that was announced.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, String> {
        match &mut self.body {
            Body::Http(response) => {
                let chunk = response.chunk().await;
                chunk.map_err(|error| chain(&error.without_url()))
            }
            Body::File(file) => {
                let mut buffer = vec![0; FILE_BLOCK];
                let count = file
                    .read(&mut buffer)
                    .await
                    .map_err(|error| error.to_string())?;
                buffer.truncate(count);
                Ok((count > 0).then(|| Bytes::from(buffer)))
            }
        }
    }
}

impl HubWord {
    /// The first word counts: later hops know less about the file.
    fn hear(&mut self, headers: &HeaderMap) {
        if !self.is_of_hub {
            return;
        }
        let digest = [&LINKED_ETAG, &ETAG]
            .iter()
            .filter_map(|name| text(headers, name))
            .map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned())
            .find(|tag| is_sha256(tag));
        self.sha256 = self.sha256.take().or(digest);
        let size = text(headers, &LINKED_SIZE).and_then(|size| size.parse().ok());
        self.size = self.size.or(size);
    }
}

fn answer(response: Response, offset: u64, word: HubWord) -> Result<Answer, FetchError> {
    let status = response.status();
    let headers = response.headers();
    let range = text(headers, &CONTENT_RANGE).and_then(parse_range);
    let (start, total) = match status {
        StatusCode::OK => (0, response.content_length()),
        StatusCode::PARTIAL_CONTENT => match range {
            Some(ContentRange {
                start: Some(start),
                total,
            }) if start == offset => (start, total),
            _ => {
                return Ok(Answer::OutOfStep(
                    "the server sent another range".to_owned(),
                ));
            }
        },
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let total = range.and_then(|range| range.total).or(word.size);
            return Ok(Answer::NothingMore { total });
        }
        _ => return Err(refusal(status, headers, word.is_of_hub)),
    };
    let etag = text(headers, &ETAG)
        .filter(|tag| tag.starts_with('"'))
        .map(str::to_owned);
    Ok(Answer::Bytes(Delivery {
        start,
        total: total.or(word.size),
        etag,
        sha256: word.sha256,
        body: Body::Http(Box::new(response)),
    }))
}

fn refusal(status: StatusCode, headers: &HeaderMap, is_of_hub: bool) -> FetchError {
    let is_transient = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    if is_transient {
        let wait = text(headers, &RETRY_AFTER)
            .and_then(|seconds| seconds.parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
        return FetchError::Transient {
            reason: format!("HTTP status {status}"),
            retry_after: wait,
        };
    }
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => FetchError::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let words = if is_of_hub {
                "the hub wants a token (--hub-token-file), or its own terms accepted on its page"
            } else {
                "the mirror does not have the file, or wants credentials (https://NAME:PASSWORD@...)"
            };
            FetchError::Forbidden(format!("HTTP status {status}: {words}"))
        }
        _ => FetchError::Refused(format!("HTTP status {status}")),
    }
}

fn next_hop(url: &Url, response: &Response) -> Result<Url, FetchError> {
    let target = text(response.headers(), &LOCATION).and_then(|target| url.join(target).ok());
    let Some(target) = target else {
        return Err(FetchError::Refused("a redirect to nowhere".to_owned()));
    };
    let is_safe = match target.scheme() {
        "https" => true,
        "http" => url.scheme() == "http",
        _ => false,
    };
    if !is_safe {
        let scheme = target.scheme();
        return Err(FetchError::Refused(format!(
            "a redirect away from TLS, to {scheme}"
        )));
    }
    Ok(target)
}

async fn open_file(path: &Path, offset: u64) -> Result<Answer, FetchError> {
    let refused = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => FetchError::NotFound,
        _ => FetchError::Refused(error.to_string()),
    };
    let mut file = tokio::fs::File::open(path).await.map_err(refused)?;
    let metadata = file.metadata().await.map_err(refused)?;
    if !metadata.is_file() {
        return Err(FetchError::Refused("not a file".to_owned()));
    }
    let total = metadata.len();
    if offset > 0 && offset >= total {
        return Ok(Answer::NothingMore { total: Some(total) });
    }
    file.seek(SeekFrom::Start(offset)).await.map_err(refused)?;
    Ok(Answer::Bytes(Delivery {
        start: offset,
        total: Some(total),
        etag: None,
        sha256: None,
        body: Body::File(file),
    }))
}

#[derive(Debug, PartialEq)]
struct ContentRange {
    start: Option<u64>,
    total: Option<u64>,
}

/// Reads `bytes 5-9/10`, `bytes 5-9/*` and `bytes */10`.
fn parse_range(value: &str) -> Option<ContentRange> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let start = match range {
        "*" => None,
        range => Some(range.split_once('-')?.0.trim().parse().ok()?),
    };
    Some(ContentRange {
        start,
        total: total.trim().parse().ok(),
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn transient(reason: String) -> FetchError {
    FetchError::Transient {
        reason,
        retry_after: None,
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests;
