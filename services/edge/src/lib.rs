//! The HTTP front of the mesh.
//!
//! The edge owns nothing, and but for programs of other platforms it has no code for a call of the services behind it. It
//! knows who calls ([`auth`]), lets in whom the contracts want under `kinora.access.v1.rule`, and serves what they say under
//! `google.api.http`: the transcoder makes a message of a request, and JSON, server-sent events or JSON lines of the answer.
//! What goes wrong is answered in problem documents ([`problem`]). Nobody asks without end ([`limits`]), and refusals are
//! noted. Clips never pass through it: it redirects to a short-lived link into the object store.
//!
//! `docs/rest.md` has the paths, and what all of them have in common; the fields are those of the contracts, in `proto/`.
//!
//! It keeps no state between requests but what it has counted, so that any number of edges may stand side by side.

mod audit;
pub mod auth;
pub mod config;
pub mod error;
mod http;
pub mod limits;
mod origin;
pub mod problem;
mod safe;
mod visit;

use std::sync::Arc;

use kinora_access::{Authenticator, GrpcTrust, TrustKeeper, Verifier};
use kinora_blobs::BlobStore;
use kinora_mesh::channel::{self, RetryChannel};
use kinora_mesh::identity::Identity;
use kinora_mesh::lifecycle::{Lifecycle, ProbeOptions};
use kinora_mesh::serve::ServerCertificate;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::health_client::HealthClient;

use crate::audit::Audit;
use crate::auth::{Gate, KeyExchange};
pub use crate::config::{EdgeOptions, LimitOptions, UploadOptions};
pub use crate::error::Error;
pub use crate::http::openapi::interface;
use crate::limits::Limits;

/// Names the meter.
const METER: &str = "kinora-edge";

/// The service that has the jobs.
const SCHEDULER: &str = "scheduler";

/// The service that knows callers.
const ACCOUNTS: &str = "accounts";

/// The service that knows what callers pay.
const BILLING: &str = "billing";

/// The service that makes prompts ready.
const PROMPTS: &str = "prompts";

/// The services behind the edge, as tokens name those they are for.
const AUDIENCES: [&str; 4] = [ACCOUNTS, BILLING, PROMPTS, SCHEDULER];

/// Serves HTTP until `shutdown` and the drain delay, then ends event streams and lets single calls finish.
///
/// To the services behind it, it is `identity`.
///
/// # Errors
///
/// [`Error`] when an option makes no sense or the listener fails.
pub async fn serve(
    options: EdgeOptions,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let uploads = UploadOptions::default();
    serve_with(options, uploads, identity, listener, shutdown).await
}

/// As [`serve`], with another number of large uploads at a time.
///
/// # Errors
///
/// [`Error`] when an option makes no sense or the listener fails.
pub async fn serve_with(
    options: EdgeOptions,
    uploads: UploadOptions,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let certificate = ServerCertificate::load(&options.tls)?;
    let lifecycle = Lifecycle::begin(ProbeOptions::default(), options.drain, &shutdown).await?;
    let stopping = lifecycle.stopping().clone();
    let endpoint = &options.scheduler_endpoint;
    let calls = channel::connect_lazy(endpoint, &identity, SCHEDULER)?;
    let streams = channel::connect_lazy_for_streams(endpoint, &identity, SCHEDULER)?;
    let accounts = channel::connect_lazy(&options.accounts_endpoint, &identity, ACCOUNTS)?;
    let billing = options.billing_endpoint.as_deref();
    let billing = billing.map(|endpoint| channel::connect_lazy(endpoint, &identity, BILLING));
    let billing = billing.transpose()?;
    let prompts = options.prompts_endpoint.as_deref();
    let prompts = prompts.map(|endpoint| channel::connect_lazy(endpoint, &identity, PROMPTS));
    let prompts = prompts.transpose()?;
    let trust = GrpcTrust::new(accounts.clone());
    let accounts = RetryChannel::new(accounts, safe::ACCOUNTS);
    let channels = http::Channels {
        scheduler: RetryChannel::new(calls.clone(), safe::SCHEDULER),
        scheduler_streams: RetryChannel::new(streams, safe::SCHEDULER),
        accounts: accounts.clone(),
        billing: billing.map(|channel| RetryChannel::new(channel, safe::BILLING)),
        prompts: prompts.map(|channel| RetryChannel::new(channel, safe::PROMPTS)),
    };
    let services = http::Services::new(channels, options.call_timeout, &options.trusted_proxies)?;
    let reception = http::Reception {
        services: services.clone(),
        limits: Limits::open(&options.limits, stopping.clone()).await?,
        audit: Audit::start(stopping.clone()),
    };
    let state = http::Edge {
        services,
        scheduler_health: HealthClient::new(calls),
        gate: gate(&options, trust, accounts, &stopping),
        blobs: BlobStore::new(&options.blobs),
        link_lifetime: options.link_lifetime,
        uploads: uploads.places(),
        stripe_webhooks: http::stripe::places(),
        draining: lifecycle.draining().clone(),
        stopping: stopping.clone(),
    };
    let router = http::router(state, reception, options.cors_origins, options.reflection)?;
    let certificate = certificate.as_ref();
    kinora_mesh::serve::http(listener, certificate, router, options.http, stopping).await?;
    Ok(())
}

/// Tokens are checked and keys exchanged with what the accounts service says. Its trust is asked for every few seconds in
/// any case, and that call is not sent again.
fn gate(
    options: &EdgeOptions,
    trust: GrpcTrust,
    accounts: RetryChannel,
    stopping: &CancellationToken,
) -> Gate {
    let trust = TrustKeeper::start(Arc::new(trust), stopping.clone());
    let verifier = Verifier::new(&options.token_issuer, &AUDIENCES);
    let tokens = Authenticator::new(verifier, trust);
    let keys = KeyExchange::new(accounts, tokens.clone(), options.call_timeout);
    Gate::new(tokens, keys)
}
