//! The services as separate processes on PostgreSQL: edge, scheduler, prompts, billing, accounts, workers, and an object store.

use std::path::{Path, PathBuf};

use kinora_accounts::ApiKey;
use kinora_blobs::{EmbeddedS3, Secret};
use kinora_testkit::net::{free_port, loopback_listener};
use kinora_testkit::postgres::TestPostgres;
use reqwest::{Method, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::{Api, Program, accounts, billing, model_folder, text};

/// Services take less to listen.
const START: std::time::Duration = std::time::Duration::from_secs(60);

/// Edge, scheduler, prompts, billing, accounts and object store; workers come and go with the tests.
pub struct SeparateProcesses {
    /// Everything is below it.
    pub folder: tempfile::TempDir,
    ports: Ports,
    /// Ends the object store.
    pub store: CancellationToken,
    /// The scheduler.
    pub scheduler: Program,
    _edge: Program,
    /// The accounts service.
    pub accounts: Program,
    /// The billing service.
    pub billing: Program,
    /// The prompts service.
    pub prompts: Program,
    /// A client of the edge.
    pub api: Api,
    database: String,
}

/// Where services listen, on the loopback.
#[derive(Clone, Copy)]
struct Ports {
    accounts: u16,
    billing: u16,
    prompts: u16,
    scheduler: u16,
    store: u16,
}

impl SeparateProcesses {
    /// Starts everything but workers.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let databases = TestPostgres::of_this_run();
        let database = databases.create_database().await;
        let billing_database = databases.create_database().await;
        let prompts_database = databases.create_database().await;
        let listener = loopback_listener().await;
        let ports = Ports {
            accounts: free_port(),
            billing: free_port(),
            prompts: free_port(),
            scheduler: free_port(),
            store: listener.local_addr().unwrap().port(),
        };
        let store = serve_store(listener, folder.path().join("objects"));
        let key = ApiKey::generate().unwrap().reveal();
        let accounts = start_accounts(folder.path(), ports.accounts, &key);
        let billing = start_billing(folder.path(), &billing_database, ports);
        let prompts = start_prompts(folder.path(), &prompts_database, ports);
        let scheduler = start_scheduler(folder.path(), &database, ports);
        let edge_port = free_port();
        let edge = start_edge(folder.path(), edge_port, ports);
        let api = Api::new(format!("http://127.0.0.1:{edge_port}"), &key);
        // Ports are open before somebody answers. Plans are billing's, and models take the scheduler and accounts.
        for path in ["/v1/plans", "/v1/prompts/policy", "/v1/models"] {
            kinora_testkit::wait::until("the services answer", START, || async {
                let answer = api.send(Method::GET, path, None).await;
                let status = answer.map(|reply| reply.status);
                let is_there = status.as_ref().is_ok_and(StatusCode::is_success);
                is_there.then_some(()).ok_or(status)
            })
            .await;
        }
        Self {
            folder,
            ports,
            store,
            scheduler,
            _edge: edge,
            accounts,
            billing,
            prompts,
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
        let endpoint = url(self.ports.scheduler);
        let identity = identity_of(self.folder.path(), "worker");
        let scratch = self.folder.path().join(format!("scratch-{id}"));
        let mut environment = store_environment(self.ports.store);
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

    /// Starts another edge, with a certificate for `localhost` and its key in PEM files, and gives its port.
    pub async fn edge_with_tls(&self, certificate: &Path, key: &Path) -> (Program, u16) {
        let port = free_port();
        let mut arguments = edge_arguments(port, self.ports);
        let more = ["--tls-cert", text(certificate), "--tls-key", text(key)];
        arguments.extend(more.map(str::to_owned));
        let environment = store_environment(self.ports.store);
        let edge = start(self.folder.path(), "edge", arguments, environment);
        kinora_testkit::wait::until("the edge listens", START, || async {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            stream.map(drop).map_err(|error| error.to_string())
        })
        .await;
        (edge, port)
    }

    /// Ends the scheduler at once and starts another one on the same database.
    pub fn restart_scheduler(&mut self) {
        self.scheduler.kill();
        self.scheduler = start_scheduler(self.folder.path(), &self.database, self.ports);
    }

    /// Starts the object store again, on the same files.
    pub async fn restart_store(&mut self) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.ports.store))
            .await
            .unwrap();
        self.store = serve_store(listener, self.folder.path().join("objects"));
    }

    /// The addresses of the services that speak gRPC, by their workload's names.
    #[must_use]
    pub fn grpc_addresses(&self) -> [(&'static str, std::net::SocketAddr); 4] {
        [
            ("accounts", self.ports.accounts),
            ("billing", self.ports.billing),
            ("prompts", self.ports.prompts),
            ("scheduler", self.ports.scheduler),
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
        accounts::channel(self.ports.accounts)
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

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn start_accounts(folder: &Path, port: u16, api_key: &str) -> Program {
    let arguments = accounts::arguments(folder, port);
    let environment = accounts::environment(Some(api_key));
    start(folder, "accounts", arguments, environment)
}

fn start_billing(folder: &Path, database: &str, ports: Ports) -> Program {
    let own = folder.join("billing");
    let arguments = billing::arguments(&own, database, ports.billing, &url(ports.accounts));
    start(folder, "billing", arguments, billing::environment())
}

fn start_prompts(folder: &Path, database: &str, ports: Ports) -> Program {
    let arguments = [
        "--prompts-database",
        database,
        "--listen",
        &format!("127.0.0.1:{}", ports.prompts),
        "--accounts-endpoint",
        &url(ports.accounts),
    ];
    let arguments = arguments.map(str::to_owned).to_vec();
    start(folder, "prompts", arguments, Vec::new())
}

fn start_scheduler(folder: &Path, database: &str, ports: Ports) -> Program {
    let arguments = [
        "--scheduler-database",
        database,
        "--listen",
        &format!("127.0.0.1:{}", ports.scheduler),
        "--accounts-endpoint",
        &url(ports.accounts),
        "--billing-endpoint",
        &url(ports.billing),
        "--prompts-endpoint",
        &url(ports.prompts),
    ];
    let arguments = arguments.map(str::to_owned).to_vec();
    start(
        folder,
        "scheduler",
        arguments,
        store_environment(ports.store),
    )
}

fn start_edge(folder: &Path, port: u16, ports: Ports) -> Program {
    let arguments = edge_arguments(port, ports);
    start(folder, "edge", arguments, store_environment(ports.store))
}

fn edge_arguments(port: u16, ports: Ports) -> Vec<String> {
    [
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--scheduler-endpoint",
        &url(ports.scheduler),
        "--accounts-endpoint",
        &url(ports.accounts),
        "--billing-endpoint",
        &url(ports.billing),
        "--prompts-endpoint",
        &url(ports.prompts),
        // Measurements ask more than anybody may.
        "--caller-limit",
        "off",
        "--address-limit",
        "off",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Starts a service with its own certificate.
fn start(
    folder: &Path,
    service: &str,
    mut arguments: Vec<String>,
    environment: Vec<(&str, String)>,
) -> Program {
    let identity = identity_of(folder, service);
    arguments.extend(["--identity-dir", text(&identity)].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let program = format!("kinora-{service}");
    Program::start_with(&program, &folder.join(service), &arguments, &environment)
}
