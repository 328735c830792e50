//! Whether anything goes on on a connection.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Version;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::serve::HEADER_TIMEOUT;

/// How long a connection stays open on which nothing is asked. Longer than the minute for which load balancers keep theirs:
/// who closes first must not be the one that gets a request in that moment.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// What goes on on one connection. Clones share it.
#[derive(Clone)]
pub(super) struct Activity(Arc<watch::Sender<State>>);

#[derive(Clone, Copy)]
struct State {
    /// Requests that are not answered to the last byte.
    under_way: u32,
    /// Since when there is none.
    since: Instant,
    /// When the head of an HTTP/1.1 request began to come in.
    head_since: Option<Instant>,
    /// What it speaks, once it has asked something.
    version: Option<Version>,
}

impl State {
    /// When it is over, unless something happens.
    fn deadline(&self) -> Option<Instant> {
        if self.under_way > 0 {
            return None;
        }
        Some(match (self.head_since, self.version) {
            (Some(head), _) => head + HEADER_TIMEOUT,
            (None, None) => self.since + HEADER_TIMEOUT,
            (None, Some(_)) => self.since + IDLE_TIMEOUT,
        })
    }

    /// HTTP/2 has more to say than requests.
    fn is_between_requests(&self) -> bool {
        let is_http_1 = self
            .version
            .is_some_and(|version| version < Version::HTTP_2);
        is_http_1 && self.under_way == 0 && self.head_since.is_none()
    }
}

impl Activity {
    pub(super) fn begin() -> Self {
        let state = State {
            under_way: 0,
            since: Instant::now(),
            head_since: None,
            version: None,
        };
        Self(Arc::new(watch::channel(state).0))
    }

    /// Ends when the client has said nothing for too long, or too slowly.
    pub(super) async fn over(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let deadline = changes.borrow_and_update().deadline();
            let changed = changes.changed();
            let is_late = match deadline {
                Some(deadline) => timeout_at(deadline, changed).await.is_err(),
                None => changed.await.is_err(),
            };
            if is_late {
                return;
            }
        }
    }

    /// A request has come in.
    pub(super) fn request(&self, version: Version) -> Busy {
        self.0.send_modify(|state| {
            state.under_way += 1;
            state.head_since = None;
            state.version = Some(version);
        });
        Busy(self.clone())
    }

    fn bytes(&self) {
        self.0.send_if_modified(|state| {
            let begins = state.is_between_requests();
            if begins {
                state.head_since = Some(Instant::now());
            }
            begins
        });
    }
}

/// A request that is under way until this drops.
pub(super) struct Busy(Activity);

impl Busy {
    /// Until the last byte of the answer was taken.
    pub(super) fn until_sent(self, answer: Result<Response, Infallible>) -> Response {
        let Ok(response) = answer;
        response.map(|body| Body::new(Sent { body, _busy: self }))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| {
            state.under_way -= 1;
            state.since = Instant::now();
        });
    }
}

struct Sent {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for Sent {
    type Data = <Body as http_body::Body>::Data;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose incoming bytes are noticed.
pub(super) struct Watched<S> {
    stream: S,
    activity: Activity,
}

impl<S> Watched<S> {
    pub(super) const fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
