//! The whole mesh in this process: object store, accounts, billing, prompts, scheduler, one worker, edge.
//!
//! Each part is the service that a cluster runs as a process of its own, on a loopback port of its own; nothing here
//! is a shortcut around a contract. The data folder keeps everything, so a mesh that dies mid-job goes on with that
//! job when it is started again: its worker has the same name and its lease is settled when it attaches.

mod identities;
mod parts;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use kinora_billing::config::payments::PaymentOptions;
use kinora_blobs::{BlobOptions, BlobStore, Secret};
use kinora_inference::config::EngineOptions;
use kinora_inference::frames::options::FrameOptions;
use kinora_prompts::config::PromptingOptions;
use reqwest::header::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::identities::Identities;
pub(crate) use self::identities::{NAMESPACE, TRUST_DOMAIN};
use crate::client::Api;
use crate::data::{Announcement, DataFolder};
use crate::discovery::LocalModel;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const READY_PAUSE: Duration = Duration::from_millis(50);
/// How long a part may take to stop, beyond the worker's own drain.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The plan of everybody on one's own machine, unless told otherwise: credits are counted and do not run out.
pub const UNLIMITED_PLAN: &str = "unlimited";

/// What a local mesh needs to know.
#[derive(Debug)]
pub struct LocalMeshOptions {
    /// Its folder, locked by the caller so that nobody else starts on it meanwhile.
    pub data: DataFolder,
    /// Address of the REST interface; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Address of the object store; port 0 takes any free one.
    pub s3_listen: SocketAddr,
    /// URL of the object store as clients reach it, when that is not its address.
    pub s3_public_endpoint: Option<String>,
    /// Web origins whose pages may call.
    pub cors_origins: Vec<HeaderValue>,
    /// Models to offer; the first is loaded before the mesh is ready.
    pub models: Vec<LocalModel>,
    /// The ffmpeg program.
    pub ffmpeg: PathBuf,
    /// How models are computed.
    pub engine: EngineOptions,
    /// Whether and how frames are checked.
    pub frames: FrameOptions,
    /// How long a running job may go on after a stop was asked for.
    pub drain_timeout: Duration,
    /// Whether webhooks may go to this machine and its network, and over http.
    pub private_webhooks: bool,
    /// The plan of everybody who has no other.
    pub default_plan: String,
    /// Whether and how people pay.
    pub payments: PaymentOptions,
    /// How prompts are judged and rewritten.
    pub prompting: PromptingOptions,
    /// The file of other providers that may sign people in.
    pub providers_file: Option<PathBuf>,
}

/// A mesh that serves.
#[derive(Debug)]
pub struct LocalMesh {
    /// URL of its REST interface.
    pub edge_url: String,
    /// The key to it.
    pub api_key: String,
    data: DataFolder,
    tasks: JoinSet<Ended>,
    running: HashSet<Part>,
    tokens: Tokens,
    drain_timeout: Duration,
}

/// The services of a mesh, in the order in which they stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Edge,
    Worker,
    Scheduler,
    Prompts,
    Billing,
    Accounts,
    ObjectStore,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
            Self::Prompts => "prompts service",
            Self::Billing => "billing service",
            Self::Accounts => "accounts service",
            Self::ObjectStore => "object store",
        }
    }
}

type Ended = (Part, anyhow::Result<()>);

/// What stops each part: whoever is called stops after its callers.
#[derive(Clone, Debug, Default)]
struct Tokens {
    front: CancellationToken,
    scheduler: CancellationToken,
    prompts: CancellationToken,
    billing: CancellationToken,
    accounts: CancellationToken,
    object_store: CancellationToken,
}

impl LocalMesh {
    /// Starts every part, and answers once the worker has loaded its first model and jobs can be submitted.
    ///
    /// # Errors
    ///
    /// When an address is taken, or a part fails while it starts. Nothing keeps running then.
    pub async fn start(options: LocalMeshOptions) -> anyhow::Result<Self> {
        let listener = bind(options.listen, "the REST interface").await?;
        let object_listener = bind(options.s3_listen, "the object store").await?;
        let scheduler_listener = bind(LOOPBACK, "the scheduler").await?;
        let billing_listener = bind(LOOPBACK, "the billing service").await?;
        let prompts_listener = bind(LOOPBACK, "the prompts service").await?;
        let accounts_listener = bind(LOOPBACK, "the accounts service").await?;
        let addresses = Addresses {
            edge_url: local_url(listener.local_addr()?),
            object_url: local_url(object_listener.local_addr()?),
            scheduler_url: format!("https://{}", scheduler_listener.local_addr()?),
            billing_url: format!("https://{}", billing_listener.local_addr()?),
            prompts_url: format!("https://{}", prompts_listener.local_addr()?),
            accounts_url: format!("https://{}", accounts_listener.local_addr()?),
        };
        let tokens = Tokens::default();
        let renewing = tokens.object_store.clone();
        let identities = Identities::issue(options.data.path(), renewing)?;
        let api_key = options.data.api_key()?;
        let plan = parts::Plan::new(&options, &addresses, &api_key)?;
        let mut mesh = Self {
            edge_url: addresses.edge_url,
            api_key,
            tasks: JoinSet::new(),
            running: HashSet::new(),
            tokens,
            drain_timeout: options.drain_timeout,
            data: options.data,
        };
        let listeners = Listeners {
            edge: listener,
            object_store: object_listener,
            scheduler: scheduler_listener,
            billing: billing_listener,
            prompts: prompts_listener,
            accounts: accounts_listener,
        };
        let loaded = mesh.begin(plan, identities, listeners);
        let Err(error) = mesh.become_ready(&options.models, loaded).await else {
            return Ok(mesh);
        };
        if let Err(second) = mesh.stop().await {
            tracing::debug!(
                error = format!("{second:#}"),
                "the rest did not stop cleanly"
            );
        }
        Err(error)
    }

    /// Lets other commands on this machine find this mesh, until the answer drops.
    ///
    /// # Errors
    ///
    /// When the data folder cannot be written.
    pub fn announce(&self) -> anyhow::Result<Announcement> {
        self.data.announce(&self.edge_url)
    }

    /// A client for this mesh.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn api(&self) -> anyhow::Result<Api> {
        Ok(Api::new(&self.edge_url, self.api_key.clone())?)
    }

    /// The folder that holds all that this mesh keeps.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Ends with the first part that ends, which none should before [`LocalMesh::stop`]. Says why.
    pub async fn wait(&mut self) -> anyhow::Error {
        match self.next_end().await {
            Some((part, Err(error))) => error.context(format!("the {} failed", part.name())),
            Some((part, Ok(()))) => anyhow!("the {} stopped by itself", part.name()),
            None => anyhow!("no part of the mesh runs"),
        }
    }

    /// Stops callers before callees: edge and worker, then the scheduler, prompts, billing, accounts, and the object store.
    ///
    /// A job that still runs after the drain time is handed back and goes on with the next start.
    ///
    /// # Errors
    ///
    /// When a part fails while it stops, or does not stop.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let tokens = self.tokens.clone();
        let mut result = Ok(());
        for (token, parts) in [
            (tokens.front, vec![Part::Edge, Part::Worker]),
            (tokens.scheduler, vec![Part::Scheduler]),
            (tokens.prompts, vec![Part::Prompts]),
            (tokens.billing, vec![Part::Billing]),
            (tokens.accounts, vec![Part::Accounts]),
            (tokens.object_store, vec![Part::ObjectStore]),
        ] {
            token.cancel();
            let limit = self.drain_timeout + STOP_TIMEOUT;
            let ended = tokio::time::timeout(limit, self.end_of(&parts)).await;
            let ended =
                ended.unwrap_or_else(|_| Err(anyhow!("a part of the mesh did not stop in time")));
            result = result.and(ended);
        }
        self.tasks.shutdown().await;
        result
    }

    async fn end_of(&mut self, parts: &[Part]) -> anyhow::Result<()> {
        let mut result = Ok(());
        while parts.iter().any(|part| self.running.contains(part)) {
            let Some((part, ended)) = self.next_end().await else {
                break;
            };
            result = result.and(ended.with_context(|| format!("the {} failed", part.name())));
        }
        result
    }

    async fn next_end(&mut self) -> Option<Ended> {
        match self.tasks.join_next().await? {
            Ok(ended) => {
                self.running.remove(&ended.0);
                Some(ended)
            }
            Err(error) => {
                // A panic does not say whose it was; nobody is waited for any longer.
                self.running.clear();
                Some((
                    Part::Scheduler,
                    Err(anyhow!(error).context("a part of the mesh panicked")),
                ))
            }
        }
    }

    fn begin(
        &mut self,
        plan: parts::Plan,
        identities: Identities,
        listeners: Listeners,
    ) -> oneshot::Receiver<()> {
        let (loaded, has_loaded) = oneshot::channel();
        let tokens = self.tokens.clone();
        let objects = parts::object_store(plan.store, listeners.object_store, tokens.object_store);
        let blobs = BlobStore::new(&plan.blobs);
        self.spawn(Part::ObjectStore, objects);
        self.spawn(
            Part::Accounts,
            parts::accounts(
                plan.accounts,
                identities.accounts,
                listeners.accounts,
                tokens.accounts,
            ),
        );
        self.spawn(
            Part::Billing,
            parts::billing(
                plan.billing,
                identities.billing,
                listeners.billing,
                tokens.billing,
            ),
        );
        self.spawn(
            Part::Prompts,
            parts::prompts(
                plan.prompts,
                identities.prompts,
                listeners.prompts,
                tokens.prompts,
            ),
        );
        self.spawn(
            Part::Scheduler,
            parts::scheduler(
                plan.scheduler,
                blobs,
                identities.scheduler,
                listeners.scheduler,
                tokens.scheduler,
            ),
        );
        self.spawn(
            Part::Edge,
            parts::edge(
                plan.edge,
                identities.edge,
                listeners.edge,
                tokens.front.clone(),
            ),
        );
        self.spawn(
            Part::Worker,
            parts::worker(plan.worker, identities.worker, loaded, tokens.front),
        );
        has_loaded
    }

    fn spawn(
        &mut self,
        part: Part,
        run: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.running.insert(part);
        // On the heap: the futures of whole services are large.
        let run = Box::pin(run);
        self.tasks.spawn(async move { (part, run.await) });
    }

    /// Waits until the worker has loaded a model and every model is on offer. The list alone does not say so: the
    /// scheduler remembers models from before a restart. A part that fails first ends the wait.
    async fn become_ready(
        &mut self,
        models: &[LocalModel],
        loaded: oneshot::Receiver<()>,
    ) -> anyhow::Result<()> {
        let api = self.api()?;
        let ready = async {
            if loaded.await.is_err() {
                // The worker has failed; waiting for the parts tells why.
                std::future::pending::<()>().await;
            }
            while !(api.is_ready().await && offers(&api, models).await) {
                tokio::time::sleep(READY_PAUSE).await;
            }
        };
        tokio::select! {
            () = ready => Ok(()),
            error = self.wait() => Err(error),
        }
    }
}

/// What the parts listen on.
struct Listeners {
    edge: TcpListener,
    object_store: TcpListener,
    scheduler: TcpListener,
    billing: TcpListener,
    prompts: TcpListener,
    accounts: TcpListener,
}

/// Where the parts listen.
#[derive(Debug)]
struct Addresses {
    edge_url: String,
    object_url: String,
    scheduler_url: String,
    billing_url: String,
    prompts_url: String,
    accounts_url: String,
}

async fn offers(api: &Api, models: &[LocalModel]) -> bool {
    let Ok(offered) = api.models().await else {
        return false;
    };
    models
        .iter()
        .all(|model| offered.iter().any(|offer| offer.id == model.id))
}

async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{what} cannot listen on {address}; is another program there already?")
    })
}

/// The URL by which this machine reaches an address that it listens on.
fn local_url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    format!("http://{address}")
}

fn blob_options(options: &LocalMeshOptions, addresses: &Addresses) -> anyhow::Result<BlobOptions> {
    let credentials = options.data.s3_credentials()?;
    Ok(BlobOptions {
        endpoint: addresses.object_url.clone(),
        public_endpoint: options.s3_public_endpoint.clone(),
        region: "us-east-1".to_owned(),
        bucket: "kinora".to_owned(),
        access_key: credentials.access_key,
        secret_key: Secret::new(credentials.secret_key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mesh_that_listens_everywhere_is_reached_on_the_loopback() {
        let url = |address: &str| local_url(address.parse().unwrap());
        assert_eq!(url("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(url("[::]:8080"), "http://[::1]:8080");
        assert_eq!(url("192.0.2.1:80"), "http://192.0.2.1:80");
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let taken = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address, "the REST interface").await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
