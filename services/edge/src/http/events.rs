//! Events of a job, or of all jobs of a group, as server-sent events.
//!
//! The id of a job's event is its sequence number, so a client that reconnects continues where it stopped. The stream
//! ends after the terminal event. A group's events have no ids: who reconnects gets the present state of each job
//! again. Its stream ends with an event named `end` once every job has ended.
//!
//! When the edge drains, loses the scheduler, or the scheduler drops a client that reads too slowly, the stream ends
//! with a `retry:` line instead, and the client comes back by itself. A client that leaves ends the stream from the
//! scheduler with it.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use kinora_proto::scheduler::v1::{self as proto, WatchRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument;

use super::groups::GroupPath;
use super::query::Parameters;
use super::{Caller, Edge, VideoId};
use crate::problem::Problem;
use crate::view::{GroupEnd, State as VideoState, VideoEvent, object_of};

const PING_INTERVAL: Duration = Duration::from_secs(15);
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// How long a client may read nothing before its stream ends.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// Events that wait for a client.
const UNREAD_EVENTS: usize = 4;

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
    let events = events.try_filter_map(async |response| Ok(response.event));
    Ok(respond(Follower::new(
        events.boxed(),
        edge.stopping,
        Scope::Video,
    )))
}

/// `GET /v1/batches/{id}/events`, and the same of sequences.
pub(super) async fn follow_group(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    path: GroupPath,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let group = edge.group(&caller, path.kind, &path.segment).await?;
    let events = edge
        .scheduler
        .watch_group(&caller, group.id.clone())
        .await?;
    let events = events.try_filter_map(async |response| Ok(response.event));
    let scope = Scope::Group {
        end: GroupEnd {
            object: format!("{}.end", object_of(group.kind())),
            id: group.id,
        },
        unfinished: group.jobs.into_iter().map(|job| job.id).collect(),
    };
    Ok(respond(Follower::new(events.boxed(), edge.stopping, scope)))
}

fn respond(follower: Follower) -> Response {
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
            .insert(name, HeaderValue::from_static(value));
    }
    response
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

/// What a client follows.
enum Scope {
    Video,
    /// The jobs that have not been seen to end, and what is said when none is left.
    Group {
        end: GroupEnd,
        unfinished: HashSet<String>,
    },
}

/// One client that follows one job or one group.
struct Follower {
    events: BoxStream<'static, Result<proto::Event, Status>>,
    shutdown: CancellationToken,
    scope: Scope,
    /// What was last said of each job.
    before: HashMap<String, (VideoState, u32)>,
    is_over: bool,
}

impl Follower {
    fn new(
        events: BoxStream<'static, Result<proto::Event, Status>>,
        shutdown: CancellationToken,
        scope: Scope,
    ) -> Self {
        Self {
            events: pumped(events, READER_PATIENCE),
            shutdown,
            scope,
            before: HashMap::new(),
            is_over: false,
        }
    }

    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        if let Scope::Group { end, unfinished } = &self.scope
            && unfinished.is_empty()
        {
            let event = described("end", end);
            self.is_over = true;
            return Some((Ok(event), self));
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

    /// The next event, or none when the stream ended before the last job did.
    async fn receive(&mut self) -> Option<proto::Event> {
        let received = tokio::select! {
            received = self.events.next() => received?,
            () = self.shutdown.cancelled() => return None,
        };
        if let Err(status) = &received {
            tracing::debug!(code = ?status.code(), "the scheduler's stream broke");
        }
        received.ok()
    }

    fn describe(&mut self, event: &VideoEvent) -> Event {
        let now = (event.state, event.attempt);
        let before = self.before.insert(event.id.clone(), now);
        let described = described(event_name(before, event), event);
        let is_terminal = event.state.is_terminal();
        match &mut self.scope {
            Scope::Video => {
                self.is_over = is_terminal;
                described.id(event.seq.to_string())
            }
            Scope::Group { unfinished, .. } => {
                if is_terminal {
                    unfinished.remove(&event.id);
                }
                described
            }
        }
    }
}

/// Passes on a stream, and lets it go when nobody has taken anything for `patience`: what was sent and is not read would
/// be kept for as long as its reader likes. A task of its own notices.
fn pumped<T: Send + 'static>(
    mut events: BoxStream<'static, T>,
    patience: Duration,
) -> BoxStream<'static, T> {
    let (sender, receiver) = mpsc::channel(UNREAD_EVENTS);
    let pump = async move {
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = sender.closed() => return,
            };
            let Some(event) = event else { return };
            if sender.send_timeout(event, patience).await.is_err() {
                return;
            }
        }
    };
    tokio::spawn(pump.in_current_span());
    ReceiverStream::new(receiver).boxed()
}

fn described(name: &str, data: &impl serde::Serialize) -> Event {
    let data = serde_json::to_string(data).unwrap_or_default();
    Event::default().event(name).data(data)
}

/// The state's name for the first event of a stream and whenever state or attempt changed; else `progress`.
fn event_name(before: Option<(VideoState, u32)>, event: &VideoEvent) -> &'static str {
    if before == Some((event.state, event.attempt)) {
        "progress"
    } else {
        event.state.name()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Events without end; each holds on to `alive`.
    fn endless(alive: Arc<()>) -> BoxStream<'static, u64> {
        stream::unfold((0, alive), async |(number, alive)| {
            Some((number, (number + 1, alive)))
        })
        .boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_reads_is_let_go_and_ends_after_what_was_taken() {
        let (alive, patience) = (Arc::new(()), Duration::from_secs(30));
        let mut events = pumped(endless(Arc::clone(&alive)), patience);
        for number in 0..100 {
            tokio::time::sleep(patience / 2).await;
            assert_eq!(events.next().await, Some(number), "a slow reader is served");
        }
        tokio::time::sleep(patience * 2).await;
        assert_eq!(Arc::strong_count(&alive), 1);
        let rest: Vec<u64> = events.collect().await;
        assert!(rest.len() <= UNREAD_EVENTS && rest[0] == 100, "{rest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_reader() {
        let alive = Arc::new(());
        let silent = Arc::clone(&alive);
        let silent = stream::once(async move {
            let _kept = silent;
            std::future::pending::<u64>().await
        });
        drop(pumped(silent.boxed(), Duration::from_secs(30)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
