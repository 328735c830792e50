//! The services as separate processes on PostgreSQL: edge, scheduler, workers, and an object store.

use std::path::{Path, PathBuf};

use kinora_accounts::ApiKey;
use kinora_blobs::{EmbeddedS3, Secret};
use kinora_testkit::net::{free_port, loopback_listener};
use kinora_testkit::postgres::TestPostgres;
use tokio_util::sync::CancellationToken;

use crate::{Api, Program, accounts, model_folder, text};

/// Services take less to listen.
const START: std::time::Duration = std::time::Duration::from_secs(60);

/// Edge, scheduler and object store; workers come and go with the tests.
pub struct SeparateProcesses {
    /// Everything is below it.
    pub folder: tempfile::TempDir,
    scheduler_port: u16,
    accounts_port: u16,
    store_port: u16,
    /// Ends the object store.
    pub store: CancellationToken,
    /// The scheduler.
    pub scheduler: Program,
    _edge: Program,
    /// The accounts service.
    pub accounts: Program,
    /// A client of the edge.
    pub api: Api,
    database: String,
}

impl SeparateProcesses {
    /// Starts everything but workers.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestPostgres::of_this_run().create_database().await;
        let listener = loopback_listener().await;
        let store_port = listener.local_addr().unwrap().port();
        let store = serve_store(listener, folder.path().join("objects"));
        let (scheduler_port, edge_port, accounts_port) = (free_port(), free_port(), free_port());
        let key = ApiKey::generate().unwrap().reveal();
        let accounts = start_accounts(folder.path(), accounts_port, &key);
        let ports = [scheduler_port, accounts_port, store_port];
        let scheduler = start_scheduler(folder.path(), &database, ports);
        let edge = start_edge(folder.path(), edge_port, ports);
        let api = Api::new(format!("http://127.0.0.1:{edge_port}"), &key);
        Self {
            folder,
            scheduler_port,
            accounts_port,
            store_port,
            store,
            scheduler,
            _edge: edge,
            accounts,
            api,
            database,
        }
    }

    /// Starts a worker of the small model.
    #[must_use]
    pub fn worker(&self, id: &str, more: &[(&str, &str)]) -> Program {
        self.worker_with(id, &model_folder(), more)
    }

    /// Starts a worker of a model, with further environment variables.
    #[must_use]
    pub fn worker_with(&self, id: &str, model: &Path, more: &[(&str, &str)]) -> Program {
        let endpoint = format!("https://127.0.0.1:{}", self.scheduler_port);
        let identity = identity_of(self.folder.path(), "worker");
        let scratch = self.folder.path().join(format!("scratch-{id}"));
        let mut environment = store_environment(self.store_port);
        environment.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let arguments = [
            "--scheduler-endpoint",
            &endpoint,
            "--worker-id",
            id,
            "--model",
            text(model),
            "--scratch",
            text(&scratch),
            "--identity-dir",
            text(&identity),
        ];
        Program::start_with(
            "kinora-inference",
            &self.folder.path().join(id),
            &arguments,
            &environment,
        )
    }

    /// Ends the scheduler at once and starts another one on the same database.
    pub fn restart_scheduler(&mut self) {
        self.scheduler.kill();
        self.scheduler = start_scheduler(
            self.folder.path(),
            &self.database,
            [self.scheduler_port, self.accounts_port, self.store_port],
        );
    }

    /// Starts the object store again, on the same files.
    pub async fn restart_store(&mut self) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.store_port))
            .await
            .unwrap();
        self.store = serve_store(listener, self.folder.path().join("objects"));
    }

    /// The addresses of the services that speak gRPC, by their workload's names.
    #[must_use]
    pub fn grpc_addresses(&self) -> [(&'static str, std::net::SocketAddr); 2] {
        [
            ("accounts", self.accounts_port),
            ("scheduler", self.scheduler_port),
        ]
        .map(|(name, port)| (name, (std::net::Ipv4Addr::LOCALHOST, port).into()))
    }

    /// Waits until every service answers calls of gRPC.
    pub async fn wait_serving(&self) {
        for (service, address) in self.grpc_addresses() {
            kinora_testkit::wait::until("the services answer", START, || async {
                let stream = tokio::net::TcpStream::connect(address).await;
                stream
                    .map(drop)
                    .map_err(|error| format!("{service}: {error}"))
            })
            .await;
        }
    }

    /// The accounts service, called as the edge calls it.
    #[must_use]
    pub fn accounts_channel(&self) -> tonic::transport::Channel {
        accounts::channel(self.accounts_port)
    }

    /// The folder of a job's objects.
    #[must_use]
    pub fn objects_of(&self, id: &str) -> PathBuf {
        self.folder.path().join("objects/kinora/jobs").join(id)
    }
}

/// A folder with the service's certificate, issued anew.
fn identity_of(folder: &Path, service: &str) -> PathBuf {
    let identity = folder.join("identity").join(service);
    kinora_testkit::identity::issue(service, &identity);
    identity
}

fn serve_store(listener: tokio::net::TcpListener, root: PathBuf) -> CancellationToken {
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move {
        let secret = Secret::new("test-secret");
        let access = "test-access".to_owned();
        EmbeddedS3::serve(listener, root, access, secret, stopped)
            .await
            .unwrap();
    });
    stop
}

fn store_environment(port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("KINORA_S3_ENDPOINT", format!("http://127.0.0.1:{port}")),
        ("KINORA_S3_ACCESS_KEY", "test-access".to_owned()),
        ("KINORA_S3_SECRET_KEY", "test-secret".to_owned()),
    ]
}

fn start_accounts(folder: &Path, port: u16, api_key: &str) -> Program {
    let identity = identity_of(folder, "accounts");
    let mut arguments = accounts::arguments(folder, port);
    arguments.extend(["--identity-dir", text(&identity)].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let environment = accounts::environment(Some(api_key));
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    Program::start_with(
        "kinora-accounts",
        &folder.join("accounts"),
        &arguments,
        &environment,
    )
}

/// `ports` are those of scheduler, accounts and object store.
fn start_scheduler(folder: &Path, database: &str, ports: [u16; 3]) -> Program {
    let [port, accounts_port, store_port] = ports;
    let listen = format!("127.0.0.1:{port}");
    let accounts = format!("https://127.0.0.1:{accounts_port}");
    let store = store_environment(store_port);
    let environment: Vec<(&str, &str)> = store
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let identity = identity_of(folder, "scheduler");
    let arguments = [
        "--scheduler-database",
        database,
        "--listen",
        &listen,
        "--accounts-endpoint",
        &accounts,
        "--identity-dir",
        text(&identity),
    ];
    Program::start_with(
        "kinora-scheduler",
        &folder.join("scheduler"),
        &arguments,
        &environment,
    )
}

fn start_edge(folder: &Path, port: u16, ports: [u16; 3]) -> Program {
    let [scheduler_port, accounts_port, store_port] = ports;
    let accounts = format!("https://127.0.0.1:{accounts_port}");
    let listen = format!("127.0.0.1:{port}");
    let endpoint = format!("https://127.0.0.1:{scheduler_port}");
    let identity = identity_of(folder, "edge");
    let store = store_environment(store_port);
    let environment: Vec<(&str, &str)> = store
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let arguments = [
        "--listen",
        &listen,
        "--scheduler-endpoint",
        &endpoint,
        "--accounts-endpoint",
        &accounts,
        "--identity-dir",
        text(&identity),
    ];
    Program::start_with(
        "kinora-edge",
        &folder.join("edge"),
        &arguments,
        &environment,
    )
}
