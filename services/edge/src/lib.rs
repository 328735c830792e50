//! The HTTP front of the mesh.
//!
//! The edge owns nothing. It knows who calls ([`auth`]), reads JSON strictly ([`submission`]), asks the scheduler
//! over gRPC ([`client`]) and answers in plain JSON ([`view`]), in server-sent events, or in problem documents
//! ([`problem`]). Clips never pass through it: it redirects to a short-lived link into the object store.
//!
//! `docs/rest.md` has every field and error.
//!
//! | path | answer |
//! | --- | --- |
//! | `POST /v1/videos` | 201, the video that was accepted; pictures come in base64 |
//! | `POST /v1/videos:estimate` | 200, what it would take |
//! | `GET /v1/videos`, `GET /v1/videos/{id}` | 200; `state=queued,running` lists those alone |
//! | `GET /v1/videos/{id}/events` | an event stream, resumed by `Last-Event-ID`; some events carry a preview |
//! | `POST /v1/videos/{id}:cancel`, `:approve` | 200, the video after it |
//! | `POST /v1/videos/{id}:remix` | 201, a new video; the body has what differs |
//! | `POST /v1/videos/{id}:extend` | 201, a sequence that goes on from it |
//! | `DELETE /v1/videos/{id}` | 204 |
//! | `GET /v1/videos/{id}/content`, `thumbnail`, `still`, `manifest` | 307 to a link; `HEAD` too |
//! | `GET /v1/videos/{id}/preview`, `preview/thumbnail` and so on | the same of the preview to approve |
//! | `POST /v1/batches`, `POST /v1/sequences` | 201, several videos under one id |
//! | `GET /v1/batches/{id}`, `/events`, `POST /v1/batches/{id}:cancel` | 200; the same for sequences |
//! | `GET`, `POST /v1/webhooks`, `GET`, `PATCH`, `DELETE /v1/webhooks/{id}` | endpoints that are notified |
//! | `POST /v1/webhooks/{id}:rotate-secret`, `GET /v1/webhooks/{id}/deliveries`, `POST /v1/deliveries/{id}:replay` | 200 |
//! | `GET /v1/admin/workers`, `queues`, `dead-letters`, `tenants/{id}` | 200, for operators |
//! | `POST /v1/admin/workers/{id}:cordon`, `:uncordon`, `:drain`, `POST /v1/admin/dead-letters/{id}:retry` | 200 |
//! | `PATCH /v1/admin/tenants/{id}` | 200, weight and limits after it |
//! | `GET /v1/models` | 200 |
//! | `POST /v1/stripe:webhook` | 200, once what Stripe says is kept |
//! | `GET /healthz`, `GET /readyz` | 200 while alive; while the scheduler answers |
//!
//! `Idempotency-Key` makes it safe to send any request again that makes videos; webhooks have none. Without one, an
//! equal body of the same caller within a minute answers with the same video, unless `Allow-Duplicate: true` (or the
//! field `allow_duplicate`) is there.
//!
//! It keeps no state between requests, so that any number of edges may stand side by side.

pub mod auth;
pub mod client;
pub mod config;
pub mod error;
mod fields;
mod http;
mod origin;
pub mod problem;
mod safe;
mod settings;
pub mod submission;
pub mod view;

use std::sync::Arc;

use kinora_access::{Authenticator, GrpcTrust, TrustKeeper, Verifier};
use kinora_blobs::BlobStore;
use kinora_mesh::channel::{self, RetryChannel};
use kinora_mesh::identity::Identity;
use kinora_mesh::lifecycle::{Lifecycle, ProbeOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::auth::{Gate, KeyExchange};
use crate::client::Scheduler;
pub use crate::config::{EdgeOptions, UploadOptions};
pub use crate::error::Error;

/// The service that has the jobs.
const SCHEDULER: &str = "scheduler";

/// The service that knows callers.
const ACCOUNTS: &str = "accounts";

/// The service that knows what callers pay.
const BILLING: &str = "billing";

/// The services behind the edge, as tokens name those they are for.
const AUDIENCES: [&str; 3] = [ACCOUNTS, BILLING, SCHEDULER];

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
    let lifecycle = Lifecycle::begin(ProbeOptions::default(), options.drain, &shutdown).await?;
    let stopping = lifecycle.stopping().clone();
    // Streams have a connection of their own: slow readers must not hold up single calls.
    let endpoint = &options.scheduler_endpoint;
    let calls = channel::connect_lazy(endpoint, &identity, SCHEDULER)?;
    let streams = channel::connect_lazy_for_streams(endpoint, &identity, SCHEDULER)?;
    let accounts = channel::connect_lazy(&options.accounts_endpoint, &identity, ACCOUNTS)?;
    let billing = options.billing_endpoint.as_deref();
    let billing = billing.map(|endpoint| channel::connect_lazy(endpoint, &identity, BILLING));
    let billing = billing.transpose()?;
    let trust = GrpcTrust::new(accounts.clone());
    let accounts = RetryChannel::new(accounts, safe::ACCOUNTS);
    let state = http::Edge {
        scheduler: Scheduler::new(calls, streams, options.call_timeout),
        services: http::Services::new(
            accounts.clone(),
            billing.map(|channel| RetryChannel::new(channel, safe::BILLING)),
            options.call_timeout,
            &options.trusted_proxies,
        )?,
        gate: gate(&options, trust, accounts, &stopping),
        blobs: BlobStore::new(&options.blobs),
        link_lifetime: options.link_lifetime,
        uploads: uploads.places(),
        stripe_webhooks: http::stripe::places(),
        draining: lifecycle.draining().clone(),
        stopping: stopping.clone(),
    };
    let router = http::router(state, options.cors_origins);
    kinora_mesh::serve::http(listener, router, stopping).await?;
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
