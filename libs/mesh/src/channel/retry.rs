//! Calls that are sent again.

mod kept;

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;
use tower::Service;
use tower::retry::budget::{Budget, TpsBudget};

use self::kept::Kept;
use crate::{METER, deadline};

/// How often a call is sent again at most.
const MAX_RETRIES: u32 = 2;

/// Before the first retry. The second one waits twice as long, and each up to as long again by chance, so that those who
/// failed together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Who asks for a longer pause is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Calls of this time count for the budget.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);

/// So many of them may be sent again.
const BUDGET_SHARE: f32 = 0.2;

/// So many more a second, for channels that are hardly used.
const BUDGET_RESERVE: u32 = 1;

/// A channel that sends calls again that came to nothing, where that can do no harm. Clones share their budget.
///
/// A call is sent again when
/// - it was not sent: no connection could be made. That holds for every method;
/// - its method is declared safe, and it was answered with UNAVAILABLE or its connection broke.
///
/// For all of that it is sent three times at most, not after its deadline (`grpc-timeout`), and within the **budget**: a
/// fifth of the calls of the last ten seconds, and one a second. So an outage does not make many calls out of one, and
/// who recovers from it meets hardly more of them than before.
///
/// UNAVAILABLE in a service's own words, with a reason, is an answer. It is asked again only if it says when
/// (`google.rpc.RetryInfo`), and that is within two seconds. No stream is begun again that has begun, and no request of
/// more than 64 KiB of which something was read.
#[derive(Clone)]
pub struct RetryChannel<S = Channel> {
    inner: S,
    rules: Arc<Rules>,
}

struct Rules {
    safe: &'static [&'static str],
    budget: TpsBudget,
    retries: Counter<u64>,
}

/// How a call came to nothing.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// It did not leave this process.
    NotSent,
    /// It may have been answered, or not. Another try makes sense after this long.
    Unavailable(Duration),
}

impl<S> RetryChannel<S> {
    /// Sends over `inner`. `safe` are the full paths of methods that may be called twice, such as
    /// `/kinora.scheduler.v1.VideoService/GetVideo`; all of them take a single request.
    #[must_use]
    pub fn new(inner: S, safe: &'static [&'static str]) -> Self {
        let retries = global::meter(METER)
            .u64_counter("kinora.mesh.calls.retried")
            .with_unit("{call}")
            .with_description("Calls that came to nothing and might be sent again.")
            .build();
        let rules = Rules {
            safe,
            budget: TpsBudget::new(BUDGET_WINDOW, BUDGET_RESERVE, BUDGET_SHARE),
            retries,
        };
        Self {
            inner,
            rules: Arc::new(rules),
        }
    }
}

impl<S> Service<Request<Body>> for RetryChannel<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Error + Send + Sync + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that was asked whether it is ready is the one that is called.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let rules = Arc::clone(&self.rules);
        Box::pin(async move { rules.send(inner, request).await })
    }
}

impl Rules {
    async fn send<S>(
        &self,
        mut inner: S,
        request: Request<Body>,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
        S::Error: Error + 'static,
    {
        self.budget.deposit();
        let (mut head, body) = request.into_parts();
        let is_safe = self.safe.contains(&head.uri.path());
        let deadline = deadline::of(&head.headers);
        let (mut body, kept) = Kept::of(body, is_safe).await;
        let mut retry = 0;
        loop {
            let result = inner.call(Request::from_parts(head.clone(), body)).await;
            let failure = Failure::of(&result);
            let Some(pause) = failure.and_then(|it| it.pause(is_safe, retry, deadline)) else {
                return result;
            };
            let Some(again) = kept.again() else {
                return result;
            };
            if !self.is_within_budget() {
                return result;
            }
            drop(result);
            sleep(pause).await;
            deadline::write(&mut head.headers, deadline);
            poll_fn(|context| inner.poll_ready(context)).await?;
            body = again;
            retry += 1;
        }
    }

    fn is_within_budget(&self) -> bool {
        let is_within = self.budget.withdraw();
        let outcome = if is_within { "sent" } else { "over_budget" };
        self.retries.add(1, &[KeyValue::new("outcome", outcome)]);
        is_within
    }
}

impl Failure {
    /// None when it was answered, or took too long.
    fn of<E: Error + 'static>(result: &Result<Response<Body>, E>) -> Option<Self> {
        match result {
            Ok(response) => Self::of_answer(response.headers()),
            Err(error) => Self::of_error(error),
        }
    }

    fn of_answer(head: &HeaderMap) -> Option<Self> {
        if head.get("grpc-status")?.as_bytes() != b"14" {
            return None;
        }
        let details = Status::from_header_map(head)?.get_error_details();
        let asked = details.retry_info().and_then(|info| info.retry_delay);
        if asked.is_none() && details.error_info().is_some() {
            return None;
        }
        Some(Self::Unavailable(asked.unwrap_or_default()))
    }

    fn of_error(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<ConnectError>() {
                return Some(Self::NotSent);
            }
            if error.is::<TimeoutExpired>() {
                return None;
            }
            cause = error.source();
        }
        Some(Self::Unavailable(Duration::ZERO))
    }

    /// How long to wait before the call is sent again. None when it must not be, or would be too late.
    fn pause(&self, is_safe: bool, retry: u32, deadline: Option<Instant>) -> Option<Duration> {
        let asked = match *self {
            _ if retry >= MAX_RETRIES => return None,
            Self::NotSent => Duration::ZERO,
            Self::Unavailable(asked) if is_safe && asked <= LONGEST_PAUSE => asked,
            Self::Unavailable(_) => return None,
        };
        let least = asked.max(FIRST_PAUSE * 2_u32.pow(retry));
        let pause = least.mul_f64(rand::random_range(1.0..2.0));
        let is_in_time = deadline.is_none_or(|deadline| Instant::now() + pause < deadline);
        is_in_time.then_some(pause)
    }
}

impl<S> fmt::Debug for RetryChannel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryChannel")
            .field("safe", &self.rules.safe.len())
            .field("budget", &self.rules.budget)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
