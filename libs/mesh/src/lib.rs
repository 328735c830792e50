//! What every service starts with.
//!
//! A service's `main` reads as an ordered list: parse the configuration, [`telemetry::init`],
//! [`identity::Identity::load`], [`shutdown::on_signals`], bind a listener, serve it with [`serve::grpc`] or [`serve::http`]
//! for its [`lifecycle`]. Errors that leave a service pass through [`error::PublicError`], calls to other services go over
//! [`channel::connect_lazy`], where need be through a [`channel::RetryChannel`], and carry the caller's token and the trace
//! ([`trace`]).
//!
//! This crate knows no service and no business rule.

pub mod channel;
pub mod deadline;
pub mod error;
pub mod identity;
pub mod lifecycle;
pub mod places;
pub mod principal;
pub mod secret;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod trace;
pub mod withheld;
pub mod workload;

use std::net::SocketAddr;

/// Names the meter of what all services have.
const METER: &str = "kinora-mesh";

/// A service could not start or keep running.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The address of another service is not a URL.
    #[error("`{endpoint}` is not the URL of a service")]
    InvalidEndpoint {
        /// What was configured.
        endpoint: String,
        /// Why it was refused.
        source: tonic::transport::Error,
    },
    /// The listening address cannot be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// What was configured.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The service cannot say who it is.
    #[error("this service has no identity in the mesh")]
    Identity(#[source] identity::IdentityError),
    /// The certificate of a public port cannot be used.
    #[error("the certificate of the public port cannot be used")]
    Tls(#[source] identity::IdentityError),
    /// The descriptors of the contracts cannot be read.
    #[error("the descriptors of the contracts cannot be read")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The gRPC server ended with an error.
    #[error("the gRPC server failed")]
    Grpc(#[source] tonic::transport::Error),
    /// The HTTP server ended with an error.
    #[error("the HTTP server failed")]
    Http(#[source] std::io::Error),
    /// The exporter or the log filter could not be set up.
    #[error("telemetry cannot start: {0}")]
    Telemetry(String),
}
