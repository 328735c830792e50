//! Channels to other services.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::MeshError;

/// Unread bytes of one stream: a few events with their pictures.
const STREAM_WINDOW: u32 = 128 << 10;

/// Unread bytes of all streams of a connection: thousands of full ones.
const CONNECTION_WINDOW: u32 = 512 << 20;

/// Opens a channel that connects on its first call and again whenever the connection is lost.
///
/// Dead peers are noticed by HTTP/2 keep-alive within 15 s; a connect attempt ends after 5 s.
///
/// # Errors
/// [`MeshError::InvalidEndpoint`] when `endpoint` is not a URL.
pub fn connect_lazy(endpoint: &str) -> Result<Channel, MeshError> {
    Ok(endpoint_of(endpoint)?.connect_lazy())
}

/// As [`connect_lazy`], for many long streams from the server. What a stream has not read holds up that stream alone:
/// by default a few that nobody reads take the room that all streams of the connection share.
///
/// # Errors
/// [`MeshError::InvalidEndpoint`] when `endpoint` is not a URL.
pub fn connect_lazy_for_streams(endpoint: &str) -> Result<Channel, MeshError> {
    let endpoint = endpoint_of(endpoint)?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    Ok(endpoint.connect_lazy())
}

fn endpoint_of(endpoint: &str) -> Result<Endpoint, MeshError> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(|source| {
        MeshError::InvalidEndpoint {
            endpoint: endpoint.to_owned(),
            source,
        }
    })?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .tcp_nodelay(true))
}
