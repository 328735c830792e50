//! The service that knows people, programs and organisations, and proves who calls.
//!
//! People sign in here and get a short-lived access token, which every service of the mesh checks by itself against what
//! this one publishes: the keys that sign, the terms that are in force, and what has been ended lately. API keys are
//! turned into such tokens, too. Nothing else of the mesh sees a password, a key or a mail address.
//!
//! Every change of a credential is one transaction with its line in the audit log and the mail that tells its owner.
//! Whether a mail address has an account shows in no answer to a stranger, and not in the time that it takes.
//!
//! It knows nothing of jobs or money; what billing has people told about theirs it turns into mails, and forgets.

mod app;
mod breached;
mod clients;
mod clock;
pub mod config;
mod domain;
pub mod error;
mod random;
mod sealing;
mod store;
mod worker;

mod grpc;

use std::sync::Arc;

use kinora_mesh::identity::Identity;
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::Grpc;
use kinora_proto::DESCRIPTORS;
use kinora_proto::accounts::v1::admin_service_server::AdminServiceServer;
use kinora_proto::accounts::v1::auth_service_server::AuthServiceServer;
use kinora_proto::accounts::v1::key_service_server::KeyServiceServer;
use kinora_proto::accounts::v1::notice_service_server::NoticeServiceServer;
use kinora_proto::accounts::v1::organisation_service_server::OrganisationServiceServer;
use kinora_proto::accounts::v1::trust_service_server::{self, TrustServiceServer};
use kinora_proto::accounts::v1::user_service_server::UserServiceServer;
use kinora_store::Database;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use config::{AccountsOptions, MailOptions};
pub use domain::api_key::{self, ApiKey};
pub use error::Error;
pub use grpc::CALLERS;

use app::App;
use clients::mail::Carrier;
use clock::SystemClock;
use store::Store;

/// Serves accounts on `listener` until `shutdown`, then drains.
///
/// # Errors
/// [`Error::Options`] or [`Error::Database`] before the first call is answered;
/// [`Error::Server`] when a listener fails.
pub async fn serve(
    options: AccountsOptions,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let lifecycle = Lifecycle::begin(options.probes, options.drain, &shutdown).await?;
    let carrier = Arc::new(Carrier::new(&options.mail)?);
    let db = open(&options).await?;
    let app = App::new(Store::new(db.clone()), Arc::new(SystemClock), options)?;
    app.prepare().await?;
    let app = Arc::new(app);
    let own = identity.workload().clone();
    let trust = Arc::new(grpc::OwnTrust::new(Arc::clone(&app)));
    let stopping = lifecycle.stopping().clone();
    let access = grpc::access(own, &app.options.issuer, trust, stopping)?;
    let answers = Grpc {
        routes: access.guard(routes(&app)),
        services: &grpc::SERVICES,
        vital: &[trust_service_server::SERVICE_NAME],
        descriptors: DESCRIPTORS,
        options: app.options.grpc,
    };
    let stop = CancellationToken::new();
    let duties = tokio::spawn(worker::run(Arc::clone(&app), carrier, stop.clone()));
    let served = kinora_mesh::serve::grpc(listener, &identity, answers, &lifecycle).await;
    stop.cancel();
    if let Err(error) = duties.await {
        tracing::error!(%error, "the background work broke");
    }
    db.close().await?;
    Ok(served?)
}

async fn open(options: &AccountsOptions) -> Result<Database, Error> {
    let db = Database::connect(&options.database).await?;
    if options.migrate {
        db.migrate(kinora_migrations::accounts::migrate).await?;
    }
    Ok(db)
}

fn routes(app: &Arc<App>) -> Routes {
    let app = || Arc::clone(app);
    Routes::new(AuthServiceServer::new(grpc::AuthGrpc::new(app())))
        .add_service(UserServiceServer::new(grpc::UserGrpc::new(app())))
        .add_service(KeyServiceServer::new(grpc::KeyGrpc::new(app())))
        .add_service(OrganisationServiceServer::new(grpc::OrganisationGrpc::new(
            app(),
        )))
        .add_service(AdminServiceServer::new(grpc::AdminGrpc::new(app())))
        .add_service(NoticeServiceServer::new(grpc::NoticeGrpc::new(app())))
        .add_service(TrustServiceServer::new(grpc::TrustGrpc::new(app())))
}
