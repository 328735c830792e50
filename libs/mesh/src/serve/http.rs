//! A port for clients that are no services of the mesh.

mod activity;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use self::activity::{Activity, Watched};
use super::{DRAIN, HEADER_TIMEOUT, PeerAddress, ServerCertificate, next_connection};
use crate::MeshError;

/// Requests of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 200;

/// The names and values of one request's headers, as HTTP/2 counts them.
const MAX_HEADER_LIST_BYTES: u32 = 32 << 10;

/// What is read of an HTTP/1.1 connection at a time, which bounds the head of a request.
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// Clients that do not answer a ping are gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client that was asked to leave may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// How many clients a public port has.
#[derive(Args, Clone, Copy, Debug)]
pub struct HttpOptions {
    /// Connections that are open at a time; further ones wait in the system's queue.
    #[arg(
        long,
        env = "KINORA_MAX_CONNECTIONS",
        default_value_t = Self::MAX_CONNECTIONS,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_connections: u32,
}

impl HttpOptions {
    const MAX_CONNECTIONS: u32 = 10_000;
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_connections: Self::MAX_CONNECTIONS,
        }
    }
}

/// Serves HTTP/1.1 and HTTP/2 until `shutdown`, then drains for at most ten seconds: over TLS with a certificate, in plain
/// without one.
///
/// The router is served as it is: layers, [`ServerTraceLayer`](crate::trace::ServerTraceLayer) among them, are the
/// caller's. A client has ten seconds for its handshake and for the head of a request; a connection on which nothing is
/// asked for 75 seconds is closed.
///
/// # Errors
/// [`MeshError::Tls`] when TLS cannot be set up; [`MeshError::Http`] when the listener fails for another reason than a
/// broken client.
pub async fn http(
    listener: TcpListener,
    certificate: Option<&ServerCertificate>,
    router: axum::Router,
    options: HttpOptions,
    shutdown: CancellationToken,
) -> Result<(), MeshError> {
    let config = certificate.map(ServerCertificate::config).transpose()?;
    let server = Arc::new(HttpServer {
        builder: builder(),
        acceptor: config.map(|config| TlsAcceptor::from(Arc::new(config))),
        router,
        shutdown: shutdown.clone(),
    });
    let places = Arc::new(Semaphore::new(options.max_connections as usize));
    let connections = TaskTracker::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = shutdown.cancelled() => break,
        };
        let Some((stream, address)) = next_connection(&listener, &shutdown).await? else {
            break;
        };
        let server = Arc::clone(&server);
        connections.spawn(async move {
            let _place = place;
            server.accepted(stream, address).await;
        });
    }
    drop(listener);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!("open requests were cut off after the drain time");
    }
    Ok(())
}

struct HttpServer {
    builder: auto::Builder<TokioExecutor>,
    acceptor: Option<TlsAcceptor>,
    router: axum::Router,
    shutdown: CancellationToken,
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // How long a head may take is measured from its first byte, by `Activity`: hyper counts the time between two
        // requests too.
        .header_read_timeout(None)
        .max_buf_size(MAX_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

impl HttpServer {
    async fn accepted<S>(&self, stream: S, address: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(acceptor) = &self.acceptor else {
            return self.serve(stream, address).await;
        };
        let shaken = tokio::select! {
            shaken = timeout(HEADER_TIMEOUT, acceptor.accept(stream)) => shaken,
            () = self.shutdown.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.serve(stream, address).await,
            Ok(Err(error)) => tracing::debug!(%address, %error, "a handshake failed"),
            Err(_) => tracing::debug!(%address, "a handshake took too long"),
        }
    }

    async fn serve<S>(&self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::begin();
        let counted = activity.clone();
        let router = self.router.clone();
        let service = tower::service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer));
            let busy = counted.request(request.version());
            let answer = router.clone().oneshot(request);
            async move { Ok::<_, std::convert::Infallible>(busy.until_sent(answer.await)) }
        });
        let stream = TokioIo::new(Watched::new(stream, activity.clone()));
        let service = TowerToHyperService::new(service);
        let mut connection = pin!(self.builder.serve_connection(stream, service));
        tokio::select! {
            result = connection.as_mut() => return ended(result),
            () = activity.over() => {
                connection.as_mut().graceful_shutdown();
                let farewell = timeout(FAREWELL, connection).await;
                return farewell.map_or((), ended);
            }
            () = self.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        ended(connection.await);
    }
}

fn ended<E: std::fmt::Display>(result: Result<(), E>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
