//! Channels to other services.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::MeshError;

/// Opens a channel that connects on its first call and again whenever the connection is lost.
///
/// Dead peers are noticed by HTTP/2 keep-alive within 15 s; a connect attempt ends after 5 s.
///
/// # Errors
/// [`MeshError::InvalidEndpoint`] when `endpoint` is not a URL.
pub fn connect_lazy(endpoint: &str) -> Result<Channel, MeshError> {
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
        .tcp_nodelay(true)
        .connect_lazy())
}
