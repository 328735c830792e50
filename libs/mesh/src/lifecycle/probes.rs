//! The port for probes.
//!
//! It is in the clear, so it answers two questions of one bit and reads nothing of them but their heads.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Readiness;
use crate::serve::{HEADER_TIMEOUT, next_connection};

/// Connections at a time; more wait in the system's queue. Each has one answer, within the time of a request head, so
/// that a thousand callers that say nothing hold a probe up for no longer than that.
const CONNECTIONS: usize = 1024;

/// Answers probes until the guard is dropped.
pub(super) fn start(listener: TcpListener, readiness: Readiness) -> DropGuard {
    let stop = CancellationToken::new();
    tokio::spawn(answer(listener, router(readiness), stop.clone()));
    stop.drop_guard()
}

fn router(readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    if readiness.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn answer(listener: TcpListener, router: Router, stop: CancellationToken) {
    // What is open ends with this function.
    let mut open = JoinSet::new();
    while let Ok(Some((stream, _))) = next_connection(&listener, &stop).await {
        open.spawn(answer_one(stream, router.clone()));
        while open.try_join_next().is_some() {}
        if open.len() >= CONNECTIONS {
            open.join_next().await;
        }
    }
}

async fn answer_one(stream: TcpStream, router: Router) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).keep_alive(false);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(HEADER_TIMEOUT, connection).await {
        Ok(Err(error)) => tracing::debug!(%error, "a probe ended early"),
        Err(_) => tracing::debug!("a probe was cut off"),
        Ok(Ok(())) => {}
    }
}
