//! The service that makes prompts ready for models, and says whether they may be generated.
//!
//! An **order** is what a person typed, and for which family of models. It is **judged** first: what they wrote, each text by
//! itself and all together, by words, patterns, a classifier of sentences and, where the operator wants it, somebody else's
//! moderation. What is refused goes no further. Then it is **rewritten**, by rules or by a language model, and what was
//! written is judged again: an enhancer can make nothing of a prompt that its author could not have had.
//!
//! **Moderation fails closed, enhancement fails open.** Whatever keeps a text from being judged is an error, and nothing is
//! accepted; whatever keeps it from being rewritten leaves the original, with the reason in the answer. All of it is
//! done within one deadline. A language model waits on threads of its own and takes few at a time, so that whoever needs
//! none is not held up.
//!
//! What is neither allowed nor refused waits in a **queue** for a person, whose decision is good for the same texts of the
//! same owner for a while. That queue is all that is kept; results of equal orders are remembered in memory, and have
//! nothing of who asked.
//!
//! It knows no user but by name, and no job.

mod app;
mod clients;
mod clock;
pub mod config;
mod domain;
pub mod error;
mod grpc;
mod metrics;
mod store;
mod worker;

use std::sync::Arc;

use kinora_mesh::channel;
use kinora_mesh::identity::Identity;
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::Grpc;
use kinora_proto::DESCRIPTORS;
use kinora_proto::prompts::v1::prompt_service_server::{self, PromptServiceServer};
use kinora_proto::prompts::v1::review_service_server::ReviewServiceServer;
use kinora_store::Database;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use config::PromptsOptions;
pub use error::Error;
pub use grpc::CALLERS;

use app::App;
use clock::SystemClock;
use metrics::Metrics;
use store::Store;

/// The service that says what callers' tokens are checked against.
const ACCOUNTS: &str = "accounts";

/// Serves prompts on `listener` until `shutdown`, then drains.
///
/// Reads policy, templates and models, opens the database that the options name and brings its schema up to date unless told
/// not to. Callers are services of the same mesh as `identity`.
///
/// # Errors
/// [`Error::Options`], [`Error::Rules`] or [`Error::Database`] before the first call is answered;
/// [`Error::Server`] when the listener fails.
pub async fn serve(
    options: PromptsOptions,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let lifecycle = Lifecycle::begin(options.probes, options.drain, &shutdown).await?;
    let accounts = channel::connect_lazy(&options.accounts_endpoint, &identity, ACCOUNTS)?;
    let own = identity.workload().clone();
    let stopping = lifecycle.stopping().clone();
    let access = grpc::access(own, &options.token_issuer, accounts, stopping)?;
    let db = open(&options).await?;
    let app = Arc::new(load(options, Store::new(db.clone())).await?);
    let answers = Grpc {
        routes: access.guard(routes(&app)),
        services: &grpc::SERVICES,
        // Nothing is accepted without it.
        vital: &[prompt_service_server::SERVICE_NAME],
        descriptors: DESCRIPTORS,
        options: app.options.grpc,
    };
    let stop = CancellationToken::new();
    let duties = tokio::spawn(worker::run(Arc::clone(&app), stop.clone()));
    let served = kinora_mesh::serve::grpc(listener, &identity, answers, &lifecycle).await;
    stop.cancel();
    if let Err(error) = duties.await {
        tracing::error!(%error, "the background work broke");
    }
    db.close().await?;
    Ok(served?)
}

/// Models take seconds to load.
async fn load(options: PromptsOptions, store: Store) -> Result<App, Error> {
    let opening = move || App::open(options, store, Arc::new(SystemClock), Metrics::global());
    let opened = tokio::task::spawn_blocking(opening).await;
    opened.map_err(|error| Error::Broken(format!("the start broke: {error}")))?
}

async fn open(options: &PromptsOptions) -> Result<Database, Error> {
    let db = Database::connect(&options.database).await?;
    if options.migrate {
        db.migrate(kinora_migrations::prompts::migrate).await?;
    }
    Ok(db)
}

fn routes(app: &Arc<App>) -> Routes {
    let app = || Arc::clone(app);
    Routes::new(PromptServiceServer::new(grpc::PromptGrpc::new(app())))
        .add_service(ReviewServiceServer::new(grpc::ReviewGrpc::new(app())))
}
