//! Channels to other services.
//!
//! Every connection is mutual TLS ([`crate::identity`]), to the service that the caller names and no other.
//! `http://host:port` and `https://host:port` mean the same: nothing is ever sent in plain. [`RetryChannel`] sends calls
//! again that came to nothing.

mod retry;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::{Service, ServiceExt, service_fn};

pub use self::retry::RetryChannel;
use crate::MeshError;
use crate::identity::Identity;

/// Unread bytes of one stream: a few events with their pictures.
const STREAM_WINDOW: u32 = 128 << 10;

/// Unread bytes of all streams of a connection: thousands of full ones.
const CONNECTION_WINDOW: u32 = 512 << 20;

/// TLS wants a name, which is neither sent nor looked at.
const ANY_HOST: &str = "mesh.invalid";

/// Opens a channel to a service that connects on its first call and again whenever the connection is lost.
///
/// Whoever answers at `endpoint` must be `service`, of the trust domain and namespace of `identity`. Dead peers are
/// noticed by HTTP/2 keep-alive within 15 s; a connect attempt ends after 5 s.
///
/// # Errors
/// [`MeshError::InvalidEndpoint`] when `endpoint` is not a URL; [`MeshError::Identity`] when TLS cannot be set up.
pub fn connect_lazy(
    endpoint: &str,
    identity: &Identity,
    service: &str,
) -> Result<Channel, MeshError> {
    connect_lazy_at(&usual(endpoint)?, identity, service)
}

/// As [`connect_lazy`], for many long streams from the server. What a stream has not read holds up that stream alone:
/// by default a few that nobody reads take the room that all streams of the connection share.
///
/// # Errors
/// As [`connect_lazy`].
pub fn connect_lazy_for_streams(
    endpoint: &str,
    identity: &Identity,
    service: &str,
) -> Result<Channel, MeshError> {
    let endpoint = usual(endpoint)?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    connect_lazy_at(&endpoint, identity, service)
}

/// As [`connect_lazy`], with the caller's own times. `endpoint` is made by [`endpoint_of`].
///
/// # Errors
/// [`MeshError::Identity`] when TLS cannot be set up.
pub fn connect_lazy_at(
    endpoint: &Endpoint,
    identity: &Identity,
    service: &str,
) -> Result<Channel, MeshError> {
    let tls = TlsConnector::from(Arc::new(identity.client_config(service)?));
    let connector = service_fn(move |uri: Uri| connect(uri, tls.clone()));
    Ok(endpoint.connect_with_connector_lazy(connector))
}

/// Reads the address of a service.
///
/// # Errors
/// [`MeshError::InvalidEndpoint`] when `endpoint` is not a URL.
pub fn endpoint_of(endpoint: &str) -> Result<Endpoint, MeshError> {
    let invalid = |source| MeshError::InvalidEndpoint {
        endpoint: endpoint.to_owned(),
        source,
    };
    // Tonic's own TLS, where some crate of the build asks for it, takes every `https` for itself.
    let inner = endpoint.replacen("https://", "http://", 1);
    Endpoint::from_shared(inner).map_err(invalid)
}

fn usual(endpoint: &str) -> Result<Endpoint, MeshError> {
    Ok(endpoint_of(endpoint)?
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5)))
}

/// The end point's time limit holds for all of it.
async fn connect(uri: Uri, tls: TlsConnector) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    let stream = tcp.ready().await.map_err(io::Error::other)?.call(uri).await;
    let stream = stream.map_err(io::Error::other)?.into_inner();
    let host = ServerName::try_from(ANY_HOST).map_err(io::Error::other)?;
    Ok(TokioIo::new(tls.connect(host, stream).await?))
}
