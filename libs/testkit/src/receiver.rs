//! An HTTP server that notes what it is sent and answers as badly as a test wants.
//!
//! It speaks HTTP/1.1 by hand, because no server library would send such answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Larger requests are cut off.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// A request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// For example `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, as UTF-8.
    pub body: String,
}

impl Received {
    /// A header's value, or an empty text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status with headers, each `Name: value`, and an empty body.
    Status(u16, Vec<String>),
    /// Nothing, and the connection stays open.
    Hang,
    /// Nothing, and the connection is closed.
    Close,
    /// What is no HTTP.
    Noise,
    /// 200 and a body that never ends.
    EndlessBody,
    /// 200 and half of a body, then nothing.
    HalfBody,
    /// A head that never ends.
    EndlessHead,
}

impl Answer {
    /// A bare status.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }
}

/// The server. Ends when it drops.
pub struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Received>>>,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// Starts on a free port of the loopback interface. `answer` gets the number of the request, from 0, and itself.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(
        answer: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = crate::net::loopback_listener().await;
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, answer) = (Arc::clone(&seen), Arc::new(answer));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                tokio::spawn(async move { serve(stream, &noted, &*answer).await });
            }
        });
        Self {
            address,
            seen,
            serving,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL of it; `path` begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Received> {
        lock(&self.seen).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock(seen: &Mutex<Vec<Received>>) -> MutexGuard<'_, Vec<Received>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers requests of one connection until either side has enough.
async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Received>>,
    answer: &(impl Fn(usize, &Received) -> Answer + Send + Sync),
) {
    while let Some(request) = read(&mut stream).await {
        let number = {
            let mut seen = lock(seen);
            seen.push(request.clone());
            seen.len() - 1
        };
        if !give(&mut stream, answer(number, &request)).await {
            return;
        }
    }
}

/// Whether the connection may carry another request.
async fn give(stream: &mut TcpStream, answer: Answer) -> bool {
    match answer {
        Answer::Status(status, headers) => {
            let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n");
            for header in headers {
                head.push_str(&header);
                head.push_str("\r\n");
            }
            head.push_str("\r\n");
            stream.write_all(head.as_bytes()).await.is_ok()
        }
        Answer::Hang => std::future::pending().await,
        Answer::Close => false,
        Answer::Noise => {
            let _ = stream
                .write_all(b"\0\x01 this is not HTTP \xff\r\n\r\n")
                .await;
            false
        }
        Answer::EndlessBody => {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            repeat(stream, head, b"4\r\nmore\r\n").await
        }
        Answer::EndlessHead => repeat(stream, b"HTTP/1.1 200 OK\r\n", b"x: more\r\n").await,
        Answer::HalfBody => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
                .await;
            std::future::pending().await
        }
    }
}

async fn repeat(stream: &mut TcpStream, head: &[u8], more: &[u8]) -> bool {
    let mut wrote = stream.write_all(head).await;
    while wrote.is_ok() {
        wrote = stream.write_all(more).await;
    }
    false
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let end_of_head = loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break at;
        }
        more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..end_of_head]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(Some(0), |(_, value)| value.parse().ok())?;
    let body = end_of_head + 4;
    while bytes.len() < body + length {
        more(stream, &mut bytes).await?;
    }
    let body = String::from_utf8_lossy(&bytes[body..body + length]).into_owned();
    Some(Received {
        method,
        path,
        headers,
        body,
    })
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4096];
    let read = stream.read(&mut chunk).await.ok()?;
    bytes.extend_from_slice(&chunk[..read]);
    (read > 0 && bytes.len() <= MAX_REQUEST_BYTES).then_some(())
}
