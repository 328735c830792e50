//! Refusing what is too much.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{self, BoxFuture};
use http::{Request, Response};
use opentelemetry::global;
use opentelemetry::metrics::Counter;
use tokio::sync::Semaphore;
use tonic::Status;
use tower::{Layer, Service};

use super::HEALTH;
use crate::METER;
use crate::error::{Kind, PublicError};

/// After this long it may be worth another try.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bounds the calls that are under way, over all connections. A call beyond that is refused at once and never waits:
/// who answers what has come already must not spend its time on a queue whose callers have given up.
///
/// A call has its place until the head of its answer is there. Handlers of single answers give head and answer together,
/// so that such a call has its place until it is answered. A stream that the server sends has its place while it is being
/// opened only: those that are open last for hours, have limits of their own, and must not use up the places of calls.
/// A call that its caller gives up loses its place at once.
///
/// Health is always answered: a service that is busy is not broken. So are services that are vital to others: a flood of
/// sign-ins must not keep the mesh from learning whose tokens have ended.
#[derive(Clone, Debug)]
pub(super) struct ShedLayer {
    places: Arc<Semaphore>,
    vital: &'static [&'static str],
    refused: Counter<u64>,
}

impl ShedLayer {
    /// For so many calls at a time, those of health and of `vital` services not counted.
    pub(super) fn new(most: u32, vital: &'static [&'static str]) -> Self {
        let refused = global::meter(METER)
            .u64_counter("kinora.mesh.calls.refused")
            .with_unit("{call}")
            .with_description("Calls that were refused because too many were under way.")
            .build();
        Self {
            places: Arc::new(Semaphore::new(most as usize)),
            vital,
            refused,
        }
    }

    fn is_vital(&self, path: &str) -> bool {
        let service = path
            .strip_prefix('/')
            .and_then(|path| path.split('/').next());
        service.is_some_and(|service| service == HEALTH || self.vital.contains(&service))
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        Shed {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind [`ShedLayer`].
#[derive(Clone, Debug)]
pub(super) struct Shed<S> {
    inner: S,
    layer: ShedLayer,
}

impl<S, B, R> Service<Request<B>> for Shed<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.layer.is_vital(request.uri().path()) {
            return Box::pin(self.inner.call(request));
        }
        let Ok(place) = Arc::clone(&self.layer.places).try_acquire_owned() else {
            self.layer.refused.add(1, &[]);
            return Box::pin(future::ok(overloaded().into_http()));
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await;
            drop(place);
            response
        })
    }
}

fn overloaded() -> Status {
    let error = PublicError::new(
        Kind::Unavailable,
        "OVERLOADED",
        "too many calls are under way; try again in a moment",
    );
    error.with_retry_after(RETRY_AFTER).into()
}

#[cfg(test)]
mod tests;
