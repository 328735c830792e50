//! A mesh of separate processes in which everything can fail: several schedulers behind one entrance, workers, edge,
//! object store and database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kinora_blobs::{BlobOptions, BlobStore, Secret};
use kinora_testkit::net::free_port;
use kinora_testkit::wait::until;
use tokio::net::TcpStream;

use super::client::Client;
use super::entrance::Entrance;
use super::member::{CommandLine, Member};
use super::postgres::PostgresServer;
use super::steps::StepLog;
use crate::{accounts, text};

/// How long a process may take to listen.
const START: Duration = Duration::from_secs(60);

const STORE_KEY: &str = "test-access";
const STORE_SECRET: &str = "test-secret";

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
    /// The object store.
    pub store: Member,
    /// The database.
    pub database: PostgresServer,
    /// Callers of the edge.
    pub clients: Vec<Client>,
    options: MeshOptions,
    folder: tempfile::TempDir,
    entrance: Entrance,
    store_port: u16,
    accounts_port: u16,
}

impl ChaosMesh {
    /// Starts everything and waits until workers have announced their model.
    pub async fn start(options: MeshOptions) -> Self {
        crate::install_tls();
        let folder = tempfile::tempdir().unwrap();
        let database = PostgresServer::start().await;
        let store_port = free_port();
        let root = folder.path();
        let objects = options.objects.clone();
        let objects = objects.unwrap_or_else(|| root.join("objects"));
        let store = start_store(root, &objects, store_port);
        let ports: Vec<u16> = (0..options.schedulers).map(|_| free_port()).collect();
        let accounts_port = free_port();
        let starting = Starting {
            root,
            options: &options,
            store_port,
            accounts_port,
        };
        let accounts = starting.accounts();
        listening(accounts_port).await;
        let keys = accounts::tenants(accounts_port, options.callers).await;
        let numbered = ports.iter().enumerate();
        let schedulers = numbered
            .map(|(index, port)| starting.scheduler(index, *port, &database.url()))
            .collect();
        let entrance = Entrance::open(ports.clone()).await;
        let edge_port = free_port();
        let edge = starting.edge(edge_port, &entrance);
        let workers = (0..options.workers)
            .map(|index| starting.worker(&format!("w{index}"), &entrance))
            .collect();
        let base = format!("http://127.0.0.1:{edge_port}");
        let clients = keys.into_iter().map(|key| Client::new(&base, key));
        let mesh = Self {
            edge,
            schedulers,
            workers,
            accounts,
            store,
            database,
            clients: clients.collect(),
            options,
            entrance,
            store_port,
            accounts_port,
            folder,
        };
        for port in ports {
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
            store_port: self.store_port,
            accounts_port: self.accounts_port,
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

    /// A client of the object store.
    #[must_use]
    pub fn blobs(&self) -> BlobStore {
        BlobStore::new(&BlobOptions {
            endpoint: format!("http://127.0.0.1:{}", self.store_port),
            public_endpoint: None,
            region: "us-east-1".to_owned(),
            bucket: "kinora".to_owned(),
            access_key: STORE_KEY.to_owned(),
            secret_key: Secret::new(STORE_SECRET),
        })
    }
}

/// What processes need to know of each other.
struct Starting<'a> {
    root: &'a Path,
    options: &'a MeshOptions,
    store_port: u16,
    accounts_port: u16,
}

impl Starting<'_> {
    fn accounts(&self) -> Member {
        let arguments = accounts::arguments(self.root, self.accounts_port);
        self.member(
            "accounts".to_owned(),
            "accounts",
            "kinora-accounts",
            arguments,
        )
    }

    fn accounts_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.accounts_port)
    }

    fn scheduler(&self, index: usize, port: u16, database: &str) -> Member {
        let name = format!("s{index}");
        let options = self.options;
        let is_stepped = options.has_stepped_clock && index + 1 == options.schedulers;
        let late_sweep = format!("{}ms", options.late_sweep.as_millis());
        let (ttl, heartbeat) = (options.worker_ttl, options.worker_ttl / 5);
        let (ttl, heartbeat) = (ttl.as_millis(), heartbeat.as_millis());
        let mut arguments = Vec::new();
        if is_stepped {
            let clock = clock_file(self.root);
            arguments.extend(words(&["scheduler", "--clock-offset", text(&clock)]));
        }
        arguments.extend(words(&["--listen", &format!("127.0.0.1:{port}")]));
        arguments.extend(words(&["--scheduler-database", database]));
        arguments.extend(words(&["--worker-ttl", &format!("{ttl}ms")]));
        arguments.extend(words(&["--heartbeat-interval", &format!("{heartbeat}ms")]));
        arguments.extend(words(&["--late-sweep-delay", &late_sweep]));
        arguments.extend(words(&["--accounts-endpoint", &self.accounts_url()]));
        let brisk = "--reap-interval 250ms --poll-interval 250ms --sweep-interval 250ms \
                     --retry-delay 100ms --max-attempts 1000 --time-limit 60s --max-active 0";
        arguments.extend(brisk.split_whitespace().map(str::to_owned));
        arguments.extend(options.scheduler_arguments.iter().cloned());
        let program = if is_stepped {
            "kinora-chaos"
        } else {
            "kinora-scheduler"
        };
        self.member(name, "scheduler", program, arguments)
    }

    fn edge(&self, port: u16, entrance: &Entrance) -> Member {
        let arguments = words(&[
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--scheduler-endpoint",
            &entrance.url(),
            "--accounts-endpoint",
            &self.accounts_url(),
            "--call-timeout",
            "4s",
        ]);
        self.member("edge".to_owned(), "edge", "kinora-edge", arguments)
    }

    fn worker(&self, name: &str, entrance: &Entrance) -> Member {
        let scratch = self.root.join("scratch");
        let steps = steps_folder(self.root);
        let step_time = format!("{}ms", self.options.step_time.as_millis());
        let arguments = words(&[
            "--scheduler-endpoint",
            &entrance.url(),
            "--worker-id",
            name,
            // Never opened: what this worker runs needs no files.
            "--model",
            "/nowhere",
            "--scratch",
            text(&scratch),
            "--steps-log",
            text(&steps),
            "--step-time",
            &step_time,
            "--checkpoint-interval",
            "60ms",
            "--preview-interval",
            "0s",
        ]);
        self.member(name.to_owned(), "worker", "kinora-chaos-worker", arguments)
    }

    fn member(
        &self,
        name: String,
        service: &str,
        program: &'static str,
        arguments: Vec<String>,
    ) -> Member {
        let folder = self.root.join(&name);
        let identity = folder.join("identity");
        kinora_testkit::identity::issue(service, &identity);
        let endpoint = format!("http://127.0.0.1:{}", self.store_port);
        let mut environment = vec![
            ("KINORA_IDENTITY_DIR", text(&identity).to_owned()),
            ("KINORA_S3_ENDPOINT", endpoint),
            ("KINORA_S3_ACCESS_KEY", STORE_KEY.to_owned()),
            ("KINORA_S3_SECRET_KEY", STORE_SECRET.to_owned()),
        ];
        if service == "accounts" {
            environment.extend(accounts::environment(None));
        }
        let command = CommandLine {
            program,
            folder,
            arguments,
            environment,
        };
        Member::start(name, command)
    }
}

fn start_store(root: &Path, objects: &Path, port: u16) -> Member {
    let listen = format!("127.0.0.1:{port}");
    let command = CommandLine {
        program: "kinora-chaos",
        folder: root.join("store"),
        arguments: words(&["store", "--listen", &listen, "--root", text(objects)]),
        environment: vec![
            ("KINORA_S3_ACCESS_KEY", STORE_KEY.to_owned()),
            ("KINORA_S3_SECRET_KEY", STORE_SECRET.to_owned()),
        ],
    };
    Member::start("store".to_owned(), command)
}

async fn listening(port: u16) {
    until("a process listens", START, || {
        TcpStream::connect(("127.0.0.1", port))
    })
    .await;
}

fn clock_file(root: &Path) -> PathBuf {
    root.join("clock-offset")
}

fn steps_folder(root: &Path) -> PathBuf {
    root.join("steps")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
