//! What a service answers, on its way to the caller.

use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use axum::http::{HeaderMap, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body::Frame;
use kinora_mesh::error::{Kind, PublicError};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};

/// When an answer is cut off, and why.
pub(super) type End = BoxFuture<'static, PublicError>;

/// Cut off when the edge stops: the caller may call another one at once.
pub(super) fn stopped(stopping: CancellationToken) -> End {
    let stopped = async move {
        stopping.cancelled_owned().await;
        let detail = "this edge is stopping; call again and go on from there";
        PublicError::new(Kind::Unavailable, "SHUTTING_DOWN", detail)
    };
    stopped.boxed()
}

/// Cut off when the caller does not wait any more.
pub(super) fn late(deadline: Option<Instant>) -> End {
    let late = async move {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => pending().await,
        }
        deadline_exceeded()
    };
    late.boxed()
}

/// Cut off by whichever is first.
pub(super) fn earlier(one: End, other: End) -> End {
    let earlier = async move {
        tokio::select! {
            error = one => error,
            error = other => error,
        }
    };
    earlier.boxed()
}

/// The answer of a service of the edge's own, which ends with `end`.
pub(super) fn ending(response: Response<Body>, end: End) -> Response<Body> {
    // An answer without a message has its status in the head.
    if Status::from_header_map(response.headers()).is_some() {
        return response;
    }
    response.map(|body| Answer::body(body, end))
}

pub(super) fn deadline_exceeded() -> PublicError {
    let detail = "the answer took too long; it is safe to ask again with the same key";
    PublicError::new(Kind::DeadlineExceeded, "DEADLINE_EXCEEDED", detail)
}

/// Messages as they come, and a status at the end in any case. A status that is no success is said in words that are
/// meant for callers.
pub(super) struct Answer {
    body: Body,
    end: End,
    is_over: bool,
}

impl Answer {
    pub(super) fn body(body: Body, end: End) -> Body {
        Body::new(Self {
            body,
            end,
            is_over: false,
        })
    }

    fn finish(&mut self, error: PublicError) -> Frame<Bytes> {
        self.is_over = true;
        self.body = Body::empty();
        Frame::trailers(trailers_of(error))
    }

    fn pass_on(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_trailers() {
            Err(data) => data,
            Ok(trailers) => {
                self.is_over = true;
                Frame::trailers(checked(&trailers))
            }
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(error) = self.end.poll_unpin(context) {
            return Poll::Ready(Some(Ok(self.finish(error))));
        }
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => self.pass_on(frame),
            Poll::Ready(Some(Err(status))) => self.finish(PublicError::from_status(&status)),
            Poll::Ready(None) => self.finish(broken_off()),
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

/// The status alone: no service says more in its trailers that is meant for callers.
fn checked(trailers: &HeaderMap) -> HeaderMap {
    match Status::from_header_map(trailers) {
        Some(status) if status.code() == Code::Ok => headers_of(&Status::ok("")),
        Some(status) => trailers_of(PublicError::from_status(&status)),
        None => trailers_of(broken_off()),
    }
}

fn trailers_of(error: PublicError) -> HeaderMap {
    headers_of(&Status::from(error))
}

fn headers_of(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        // What was to be said has no place in a header. That it failed has.
        headers.insert(Status::GRPC_STATUS, (status.code() as i32).into());
    }
    headers
}

fn broken_off() -> PublicError {
    let detail = "a part of the service is away; try again in a moment";
    PublicError::new(Kind::Unavailable, "UNAVAILABLE", detail)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use futures::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    /// What a service sends: two bytes, and then these frames.
    fn body(rest: Vec<Result<Frame<Bytes>, Status>>) -> Body {
        let message = Ok(Frame::data(Bytes::from_static(b"ab")));
        let frames = stream::iter([message]).chain(stream::iter(rest));
        Body::new(StreamBody::new(frames))
    }

    fn trailers(pairs: &[(&'static str, &'static str)]) -> Result<Frame<Bytes>, Status> {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        Ok(Frame::trailers(pairs.collect()))
    }

    /// What the caller gets at the end, after the two bytes.
    async fn end_of(body: Body, end: End) -> (HeaderMap, String) {
        let collected = Answer::body(body, end).collect().await.unwrap();
        let trailers = collected.trailers().cloned().expect("trailers");
        assert_eq!(collected.to_bytes(), "ab");
        let status = Status::from_header_map(&trailers).expect("a status");
        (trailers, PublicError::from_status(&status).reason)
    }

    #[tokio::test]
    async fn a_good_end_is_passed_on_without_what_else_was_said() {
        let good = trailers(&[("grpc-status", "0"), ("x-row", "17")]);
        let (trailers, _) = end_of(body(vec![good]), late(None)).await;
        assert_eq!(trailers.len(), 1);
        assert_eq!(trailers["grpc-status"], "0");
    }

    #[tokio::test]
    async fn accidents_are_said_in_our_words() {
        let accident = trailers(&[("grpc-status", "13"), ("grpc-message", "SELECT secret")]);
        let (trailers, reason) = end_of(body(vec![accident]), late(None)).await;
        assert_eq!(reason, "INTERNAL");
        assert!(!format!("{trailers:?}").contains("SELECT"));
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_ends_with_a_status_too() {
        let (_, reason) = end_of(body(vec![]), late(None)).await;
        assert_eq!(reason, "UNAVAILABLE");
        let lost = Err(Status::unavailable("10.1.2.3: connection reset"));
        let (trailers, reason) = end_of(body(vec![lost]), late(None)).await;
        assert_eq!(reason, "UNAVAILABLE");
        assert!(!format!("{trailers:?}").contains("10.1.2.3"));
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_cut_off_in_time() {
        let silent = || {
            let message = Ok::<_, Status>(Frame::data(Bytes::from_static(b"ab")));
            let frames = stream::iter([message]).chain(stream::pending());
            Body::new(StreamBody::new(frames))
        };
        let deadline = Instant::now() + std::time::Duration::from_secs(5);
        let (_, reason) = end_of(silent(), late(Some(deadline))).await;
        assert_eq!(reason, "DEADLINE_EXCEEDED");
        let stopping = CancellationToken::new();
        let ending = tokio::spawn(end_of(silent(), stopped(stopping.clone())));
        tokio::task::yield_now().await;
        stopping.cancel();
        assert_eq!(ending.await.unwrap().1, "SHUTTING_DOWN");
    }
}
