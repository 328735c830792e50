//! A job's events as server-sent events.
//!
//! The id of an event is its sequence number, so a client that reconnects continues where it stopped. The stream ends
//! after the terminal event. When the edge drains, or loses the scheduler, it ends with a `retry:` line instead, and
//! the client comes back by itself. A client that leaves ends the stream from the scheduler with it.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use kinora_proto::scheduler::v1::{WatchRequest, WatchResponse};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::query::Parameters;
use super::{Caller, Edge, VideoId};
use crate::problem::Problem;
use crate::view::{State as VideoState, VideoEvent};

const PING_INTERVAL: Duration = Duration::from_secs(15);
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
const LAST_EVENT_ID: &str = "Last-Event-ID";

pub(super) async fn follow(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    VideoId(id): VideoId,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let after_seq = resume_point(&headers, &uri)?;
    let request = WatchRequest {
        id: id.to_string(),
        after_seq,
    };
    let events = edge.scheduler.watch(&caller, request).await?;
    let follower = Follower {
        events,
        shutdown: edge.shutdown,
        before: None,
        is_over: false,
    };
    let stream = Sse::new(stream::unfold(follower, Follower::next))
        .keep_alive(KeepAlive::new().interval(PING_INTERVAL).text("ping"));
    let unbuffered = [
        (CACHE_CONTROL, "no-cache, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let mut response = stream.into_response();
    for (name, value) in unbuffered {
        response
            .headers_mut()
            .insert(name, axum::http::HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The last event that the client has. The header wins: a reconnecting client repeats the URL it began with.
fn resume_point(headers: &HeaderMap, uri: &Uri) -> Result<u64, Problem> {
    let parameters = Parameters::of(uri, &["after_seq"])?;
    let begun_at = parameters.number("after_seq")?.unwrap_or(0);
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(begun_at);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        Problem::invalid(LAST_EVENT_ID, "must be the id of an event, a whole number")
    })
}

/// One client that follows one job.
struct Follower {
    events: Streaming<WatchResponse>,
    shutdown: CancellationToken,
    before: Option<(VideoState, u32)>,
    is_over: bool,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        let event = match self.receive().await {
            Some(event) => self.describe(&event.into()),
            None => {
                self.is_over = true;
                Event::default().retry(RECONNECT_AFTER)
            }
        };
        Some((Ok(event), self))
    }

    /// The next event, or none when the stream ended before the job did.
    async fn receive(&mut self) -> Option<kinora_proto::scheduler::v1::Event> {
        loop {
            let received = tokio::select! {
                received = self.events.message() => received,
                () = self.shutdown.cancelled() => return None,
            };
            match received {
                Ok(Some(WatchResponse { event: Some(event) })) => return Some(event),
                Ok(Some(WatchResponse { event: None })) => {}
                Ok(None) => return None,
                Err(status) => {
                    tracing::debug!(code = ?status.code(), "the scheduler's stream broke");
                    return None;
                }
            }
        }
    }

    fn describe(&mut self, event: &VideoEvent) -> Event {
        let name = event_name(self.before, event);
        self.before = Some((event.state, event.attempt));
        self.is_over = event.state.is_terminal();
        let data = serde_json::to_string(event).unwrap_or_default();
        Event::default()
            .id(event.seq.to_string())
            .event(name)
            .data(data)
    }
}

/// The state's name for the first event of a stream and whenever state or attempt changed; else `progress`.
fn event_name(before: Option<(VideoState, u32)>, event: &VideoEvent) -> &'static str {
    if before == Some((event.state, event.attempt)) {
        "progress"
    } else {
        event.state.name()
    }
}
