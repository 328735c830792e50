//! The service that keeps credits: who has how many, what jobs cost, and where every one of them went.
//!
//! A **payer** is a user, or an organisation for all who act for it. Credits come as **grants** with an origin and often an
//! end. Before a job is accepted the scheduler has its price set aside in a **hold**; when the clip was delivered the hold is
//! **captured**, and however else the job ends it is **released**. A hold that nobody settles or renews lapses by itself.
//!
//! Every movement is a **transfer** in a double-entry ledger: entries that sum to zero, never changed, under an id that is
//! derived from an idempotency key. Balances are sums of entries; those that are kept beside them, for speed, are proved
//! against them every night and whenever an operator asks ([`CheckLedger`]). One function writes all of it
//! (`store/ledger.rs`).
//!
//! **The payer's row is the lock.** Whatever moves a payer's credits locks that row first, and several payers in the order
//! of their keys. Caps, windows, balances and the order in which grants are spent are therefore exact, on SQLite and on
//! PostgreSQL, with any number of replicas. A call that is broken off anywhere has done all or nothing, and may be made
//! again. Calls about one payer's holds that come to a process at the same time share a transaction, each decided after the
//! one before it (`app/together.rs`).
//!
//! It knows users by id only, and runs no job. Money is taken by Stripe, on pages of Stripe's: billing opens them, and makes
//! its receipts and the ledger agree with what Stripe says of payments (`app/payments.rs`). No card and no address of
//! anybody comes here. Where people are to be told something, accounts does it, which has their addresses.
//!
//! [`CheckLedger`]: kinora_proto::billing::v1::admin_service_client::AdminServiceClient::check_ledger

// Whether a call of Stripe's can move between threads is asked through all of Stripe's types, which hold each other.
#![recursion_limit = "256"]

mod app;
mod clients;
mod clock;
pub mod config;
mod domain;
pub mod error;
mod metrics;
mod store;
mod worker;

mod grpc;

use std::sync::Arc;

use kinora_mesh::channel;
use kinora_mesh::identity::Identity;
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::Grpc;
use kinora_proto::DESCRIPTORS;
use kinora_proto::billing::v1::admin_service_server::AdminServiceServer;
use kinora_proto::billing::v1::billing_service_server::BillingServiceServer;
use kinora_proto::billing::v1::ledger_service_server::{self, LedgerServiceServer};
use kinora_proto::billing::v1::payment_service_server::PaymentServiceServer;
use kinora_store::Database;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use config::BillingOptions;
pub use domain::voucher_code::VoucherKey;
pub use error::Error;
pub use grpc::CALLERS;

use app::App;
use clients::Notices;
use clock::SystemClock;
use metrics::Metrics;
use store::Store;

/// The service that says what callers' tokens are checked against, and that tells people by mail.
const ACCOUNTS: &str = "accounts";

/// Serves billing on `listener` until `shutdown`, then drains.
///
/// Opens the database that the options name and brings its schema up to date unless told not to. Callers are services of
/// the same mesh as `identity`.
///
/// # Errors
/// [`Error::Options`], [`Error::Rules`] or [`Error::Database`] before the first call is answered;
/// [`Error::Server`] when the listener fails.
pub async fn serve(
    options: BillingOptions,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let lifecycle = Lifecycle::begin(options.probes, options.drain, &shutdown).await?;
    let accounts = channel::connect_lazy(&options.accounts_endpoint, &identity, ACCOUNTS)?;
    let notices = Notices::new(accounts.clone());
    let own = identity.workload().clone();
    let stopping = lifecycle.stopping().clone();
    let access = grpc::access(own, &options.token_issuer, accounts, stopping)?;
    // Problems of the options show before anything is written.
    let plans = options.plans()?;
    let payments = app::Payments::from_options(&options.payments, &plans)?;
    let db = open(&options).await?;
    let store = Store::new(db.clone());
    let app = App::new(
        store,
        Arc::new(SystemClock),
        plans,
        options,
        Metrics::global(),
        payments,
    );
    let app = Arc::new(app);
    app.prepare().await?;
    let answers = Grpc {
        routes: access.guard(routes(&app)),
        services: &grpc::SERVICES,
        // Jobs that ended are settled however many people look at their balance.
        vital: &[ledger_service_server::SERVICE_NAME],
        descriptors: DESCRIPTORS,
        options: app.options.grpc,
    };
    let stop = CancellationToken::new();
    let duties = tokio::spawn(worker::run(Arc::clone(&app), notices, stop.clone()));
    let served = kinora_mesh::serve::grpc(listener, &identity, answers, &lifecycle).await;
    stop.cancel();
    if let Err(error) = duties.await {
        tracing::error!(%error, "the background work broke");
    }
    db.close().await?;
    Ok(served?)
}

async fn open(options: &BillingOptions) -> Result<Database, Error> {
    let db = Database::connect(&options.database).await?;
    if options.migrate {
        db.migrate(kinora_migrations::billing::migrate).await?;
    }
    Ok(db)
}

fn routes(app: &Arc<App>) -> Routes {
    let app = || Arc::clone(app);
    Routes::new(LedgerServiceServer::new(grpc::LedgerGrpc::new(app())))
        .add_service(BillingServiceServer::new(grpc::BillingGrpc::new(app())))
        .add_service(PaymentServiceServer::new(grpc::PaymentGrpc::new(app())))
        .add_service(AdminServiceServer::new(grpc::AdminGrpc::new(app())))
}
