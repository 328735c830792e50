//! Listening, answering, draining.

mod http;
mod incoming;
mod shed;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

pub use self::http::{HttpOptions, http};
pub use self::incoming::MeshStream;
use self::shed::ShedLayer;
pub use self::tls::{ServerCertificate, TlsOptions};
use crate::MeshError;
use crate::identity::Identity;
use crate::lifecycle::Lifecycle;
use crate::trace::ServerTraceLayer;

/// How long open requests may take to end once a server drains.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a client may take to send its request head.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Services that every server has, the second one if it is wanted.
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";

/// Who is at the other end of an HTTP request's connection: in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// How a gRPC server answers.
#[derive(Args, Clone, Copy, Debug)]
pub struct GrpcOptions {
    /// Calls that are under way at a time. What comes beyond is refused at once (UNAVAILABLE, reason OVERLOADED), so that
    /// a flood makes nobody wait. Streams count until they are open; health is answered always.
    #[arg(
        long,
        env = "KINORA_MAX_CALLS_UNDER_WAY",
        default_value_t = Self::MAX_CALLS_UNDER_WAY,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_calls_under_way: u32,
    /// Tell services of the mesh which services, methods and messages there are (gRPC reflection), for tools such as
    /// grpcurl. They need a certificate of the mesh.
    #[arg(long, env = "KINORA_GRPC_REFLECTION")]
    pub grpc_reflection: bool,
}

impl GrpcOptions {
    const MAX_CALLS_UNDER_WAY: u32 = 1024;
}

impl Default for GrpcOptions {
    fn default() -> Self {
        Self {
            max_calls_under_way: Self::MAX_CALLS_UNDER_WAY,
            grpc_reflection: false,
        }
    }
}

/// What a gRPC server answers, beside health.
#[derive(Clone, Debug)]
pub struct Grpc {
    /// The services, behind their access rules.
    pub routes: Routes,
    /// Their full names, which health and reflection go by.
    pub services: &'static [&'static str],
    /// Those of them that are answered however many calls are under way: few call them, and the rest of the mesh lives by
    /// their answers.
    pub vital: &'static [&'static str],
    /// The encoded descriptors of their contracts, for reflection.
    pub descriptors: &'static [u8],
    /// How it answers.
    pub options: GrpcOptions,
}

impl Grpc {
    /// Routes of services without names, answered in the usual way.
    #[must_use]
    pub fn of(routes: Routes) -> Self {
        Self {
            routes,
            services: &[],
            vital: &[],
            descriptors: &[],
            options: GrpcOptions::default(),
        }
    }

    /// Reflection, if it is wanted.
    fn reflection(
        &self,
    ) -> Result<Option<ServerReflectionServer<impl ServerReflection + use<>>>, MeshError> {
        if !self.options.grpc_reflection {
            return Ok(None);
        }
        let builder: Builder<'static> = Builder::configure()
            .register_encoded_file_descriptor_set(self.descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        let names = self.services.iter().copied().chain([HEALTH, REFLECTION]);
        let builder = names.fold(builder, |builder, name| builder.with_service_name(name));
        builder.build_v1().map(Some).map_err(MeshError::Reflection)
    }
}

/// Binds an address.
///
/// # Errors
/// [`MeshError::Bind`] with the address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, MeshError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| MeshError::Bind { address, source })
}

/// Serves gRPC with health and tracing, says so in `lifecycle`, and ends with it: health says no while it drains; then
/// connections are asked to end, and open calls have ten seconds.
///
/// Callers are services of the same mesh as `identity`, by mutual TLS; every request has the caller's
/// [`Workload`](crate::workload::Workload) in its extensions. Health and reflection are for all of them, and stand outside
/// of the access rules that the routes may have.
///
/// # Errors
/// [`MeshError::Identity`] when TLS cannot be set up; [`MeshError::Reflection`] when the descriptors cannot be read;
/// [`MeshError::Grpc`] when the listener fails.
pub async fn grpc(
    listener: TcpListener,
    identity: &Identity,
    grpc: Grpc,
    lifecycle: &Lifecycle,
) -> Result<(), MeshError> {
    let incoming = incoming::incoming(listener, identity)?;
    let reflection = grpc.reflection()?;
    let (health, health_service) = tonic_health::server::health_reporter();
    for service in grpc.services {
        health
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    let stopping = stopping(health, grpc.services, lifecycle.clone());
    // Connections get as old as their clients like, and are not checked again when certificates are renewed. Tonic 0.14
    // can bound their age: with a grace, it cuts off all streams at the end of it and never asks before; without one, it
    // asks (GOAWAY), upon which hyper's client fails the next call where a stream keeps the old connection open.
    #[expect(clippy::disallowed_methods, reason = "here it gets its mutual TLS")]
    let server = Server::builder();
    let serving = server
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .layer(ServerTraceLayer)
        .layer(ShedLayer::new(grpc.options.max_calls_under_way, grpc.vital))
        .add_routes(grpc.routes)
        .add_service(health_service)
        .add_optional_service(reflection)
        .serve_with_incoming_shutdown(incoming, stopping);
    lifecycle.serve();
    tokio::select! {
        result = serving => result.map_err(MeshError::Grpc),
        () = drained(lifecycle.stopping()) => Ok(()),
    }
}

/// Ends when the server is to stop; health says no as soon as it drains.
async fn stopping(health: HealthReporter, services: &[&'static str], lifecycle: Lifecycle) {
    lifecycle.draining().cancelled().await;
    for service in services.iter().copied().chain([""]) {
        health
            .set_service_status(service, ServingStatus::NotServing)
            .await;
    }
    lifecycle.stopping().cancelled().await;
}

/// The next connection, or none once the server stops.
pub(crate) async fn next_connection(
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

async fn drained(stopping: &CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(DRAIN).await;
    tracing::warn!("open calls were cut off after the drain time");
}
