//! Listening, answering, draining.

mod incoming;

use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tower::ServiceExt;

pub use self::incoming::MeshStream;
use crate::MeshError;
use crate::identity::Identity;
use crate::trace::ServerTraceLayer;

/// How long open requests may take to end once a server drains.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a client may take to send its request head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// Who is at the other end of an HTTP request's connection: in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Binds an address.
///
/// # Errors
/// [`MeshError::Bind`] with the address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, MeshError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| MeshError::Bind { address, source })
}

/// Serves gRPC with health and tracing until `shutdown`, then drains for at most ten seconds.
///
/// Callers are services of the same mesh as `identity`, by mutual TLS; every request has the caller's
/// [`Workload`](crate::workload::Workload) in its extensions.
///
/// `services` are the full names that the health service reports as serving, beside the overall one.
///
/// # Errors
/// [`MeshError::Identity`] when TLS cannot be set up; [`MeshError::Grpc`] when the listener fails.
pub async fn grpc(
    listener: TcpListener,
    identity: &Identity,
    routes: Routes,
    services: &[&'static str],
    shutdown: CancellationToken,
) -> Result<(), MeshError> {
    let incoming = incoming::incoming(listener, identity)?;
    let (health, health_service) = tonic_health::server::health_reporter();
    for service in services {
        health
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    let names = services.to_vec();
    let stop = shutdown.clone();
    let stopping = async move {
        stop.cancelled().await;
        for service in names.into_iter().chain([""]) {
            health
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    };
    // Connections get as old as their clients like, and are not checked again when certificates are renewed. Tonic 0.14
    // can bound their age: with a grace, it cuts off all streams at the end of it and never asks before; without one, it
    // asks (GOAWAY), upon which hyper's client fails the next call where a stream keeps the old connection open.
    #[expect(clippy::disallowed_methods, reason = "here it gets its mutual TLS")]
    let server = Server::builder();
    let serving = server
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .layer(ServerTraceLayer)
        .add_routes(routes)
        .add_service(health_service)
        .serve_with_incoming_shutdown(incoming, stopping);
    tokio::select! {
        result = serving => result.map_err(MeshError::Grpc),
        () = drained(&shutdown) => Ok(()),
    }
}

/// Serves HTTP/1.1 and HTTP/2 until `shutdown`, then drains for at most ten seconds.
///
/// The router is served as it is: layers, [`ServerTraceLayer`] among them, are the caller's.
///
/// # Errors
/// [`MeshError::Http`] when the listener fails for another reason than a broken client.
pub async fn http(
    listener: TcpListener,
    router: axum::Router,
    shutdown: CancellationToken,
) -> Result<(), MeshError> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30));
    let graceful = GracefulShutdown::new();
    while let Some((stream, address)) = next_connection(&listener, &shutdown).await? {
        let with_peer = move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(address));
            request
        };
        let service = TowerToHyperService::new(router.clone().map_request(with_peer));
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("open requests were cut off after the drain time");
    }
    Ok(())
}

/// The next connection, or none once the server stops.
async fn next_connection(
    listener: &TcpListener,
    shutdown: &CancellationToken,
) -> Result<Option<(TcpStream, SocketAddr)>, MeshError> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return Ok(None),
        };
        match accepted {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a client left at once");
                }
                return Ok(Some((stream, address)));
            }
            // Out of descriptors, or a client that left: wait a moment, do not spin.
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn drained(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(DRAIN).await;
    tracing::warn!("open calls were cut off after the drain time");
}
