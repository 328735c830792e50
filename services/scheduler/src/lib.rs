//! The service that owns jobs, attempts, leases and workers.
//!
//! A job is one row. Callers submit, read, watch, cancel and delete their own; workers dial in, hold one
//! stream each, take leases down it and report up it. Every change of a job is a rule of
//! [`domain::transition`] applied under the row's lock in one transaction, so that all state is in the
//! database: the process may be killed at any moment and loses nothing, and several replicas may share
//! one PostgreSQL.
//!
//! What keeps a lost or confused worker from doing harm is the **lease number**: it grows with every
//! claim, every report carries it, and a report under an older number changes nothing. Workers store
//! objects under their lease's own prefix, so that they cannot overwrite each other's either.
//!
//! A worker that is not heard for [`SchedulerOptions::worker_ttl`] is lost, and its jobs are queued again; a
//! stream that merely breaks is not, because the worker attaches again and names the leases it holds.
//!
//! Watchers get stored transitions first, then the present state, then what happens. Events travel over a bus that may
//! lose them ([`signals`]); progress is written to the row at most once a second and goes to watchers more often, under
//! numbers that no stored change ever takes ([`domain::job::SEQ_STRIDE`]).
//!
//! While an attempt runs, its worker names the **checkpoints** it has stored. The row keeps the newest one of the
//! current lease, and the next grant carries it. Pictures that come with a submission are stored before its row, and those
//! that callers have uploaded before ([`app`], `uploads.rs`) are copied there;
//! **previews** of a running attempt go to whoever watches, and nowhere else.
//!
//! A **preview** that was asked for is made first; its job then awaits approval. Jobs of a **sequence** need each other:
//! the end of one hands its last frame to the next and its clip to the job that joins them, in the same transaction.
//! Whatever waits too long expires, and what has ended is forgotten with its objects after its retention.
//!
//! Where jobs cost something, **credits** are set aside before a job is stored and settled after it has ended. What is to
//! become of them is written in the transaction of the job's end, and told to billing until it is done; a sweep compares
//! what billing has set aside with the jobs (ADR 0013).
//!
//! Where there is a prompts service, every **prompt** is moderated before anything is stored or set aside, and rewritten for
//! its model where that is asked for; without an answer nothing is accepted ([`app`], `prompts.rs`). What the owner wrote
//! is kept beside what the model gets.
//!
//! Callers come through the edge with an access token that the scheduler checks by itself; `grpc/access.rs` says which
//! workloads may call which method, and what it wants of the caller. What generates wants the terms of use accepted.
//!
//! A job is a **video** to its owner, shown flat and as the public API has it (`grpc/view.rs`): with paths to fetch it from,
//! and without the keys of the object store, which only `FindContent` tells, for whoever makes links.
//!
//! The scheduler never runs a model, touches no pixel (it reads the headers of pictures) and knows no user but by id.

pub mod app;
pub mod clients;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod domain;
pub mod error;
pub mod metrics;
pub mod policy;
pub mod sessions;
pub mod signals;
pub mod store;
pub mod webhooks;

mod grpc;
mod worker;

use std::sync::Arc;

use kinora_mesh::identity::Identity;
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::Grpc;
use kinora_migrations::scheduler::migrate;
use kinora_proto::DESCRIPTORS;
use kinora_proto::scheduler::v1::admin_service_server::AdminServiceServer;
use kinora_proto::scheduler::v1::video_service_server::VideoServiceServer;
use kinora_proto::scheduler::v1::webhook_service_server::WebhookServiceServer;
use kinora_proto::scheduler::v1::worker_service_server::{self, WorkerServiceServer};
use kinora_store::Database;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

pub use clients::Objects;
pub use config::SchedulerOptions;
pub use error::Error;
pub use grpc::CALLERS;

use app::{App, Floor};
use clients::ledger::{Ledger, MeshLedger};
use clients::prompts::{MeshPrompts, Prompts};
use clock::{Clock, DatabaseClock, SystemClock};
use dispatch::Dispatcher;
use grpc::{AdminGrpc, VideoGrpc, WebhookGrpc, WorkerGrpc};
use store::JobStore;
use webhooks::Webhooks;
use webhooks::metrics::WebhookMetrics;
use webhooks::resolve::SystemLookUp;
use webhooks::store::WebhookStore;

/// No message of a worker is longer; vocabularies are the largest part.
const MAX_WORKER_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// No call is longer: two pictures, and some text.
const MAX_CALL_BYTES: usize = 2 * kinora_media::MAX_STILL_BYTES + (1 << 20);

/// Serves the scheduler on `listener` until `shutdown`, then ends all streams and drains.
///
/// Opens the database that the options name and brings its schema up to date unless told not to.
/// `objects` keeps the pictures of submissions, and removes what deleted, failed and cancelled jobs have stored. Callers
/// are services of the same mesh as `identity`.
///
/// # Errors
/// [`Error::Options`], [`Error::Rules`] or [`Error::Database`] before the first call is answered;
/// [`Error::Server`] when a listener fails.
pub async fn serve(
    options: SchedulerOptions,
    objects: Arc<dyn Objects>,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let clock = Arc::new(SystemClock);
    // On the heap: the future of the whole service is large.
    let serving = serve_with_clock(options, objects, identity, listener, clock, shutdown);
    Box::pin(serving).await
}

/// As [`serve`], on a machine with another clock: what clocks that step do to a scheduler can be seen.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with_clock(
    options: SchedulerOptions,
    objects: Arc<dyn Objects>,
    identity: Identity,
    listener: TcpListener,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    if let Some(problems) = options.problems() {
        return Err(Error::Options(problems));
    }
    let lifecycle = Lifecycle::begin(options.probes, options.drain, &shutdown).await?;
    let stopping = lifecycle.stopping().clone();
    let endpoint = &options.accounts_endpoint;
    let accounts = kinora_mesh::channel::connect_lazy(endpoint, &identity, "accounts")?;
    let ledger = ledger(&options, &identity)?;
    let prompts = prompts(&options, &identity)?;
    let own = identity.workload().clone();
    let access = grpc::access(own, &options.token_issuer, accounts, stopping.clone())?;
    let db = open(&options).await?;
    let clock = Arc::new(DatabaseClock::start(&db, clock).await?);
    let store = JobStore::new(db.clone()).with_caps(options.caps());
    store.mend_lanes().await?;
    let app = App::new(
        store.clone(),
        options.clone(),
        objects,
        Arc::clone(&clock) as Arc<dyn Clock>,
        stopping.clone(),
    )
    .with_ledger(ledger)
    .with_prompts(prompts);
    let metrics = Arc::new(app.metrics.clone());
    let webhooks = webhooks(&db, store, options, Arc::clone(&clock) as _, metrics)?;
    let webhooks = Arc::new(webhooks);
    let app = Arc::new(app);
    let upkeep = TaskTracker::new();
    let stop_upkeep = CancellationToken::new();
    let stop_dispatch = stopping.child_token();
    upkeep.spawn(dispatch(&app, &upkeep, stop_dispatch.clone()));
    upkeep.spawn(worker::reap(Arc::clone(&app), stop_upkeep.clone()));
    upkeep.spawn(worker::upkeep(Arc::clone(&app), stop_upkeep.clone()));
    upkeep.spawn(worker::keep_months(Arc::clone(&app), stop_upkeep.clone()));
    upkeep.spawn(worker::sweep(Arc::clone(&app), stop_upkeep.clone()));
    upkeep.spawn(worker::settle(Arc::clone(&app), stop_upkeep.clone()));
    upkeep.spawn(worker::sweep_holds(Arc::clone(&app), stop_upkeep.clone()));
    upkeep.spawn(worker::hear(Arc::clone(&app), stop_upkeep.clone()));
    upkeep.spawn(worker::store_progress(
        Arc::clone(&app),
        stop_upkeep.clone(),
    ));
    upkeep.spawn(worker::measure(Arc::clone(&app), stop_upkeep.clone()));
    let courier = webhooks::courier::run(Arc::clone(&webhooks), stop_upkeep.clone());
    upkeep.spawn(courier);
    upkeep.spawn(clock.keep(db.clone(), stop_upkeep.clone()));
    let answers = Grpc {
        routes: access.guard(routes(&app, webhooks)),
        services: &grpc::SERVICES,
        vital: &[worker_service_server::SERVICE_NAME],
        descriptors: DESCRIPTORS,
        options: app.options().grpc,
    };
    let served = kinora_mesh::serve::grpc(listener, &identity, answers, &lifecycle).await;
    stop_dispatch.cancel();
    stop_upkeep.cancel();
    upkeep.close();
    upkeep.wait().await;
    db.close().await?;
    Ok(served?)
}

/// The one loop that brings this process's workers and the queue together.
fn dispatch(
    app: &Arc<App>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let floor = Arc::new(Floor::new(Arc::clone(app), tasks.clone()));
    let dispatcher = Dispatcher::new(Arc::clone(&floor), floor, app.dispatch_options());
    dispatcher.run(app.clock(), app.waker(), stop)
}

/// Billing, where jobs cost something.
fn ledger(
    options: &SchedulerOptions,
    identity: &Identity,
) -> Result<Option<Arc<dyn Ledger>>, Error> {
    let Some(endpoint) = &options.billing_endpoint else {
        return Ok(None);
    };
    let channel = kinora_mesh::channel::connect_lazy(endpoint, identity, "billing")?;
    let ledger = MeshLedger::new(channel, options.billing_timeout);
    Ok(Some(Arc::new(ledger)))
}

/// The prompts service, where prompts are moderated.
fn prompts(
    options: &SchedulerOptions,
    identity: &Identity,
) -> Result<Option<Arc<dyn Prompts>>, Error> {
    let Some(endpoint) = &options.prompts_endpoint else {
        tracing::warn!("there is no prompts service: prompts are neither moderated nor rewritten");
        return Ok(None);
    };
    let channel = kinora_mesh::channel::connect_lazy(endpoint, identity, "prompts")?;
    let prompts = MeshPrompts::new(channel, options.prompts_timeout);
    Ok(Some(Arc::new(prompts)))
}

async fn open(options: &SchedulerOptions) -> Result<Database, Error> {
    let db = Database::connect(&options.database).await?;
    if options.migrate {
        db.migrate(migrate).await?;
    }
    Ok(db)
}

fn webhooks(
    db: &Database,
    jobs: JobStore,
    options: SchedulerOptions,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn WebhookMetrics>,
) -> Result<Webhooks, Error> {
    let made = Webhooks::new(
        WebhookStore::new(db.clone()),
        jobs,
        options.webhooks,
        Arc::new(SystemLookUp),
        clock,
        metrics,
    );
    Ok(made?)
}

fn routes(app: &Arc<App>, webhooks: Arc<Webhooks>) -> Routes {
    let callers = VideoServiceServer::new(VideoGrpc::new(Arc::clone(app)))
        .max_decoding_message_size(MAX_CALL_BYTES);
    let workers = WorkerServiceServer::new(WorkerGrpc::new(Arc::clone(app)))
        .max_decoding_message_size(MAX_WORKER_MESSAGE_BYTES);
    let operators = AdminServiceServer::new(AdminGrpc::new(Arc::clone(app)));
    let webhooks = WebhookServiceServer::new(WebhookGrpc::new(webhooks));
    Routes::new(callers)
        .add_service(workers)
        .add_service(operators)
        .add_service(webhooks)
}
