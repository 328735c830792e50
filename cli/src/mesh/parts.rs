//! The services, each with its options and as a future that ends when it stops.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use kinora_accounts::{AccountsOptions, MailOptions};
use kinora_billing::BillingOptions;
use kinora_blobs::{BlobOptions, BlobStore, EmbeddedS3, Secret};
use kinora_edge::{EdgeOptions, LimitOptions};
use kinora_inference::InferenceOptions;
use kinora_inference::backend::{Backend, Folders};
use kinora_mesh::identity::Identity;
use kinora_mesh::lifecycle::{DrainOptions, ProbeOptions};
use kinora_mesh::serve::{HttpOptions, TlsOptions};
use kinora_models::LoadOptions;
use kinora_prompts::PromptsOptions;
use kinora_scheduler::SchedulerOptions;
use kinora_store::DatabaseUrl;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Addresses, LocalMeshOptions};

/// Who signs the tokens of a local mesh: the default of all its services.
const TOKEN_ISSUER: &str = "kinora";
/// The worker's name. Stable, so that its lease is settled when it attaches again after a restart.
const WORKER_ID: &str = "local";
const LINK_LIFETIME: std::time::Duration = std::time::Duration::from_secs(15 * 60);
const CALL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The options of every part.
pub(super) struct Plan {
    pub(super) store: Store,
    pub(super) blobs: BlobOptions,
    pub(super) accounts: AccountsOptions,
    pub(super) billing: BillingOptions,
    pub(super) prompts: PromptsOptions,
    pub(super) scheduler: SchedulerOptions,
    pub(super) edge: EdgeOptions,
    pub(super) worker: InferenceOptions,
}

/// The embedded object store.
pub(super) struct Store {
    root: PathBuf,
    access_key: String,
    secret_key: Secret,
}

impl Plan {
    pub(super) fn new(
        options: &LocalMeshOptions,
        addresses: &Addresses,
        api_key: &str,
    ) -> anyhow::Result<Self> {
        let blobs = super::blob_options(options, addresses)?;
        let folder = options.data.path();
        Ok(Self {
            store: Store {
                root: folder.join("objects"),
                access_key: blobs.access_key.clone(),
                secret_key: blobs.secret_key.clone(),
            },
            accounts: accounts_options(options, addresses, api_key)?,
            billing: billing_options(options, addresses)?,
            prompts: prompts_options(options, addresses)?,
            scheduler: scheduler_options(options, addresses)?,
            edge: edge_options(options, addresses, &blobs),
            worker: worker_options(options, addresses, &blobs),
            blobs,
        })
    }
}

/// A database of its own in the data folder.
fn database(options: &LocalMeshOptions, file: &str) -> anyhow::Result<DatabaseUrl> {
    let path = options.data.path().join(file);
    let path = path
        .to_str()
        .context("the data folder's name is not valid UTF-8")?;
    Ok(format!("sqlite://{path}").parse()?)
}

fn accounts_options(
    options: &LocalMeshOptions,
    addresses: &Addresses,
    api_key: &str,
) -> anyhow::Result<AccountsOptions> {
    let secrets = options.data.account_secrets()?;
    let database = database(options, "accounts.db")?;
    let mut accounts = AccountsOptions::new(database, Secret::new(secrets.sealing_key));
    accounts.mail = MailOptions::to_folder(options.data.mails());
    accounts.public_url.clone_from(&addresses.edge_url);
    accounts.providers_file.clone_from(&options.providers_file);
    accounts.first_operator_email = Some(secrets.operator_email);
    accounts.first_operator_password = Some(Secret::new(secrets.operator_password));
    accounts.first_operator_api_key = Some(Secret::new(api_key));
    Ok(accounts)
}

fn billing_options(
    options: &LocalMeshOptions,
    addresses: &Addresses,
) -> anyhow::Result<BillingOptions> {
    let voucher_key = options.data.voucher_key()?.parse()?;
    let mut billing = BillingOptions::new(database(options, "billing.db")?, voucher_key);
    billing
        .accounts_endpoint
        .clone_from(&addresses.accounts_url);
    billing.default_plan.clone_from(&options.default_plan);
    billing.payments.clone_from(&options.payments);
    Ok(billing)
}

fn prompts_options(
    options: &LocalMeshOptions,
    addresses: &Addresses,
) -> anyhow::Result<PromptsOptions> {
    let mut prompts = PromptsOptions::new(database(options, "prompts.db")?);
    prompts
        .accounts_endpoint
        .clone_from(&addresses.accounts_url);
    prompts.prompting.clone_from(&options.prompting);
    Ok(prompts)
}

fn scheduler_options(
    options: &LocalMeshOptions,
    addresses: &Addresses,
) -> anyhow::Result<SchedulerOptions> {
    let mut scheduler = SchedulerOptions::new(database(options, "scheduler.db")?);
    scheduler
        .accounts_endpoint
        .clone_from(&addresses.accounts_url);
    scheduler.billing_endpoint = Some(addresses.billing_url.clone());
    scheduler.prompts_endpoint = Some(addresses.prompts_url.clone());
    // It is one person's machine: a batch may be as long as they like, and nobody else can look after it.
    scheduler.max_active = 0;
    scheduler.webhooks.allow_private = options.private_webhooks;
    scheduler.webhooks.allow_http = options.private_webhooks;
    Ok(scheduler)
}

fn edge_options(
    options: &LocalMeshOptions,
    addresses: &Addresses,
    blobs: &BlobOptions,
) -> EdgeOptions {
    EdgeOptions {
        scheduler_endpoint: addresses.scheduler_url.clone(),
        accounts_endpoint: addresses.accounts_url.clone(),
        billing_endpoint: Some(addresses.billing_url.clone()),
        prompts_endpoint: Some(addresses.prompts_url.clone()),
        token_issuer: TOKEN_ISSUER.to_owned(),
        trusted_proxies: Vec::new(),
        cors_origins: options.cors_origins.clone(),
        link_lifetime: LINK_LIFETIME,
        call_timeout: CALL_TIMEOUT,
        reflection: false,
        limits: LimitOptions::default(),
        tls: TlsOptions::default(),
        http: HttpOptions::default(),
        drain: DrainOptions::default(),
        blobs: blobs.clone(),
    }
}

fn worker_options(
    options: &LocalMeshOptions,
    addresses: &Addresses,
    blobs: &BlobOptions,
) -> InferenceOptions {
    InferenceOptions {
        scheduler_endpoints: vec![addresses.scheduler_url.clone()],
        worker_id: WORKER_ID.to_owned(),
        pool: None,
        model_folders: options
            .models
            .iter()
            .map(|model| model.folder.clone())
            .collect(),
        ffmpeg: options.ffmpeg.clone(),
        scratch: Some(options.data.path().join("scratch")),
        engine: options.engine.clone(),
        frames: options.frames.clone(),
        drain_timeout: options.drain_timeout,
        probes: ProbeOptions::default(),
        blobs: blobs.clone(),
    }
}

pub(super) async fn object_store(
    store: Store,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let stopped = shutdown.cancelled_owned();
    EmbeddedS3::serve(
        listener,
        store.root,
        store.access_key,
        store.secret_key,
        stopped,
    )
    .await?;
    Ok(())
}

pub(super) async fn accounts(
    options: AccountsOptions,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    Box::pin(kinora_accounts::serve(
        options, identity, listener, shutdown,
    ))
    .await?;
    Ok(())
}

pub(super) async fn billing(
    options: BillingOptions,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    Box::pin(kinora_billing::serve(options, identity, listener, shutdown)).await?;
    Ok(())
}

pub(super) async fn prompts(
    options: PromptsOptions,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    Box::pin(kinora_prompts::serve(options, identity, listener, shutdown)).await?;
    Ok(())
}

pub(super) async fn scheduler(
    options: SchedulerOptions,
    blobs: BlobStore,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    blobs.ensure_bucket().await?;
    let objects = Arc::new(blobs);
    let serving = kinora_scheduler::serve(options, objects, identity, listener, shutdown);
    Box::pin(serving).await?;
    Ok(())
}

pub(super) async fn edge(
    options: EdgeOptions,
    identity: Identity,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    kinora_edge::serve(options, identity, listener, shutdown).await?;
    Ok(())
}

/// Loads the first model, says so, and then attaches to the scheduler.
pub(super) async fn worker(
    options: InferenceOptions,
    identity: Identity,
    loaded: oneshot::Sender<()>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let (folders, load) = (options.model_folders.clone(), options.engine.load_options());
    let models = tokio::task::spawn_blocking(move || load_models(&folders, load)).await??;
    // Nobody listens any more when the mesh was given up meanwhile; the token ends the worker then.
    let _ = loaded.send(());
    let models = Box::new(models);
    Box::pin(kinora_inference::serve(models, options, identity, shutdown)).await?;
    Ok(())
}

fn load_models(folders: &[PathBuf], load: LoadOptions) -> anyhow::Result<Folders> {
    let mut models = Folders::open(folders, load)?;
    let first = models
        .cards()
        .into_iter()
        .next()
        .context("no model is configured")?;
    models.warm(&first.id)?;
    Ok(models)
}
