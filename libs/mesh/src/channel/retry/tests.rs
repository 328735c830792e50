use std::convert::Infallible;

use futures::future::join_all;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame};
use parking_lot::Mutex;
use tokio_stream::iter;
use tower::ServiceExt;

use super::*;
use crate::error::{Kind, PublicError};

const GET: &str = "/kinora.test.v1.Things/Get";
const MAKE: &str = "/kinora.test.v1.Things/Make";

/// What becomes of a call.
#[derive(Clone, Debug)]
enum Fate {
    NoConnection,
    ConnectionBreaks,
    TooLate,
    /// UNAVAILABLE without a word, as transports and proxies say it.
    Unavailable,
    Said(PublicError),
    Answered,
}

#[derive(Debug, thiserror::Error)]
#[error("transport error")]
struct TransportError(#[source] Box<dyn Error + Send + Sync>);

/// What arrived at the other end.
#[derive(Debug)]
struct Seen {
    at: Instant,
    timeout: Option<String>,
    /// Empty when there was no connection.
    body: Vec<u8>,
}

/// Calls meet one fate after the other, and the last one for ever.
#[derive(Clone)]
struct Fake {
    fates: Arc<[Fate]>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    fn new(fates: &[Fate]) -> Self {
        Self {
            fates: fates.into(),
            seen: Arc::default(),
        }
    }

    fn calls(&self) -> usize {
        self.seen.lock().len()
    }

    fn channel(&self) -> RetryChannel<Self> {
        RetryChannel::new(self.clone(), &[GET])
    }

    /// Calls once, and gives the code of the answer.
    async fn call(&self, path: &str) -> Result<String, TransportError> {
        code(self.channel().oneshot(request(path, &[b"a request"])).await)
    }
}

impl Service<Request<Body>> for Fake {
    type Response = Response<Body>;
    type Error = TransportError;
    type Future = BoxFuture<'static, Result<Response<Body>, TransportError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let fate = &this.fates[this.calls().min(this.fates.len() - 1)];
            let (head, body) = request.into_parts();
            let timeout = head.headers.get("grpc-timeout");
            let mut seen = Seen {
                at: Instant::now(),
                timeout: timeout.map(|value| value.to_str().unwrap().to_owned()),
                body: Vec::new(),
            };
            // Without a connection nothing is read of the body.
            if !matches!(fate, Fate::NoConnection) {
                seen.body = body.collect().await.unwrap().to_bytes().to_vec();
            }
            this.seen.lock().push(seen);
            fate.meet()
        })
    }
}

impl Fate {
    fn meet(&self) -> Result<Response<Body>, TransportError> {
        let broken = |source| Err(TransportError(source));
        match self {
            Self::NoConnection => broken(ConnectError("refused".into()).into()),
            Self::ConnectionBreaks => broken("connection reset".into()),
            Self::TooLate => broken(TimeoutExpired(()).into()),
            Self::Unavailable => Ok(Status::unavailable("").into_http()),
            Self::Said(error) => Ok(Status::from(error.clone()).into_http()),
            Self::Answered => Ok(Response::new(Body::empty())),
        }
    }
}

fn request(path: &str, chunks: &[&[u8]]) -> Request<Body> {
    let chunks: Vec<_> = chunks
        .iter()
        .map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(chunk))))
        .collect();
    let body = Body::new(http_body_util::StreamBody::new(iter(chunks)));
    Request::post(path).body(body).unwrap()
}

/// `ok`, or the number of a status.
fn code(result: Result<Response<Body>, TransportError>) -> Result<String, TransportError> {
    let response = result?;
    let code = response.headers().get("grpc-status");
    Ok(code.map_or("ok", |code| code.to_str().unwrap()).to_owned())
}

fn said(kind: Kind, retry_after: Option<Duration>) -> Fate {
    let mut error = PublicError::new(kind, "THINGS_AWAY", "things are away");
    error.retry_after = retry_after;
    Fate::Said(error)
}

#[tokio::test(start_paused = true)]
async fn call_of_any_method_that_was_not_sent_is_sent_again() {
    for path in [GET, MAKE] {
        let fake = Fake::new(&[Fate::NoConnection, Fate::NoConnection, Fate::Answered]);
        assert_eq!(fake.call(path).await.unwrap(), "ok");
        let seen = fake.seen.lock();
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[2].body, b"a request", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn request_of_any_length_that_was_not_sent_is_sent_whole() {
    let long = [1_u8; 50 << 10];
    for path in [GET, MAKE] {
        let fake = Fake::new(&[Fate::NoConnection, Fate::Answered]);
        let answer = fake.channel().oneshot(request(path, &[&long, &long])).await;
        assert_eq!(code(answer).unwrap(), "ok");
        assert_eq!(fake.seen.lock()[1].body.len(), 2 * long.len(), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn method_that_is_not_declared_safe_is_sent_once() {
    let soon = said(Kind::Unavailable, Some(Duration::ZERO));
    for fate in [Fate::Unavailable, Fate::ConnectionBreaks, soon] {
        let fake = Fake::new(std::slice::from_ref(&fate));
        let answer = fake.call(MAKE).await;
        assert_eq!(answer.is_err(), matches!(fate, Fate::ConnectionBreaks));
        assert_eq!(fake.calls(), 1, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn safe_method_is_sent_three_times_at_most_and_whole_each_time() {
    for fate in [Fate::Unavailable, Fate::ConnectionBreaks] {
        let fake = Fake::new(std::slice::from_ref(&fate));
        let answer = fake.call(GET).await;
        assert_eq!(
            answer.ok().as_deref(),
            matches!(fate, Fate::Unavailable).then_some("14")
        );
        let seen = fake.seen.lock();
        assert_eq!(seen.len(), 3, "{fate:?}");
        assert!(seen.iter().all(|seen| seen.body == b"a request"));
        let pauses = [seen[1].at - seen[0].at, seen[2].at - seen[1].at];
        assert!(
            pauses[0] >= FIRST_PAUSE && pauses[1] >= 2 * FIRST_PAUSE,
            "{pauses:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_or_took_too_long_is_not_sent_again() {
    let others = [
        Kind::Internal,
        Kind::ResourceExhausted,
        Kind::Unauthenticated,
    ];
    let others = others.map(|kind| said(kind, Some(Duration::ZERO)));
    for fate in others.iter().chain(&[Fate::Answered, Fate::TooLate]) {
        let fake = Fake::new(std::slice::from_ref(fate));
        let answer = fake.call(GET).await;
        assert_eq!(answer.is_err(), matches!(fate, Fate::TooLate));
        assert_eq!(fake.calls(), 1, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn service_says_itself_whether_and_when_another_try_makes_sense() {
    let fate = said(Kind::Unavailable, Some(Duration::from_secs(1)));
    let fake = Fake::new(&[fate, Fate::Answered]);
    assert_eq!(fake.call(GET).await.unwrap(), "ok");
    let seen = std::mem::take(&mut *fake.seen.lock());
    let pause = seen[1].at - seen[0].at;
    assert!(pause >= Duration::from_secs(1), "{pause:?}");
    for never in [None, Some(LONGEST_PAUSE + Duration::from_millis(1))] {
        let fake = Fake::new(&[said(Kind::Unavailable, never)]);
        assert_eq!(fake.call(GET).await.unwrap(), "14");
        assert_eq!(fake.calls(), 1, "{never:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_after_its_deadline() {
    let fake = Fake::new(&[Fate::Unavailable]);
    let mut call = request(GET, &[b"a request"]);
    let within = Duration::from_millis(190);
    call.headers_mut()
        .insert("grpc-timeout", "190m".parse().unwrap());
    let begun = Instant::now();
    assert_eq!(code(fake.channel().oneshot(call).await).unwrap(), "14");
    // Timers tick in milliseconds: a pause that ends just before may end with it.
    assert!(begun.elapsed() <= within, "it does not wait in vain");
    let seen = std::mem::take(&mut *fake.seen.lock());
    assert!((2..=3).contains(&seen.len()), "{seen:?}");
    for seen in seen.iter().skip(1) {
        let left = seen.timeout.as_deref().unwrap().strip_suffix('u').unwrap();
        let left = Duration::from_micros(left.parse().unwrap());
        let spent = seen.at - begun;
        assert!(left + spent <= within && left + spent >= within - Duration::from_millis(2));
    }
    let late = Fake::new(&[Fate::NoConnection]);
    let mut call = request(MAKE, &[b"a request"]);
    call.headers_mut()
        .insert("grpc-timeout", "49m".parse().unwrap());
    assert!(late.channel().oneshot(call).await.is_err());
    assert_eq!(late.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn long_request_is_sent_as_it_is_and_once() {
    let long = [1_u8; 50 << 10];
    let fake = Fake::new(&[Fate::Unavailable]);
    let answer = fake.channel().oneshot(request(GET, &[&long, &long])).await;
    assert_eq!(code(answer).unwrap(), "14");
    let seen = fake.seen.lock();
    assert_eq!((seen.len(), seen[0].body.len()), (1, 2 * long.len()));
}

#[tokio::test(start_paused = true)]
async fn outage_does_not_multiply_calls() {
    for (path, fate) in [(GET, Fate::Unavailable), (MAKE, Fate::NoConnection)] {
        let fake = Fake::new(&[fate]);
        let channel = fake.channel();
        let calls = (0..1000).map(|_| channel.clone().oneshot(request(path, &[b"a request"])));
        join_all(calls).await;
        // A fifth of them, and one a second for ten seconds.
        let made = fake.calls();
        assert!(
            (1001..=1210).contains(&made),
            "{made} calls instead of 1000"
        );
        // Nothing is left.
        let answer = channel.clone().oneshot(request(path, &[b"one more"])).await;
        assert_eq!(code(answer).is_ok(), path == GET);
        assert_eq!(fake.calls(), made + 1);
    }
}
