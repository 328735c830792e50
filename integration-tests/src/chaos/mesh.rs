//! A mesh of separate processes in which everything can fail: several schedulers behind one entrance, workers, edge,
//! billing, object store and database.

use std::path::PathBuf;
use std::time::Duration;

use kinora_accounts::ApiKey;
use kinora_blobs::{BlobOptions, BlobStore, Secret};
use kinora_testkit::net::free_port;
use kinora_testkit::wait::until;
use sqlx::{Connection, PgConnection};
use tokio::net::TcpStream;

use super::client::Client;
use super::entrance::Entrance;
use super::member::Member;
use super::postgres::PostgresServer;
use super::starting::{Ports, STORE_KEY, STORE_SECRET, Starting, clock_file, steps_folder};
use super::steps::StepLog;
use crate::accounts;

/// How long a process may take to listen.
const START: Duration = Duration::from_secs(60);

/// What the mesh is made of.
#[derive(Clone, Debug)]
pub struct MeshOptions {
    /// Replicas on one database.
    pub schedulers: usize,
    /// Workers at the start.
    pub workers: usize,
    /// Callers, each of a tenant of its own.
    pub callers: usize,
    /// How long a worker may be silent.
    pub worker_ttl: Duration,
    /// What a step takes.
    pub step_time: Duration,
    /// When what late workers uploaded is removed.
    pub late_sweep: Duration,
    /// Whether the last scheduler goes by a clock that [`ChaosMesh::step_clock`] sets.
    pub has_stepped_clock: bool,
    /// Further arguments of every scheduler.
    pub scheduler_arguments: Vec<String>,
    /// Where the object store keeps its files; below the mesh's folder when not given.
    pub objects: Option<PathBuf>,
}

impl Default for MeshOptions {
    fn default() -> Self {
        Self {
            schedulers: 2,
            workers: 3,
            callers: 2,
            worker_ttl: Duration::from_secs(2),
            step_time: Duration::from_millis(20),
            late_sweep: Duration::from_secs(3),
            has_stepped_clock: false,
            scheduler_arguments: Vec::new(),
            objects: None,
        }
    }
}

/// The processes. All of them end with it.
pub struct ChaosMesh {
    /// The edge.
    pub edge: Member,
    /// The schedulers.
    pub schedulers: Vec<Member>,
    /// The workers.
    pub workers: Vec<Member>,
    /// The accounts service.
    pub accounts: Member,
    /// The billing service.
    pub billing: Member,
    /// The object store.
    pub store: Member,
    /// The server of the scheduler's database and of billing's.
    pub database: PostgresServer,
    /// Callers of the edge.
    pub clients: Vec<Client>,
    /// Who runs the mesh, as a caller of the edge.
    pub operator: Client,
    options: MeshOptions,
    folder: tempfile::TempDir,
    entrance: Entrance,
    ports: Ports,
    billing_database: String,
}

impl ChaosMesh {
    /// Starts everything and waits until workers have announced their model.
    pub async fn start(options: MeshOptions) -> Self {
        crate::install_tls();
        let folder = tempfile::tempdir().unwrap();
        let database = PostgresServer::start().await;
        let billing_database = database.create_database().await;
        let ports = Ports::free();
        let starting = Starting {
            root: folder.path(),
            options: &options,
            ports,
        };
        let store = starting.store();
        let operator_key = ApiKey::generate().unwrap().reveal();
        let accounts = starting.accounts(&operator_key);
        listening(ports.accounts).await;
        let keys = accounts::tenants(ports.accounts, options.callers).await;
        let billing = starting.billing(&billing_database);
        let replicas: Vec<u16> = (0..options.schedulers).map(|_| free_port()).collect();
        let numbered = replicas.iter().enumerate();
        let schedulers = numbered
            .map(|(index, port)| starting.scheduler(index, *port, &database.url()))
            .collect();
        let entrance = Entrance::open(replicas.clone()).await;
        let edge = starting.edge(&entrance);
        let workers = (0..options.workers)
            .map(|index| starting.worker(&format!("w{index}"), &entrance))
            .collect();
        let base = format!("http://127.0.0.1:{}", ports.edge);
        let clients = keys.into_iter().map(|key| Client::new(&base, key));
        let mesh = Self {
            edge,
            schedulers,
            workers,
            accounts,
            billing,
            store,
            database,
            clients: clients.collect(),
            operator: Client::new(&base, operator_key),
            options,
            entrance,
            ports,
            billing_database,
            folder,
        };
        for port in replicas.into_iter().chain([ports.billing]) {
            listening(port).await;
        }
        mesh.clients[0].wait_ready().await;
        mesh
    }

    /// What it was made of.
    #[must_use]
    pub const fn options(&self) -> &MeshOptions {
        &self.options
    }

    /// Waits until a scheduler answers on its own port.
    pub async fn scheduler_listens(&self, index: usize) {
        let arguments = &self.schedulers[index].command.arguments;
        let mut after = arguments.iter().skip_while(|word| *word != "--listen");
        let address = after.nth(1).unwrap();
        let port = address.rsplit(':').next().unwrap();
        listening(port.parse().unwrap()).await;
    }

    /// Adds a worker.
    pub fn add_worker(&mut self, name: &str) {
        let starting = Starting {
            root: self.folder.path(),
            options: &self.options,
            ports: self.ports,
        };
        let worker = starting.worker(name, &self.entrance);
        self.workers.push(worker);
    }

    /// Gives a worker another name for its next start, as a pod that is replaced.
    pub fn rename_worker(&mut self, index: usize, name: &str) {
        let worker = &mut self.workers[index];
        let arguments = &mut worker.command.arguments;
        let at = arguments.iter().position(|word| word == "--worker-id");
        arguments[at.unwrap() + 1] = name.to_owned();
        worker.name = name.to_owned();
    }

    /// Sets the clock of the last scheduler that far ahead of the machine's, or behind it.
    pub fn step_clock(&self, milliseconds: i64) {
        assert!(self.options.has_stepped_clock);
        let file = clock_file(self.folder.path());
        let next = file.with_extension("next");
        std::fs::write(&next, milliseconds.to_string()).unwrap();
        // In one step, so that no half of a number is read.
        std::fs::rename(next, file).unwrap();
    }

    /// What the workers computed.
    #[must_use]
    pub fn steps(&self) -> StepLog {
        StepLog::read(&steps_folder(self.folder.path()))
    }

    /// A connection to billing's database, with all rights.
    ///
    /// # Errors
    /// When the server is away or full.
    pub async fn billing_books(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.billing_database).await
    }

    /// A client of the object store.
    #[must_use]
    pub fn blobs(&self) -> BlobStore {
        BlobStore::new(&BlobOptions {
            endpoint: format!("http://127.0.0.1:{}", self.ports.store),
            public_endpoint: None,
            region: "us-east-1".to_owned(),
            bucket: "kinora".to_owned(),
            access_key: STORE_KEY.to_owned(),
            secret_key: Secret::new(STORE_SECRET),
        })
    }
}

async fn listening(port: u16) {
    until("a process listens", START, || {
        TcpStream::connect(("127.0.0.1", port))
    })
    .await;
}
