//! Streams of a service as answers: server-sent events, JSON lines, or a body in chunks.
//!
//! A stream of events is one that may last: its messages are numbered and named. It is followed by [`followed`], which
//! lets go of readers that do not read, and ends when the edge stops. Server-sent events carry the number as `id`, so
//! that a client that comes back goes on where it was; 0 is none. When a stream breaks off - the edge drains, the
//! service is lost, its reader was too slow - it ends with a `retry:` line, or with a line that has an `error`, and the
//! client comes back. A stream that the service ends, ends.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use kinora_mesh::error::{Kind, PublicError};
use kinora_transcoder::{DynamicMessage, Route, answer, answer_json, to_json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument;

use super::transcoded::private;

const PING_INTERVAL: Duration = Duration::from_secs(15);
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// How long a client may read nothing before its stream ends.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// Events that wait for a client.
const UNREAD_EVENTS: usize = 4;

/// Keeps proxies from holding back what has been sent.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

type Messages = BoxStream<'static, Result<DynamicMessage, Status>>;

/// How a stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The parts of a file as they are.
    Chunks,
    /// Server-sent events.
    Events,
    /// A line of JSON each.
    Lines,
}

impl Form {
    /// What the client asks for first; else what suits the stream.
    pub(super) fn of(headers: &HeaderMap, route: &Route) -> Self {
        if route.is_of_chunks() {
            return Self::Chunks;
        }
        let by_default = if route.is_of_events() {
            Self::Events
        } else {
            Self::Lines
        };
        Self::wanted(headers).unwrap_or(by_default)
    }

    fn wanted(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(ACCEPT).iter();
        let mut ranges = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','));
        ranges.find_map(|range| {
            let essence = range.split(';').next().unwrap_or_default().trim();
            let is = |name: &str| essence.eq_ignore_ascii_case(name);
            if is("application/x-ndjson") {
                Some(Self::Lines)
            } else {
                is("text/event-stream").then_some(Self::Events)
            }
        })
    }
}

/// Answers with a stream.
pub(super) fn respond(
    form: Form,
    route: &Route,
    messages: tonic::Streaming<DynamicMessage>,
    stopping: CancellationToken,
) -> Response {
    let messages = if route.is_of_events() {
        followed(messages.boxed(), READER_PATIENCE, stopping)
    } else {
        messages.boxed()
    };
    match form {
        Form::Chunks => chunks(messages),
        Form::Events => events(route.clone(), messages),
        Form::Lines => lines(route.clone(), messages),
    }
}

fn chunks(messages: Messages) -> Response {
    let chunks = messages.map_ok(|message| chunk_of(&message));
    private(Body::from_stream(chunks), "application/octet-stream")
}

fn events(route: Route, messages: Messages) -> Response {
    let events = messages.map(move |message| {
        let event = message.and_then(|message| event_of(&route, &message));
        Ok::<_, Infallible>(event.unwrap_or_else(|status| {
            tracing::debug!(code = ?status.code(), "a stream of events broke");
            Event::default().retry(RECONNECT_AFTER)
        }))
    });
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(PING_INTERVAL).text("ping"))
        .into_response();
    let transparent = HeaderValue::from_static("no-cache, no-transform");
    let (name, value) = UNBUFFERED;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, transparent);
    headers.insert(name, value);
    response
}

fn lines(route: Route, messages: Messages) -> Response {
    // The answer has begun when something goes wrong: the last line says so.
    let lines = messages.map(move |message| {
        let line = message.and_then(|message| answer_json(&route, &message));
        let mut line = line.unwrap_or_else(|status| broken_off(&status));
        line.push(b'\n');
        Ok::<_, Infallible>(Bytes::from(line))
    });
    let mut response = private(Body::from_stream(lines), "application/x-ndjson");
    let (name, value) = UNBUFFERED;
    response.headers_mut().insert(name, value);
    response
}

fn event_of(route: &Route, message: &DynamicMessage) -> Result<Event, Status> {
    let message = answer(route, message)?;
    let json = String::from_utf8(to_json(&message)?);
    let json = json.map_err(|error| Status::internal(error.to_string()))?;
    let mut event = Event::default().data(json);
    let seq = message.get_field_by_name("seq");
    let seq = seq.and_then(|seq| seq.as_u32().map(u64::from).or_else(|| seq.as_u64()));
    if let Some(seq) = seq.filter(|seq| *seq > 0) {
        event = event.id(seq.to_string());
    }
    let name = message.get_field_by_name("type");
    let name = name.as_deref().and_then(|name| name.as_str());
    // A line break would end the name, and begin a field.
    if let Some(name) = name.filter(|name| !name.is_empty() && !name.contains(['\n', '\r'])) {
        event = event.event(name);
    }
    Ok(event)
}

fn chunk_of(message: &DynamicMessage) -> Bytes {
    let chunk = message.get_field_by_name("chunk");
    let bytes = chunk.as_deref().and_then(|value| value.as_bytes().cloned());
    bytes.unwrap_or_default()
}

fn broken_off(status: &Status) -> Vec<u8> {
    let error = PublicError::from_status(status);
    let line = serde_json::json!({
        "error": { "reason": error.reason, "detail": error.message, "status": error.kind.http() },
    });
    line.to_string().into_bytes()
}

/// A stream that ends with an error when the edge stops, or when nobody reads it.
fn followed(messages: Messages, patience: Duration, stopping: CancellationToken) -> Messages {
    let pieces = pumped(messages, patience);
    let next = async |(mut pieces, stopping): (BoxStream<'static, Piece<_>>, CancellationToken)| {
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            () = stopping.cancelled() => return Err(broken("the edge is stopping")),
        };
        match piece {
            Some(Piece::Item(message)) => Ok(Some((message?, (pieces, stopping)))),
            Some(Piece::End) => Ok(None),
            None => Err(broken("the stream was not read")),
        }
    };
    stream::try_unfold((pieces, stopping), next).boxed()
}

fn broken(detail: &str) -> Status {
    PublicError::new(Kind::Unavailable, "STREAM_BROKEN_OFF", detail).into()
}

/// What comes of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Piece<T> {
    Item(T),
    /// The stream has ended by itself.
    End,
}

/// Passes on a stream, and lets it go when nobody has taken anything for `patience`: what was sent and is not read would
/// be kept for as long as its reader likes. A task of its own notices. Without an end it was let go.
fn pumped<T: Send + 'static>(
    mut items: BoxStream<'static, T>,
    patience: Duration,
) -> BoxStream<'static, Piece<T>> {
    let (sender, receiver) = mpsc::channel(UNREAD_EVENTS);
    let pump = async move {
        loop {
            let item = tokio::select! {
                item = items.next() => item,
                () = sender.closed() => return,
            };
            let is_last = item.is_none();
            let piece = item.map_or(Piece::End, Piece::Item);
            if sender.send_timeout(piece, patience).await.is_err() || is_last {
                return;
            }
        }
    };
    tokio::spawn(pump.in_current_span());
    ReceiverStream::new(receiver).boxed()
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
            let event = events.next().await;
            assert_eq!(event, Some(Piece::Item(number)), "a slow reader is served");
        }
        tokio::time::sleep(patience * 2).await;
        assert_eq!(Arc::strong_count(&alive), 1);
        let rest: Vec<Piece<u64>> = events.collect().await;
        assert!(rest.len() <= UNREAD_EVENTS, "{rest:?}");
        assert_eq!(rest[0], Piece::Item(100));
        assert!(!rest.contains(&Piece::End), "it did not end by itself");
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

    #[tokio::test]
    async fn an_end_is_told_from_a_break() {
        let none = || stream::empty::<Result<DynamicMessage, Status>>().boxed();
        let stopping = CancellationToken::new();
        let ended = followed(none(), READER_PATIENCE, stopping.clone());
        assert!(ended.try_collect::<Vec<_>>().await.is_ok());
        stopping.cancel();
        let silent = stream::pending::<Result<DynamicMessage, Status>>().boxed();
        let broken = followed(silent, READER_PATIENCE, stopping);
        assert!(broken.try_collect::<Vec<_>>().await.is_err());
    }

    #[test]
    fn the_first_form_that_a_client_knows_is_taken() {
        let check = |accept: &'static [&'static str], expected: Option<Form>| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(Form::wanted(&headers), expected, "{accept:?}");
        };
        check(&[], None);
        check(&["*/*"], None);
        check(
            &["application/json, application/x-ndjson;q=0.5"],
            Some(Form::Lines),
        );
        check(
            &["application/json", "Text/Event-Stream"],
            Some(Form::Events),
        );
        check(
            &["text/event-stream, application/x-ndjson"],
            Some(Form::Events),
        );
    }
}
