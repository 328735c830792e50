//! The service, the edge and Envoy, and the ways to the service.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ChildStdin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kinora_access::testing::{ServedTrust, TestIssuer};
use kinora_mesh::channel;
use kinora_mesh::identity::Identity;
use kinora_testkit::identity::TestAuthority;
use kinora_testkit::net::free_port;
use kinora_testkit::wait;
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::client::{Client, Http};
use crate::envoy::{self, Envoy};
use crate::process::{Process, beside};

/// Programs take less to listen.
const START: Duration = Duration::from_secs(30);

/// Only links would be made from it, and none is asked for.
const NO_STORE: [(&str, &str); 3] = [
    ("KINORA_S3_ENDPOINT", "http://127.0.0.1:9"),
    ("KINORA_S3_ACCESS_KEY", "access"),
    ("KINORA_S3_SECRET_KEY", "secret"),
];

/// How the service is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// gRPC over mutual TLS, by nobody's mediation.
    Direct,
    /// REST, through the edge.
    Edge(Http),
    /// REST, through Envoy.
    Envoy(Http),
}

impl Way {
    /// What a table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "gRPC, direct",
            Self::Edge(Http::One) => "REST, edge, HTTP/1.1",
            Self::Edge(Http::Two) => "REST, edge, HTTP/2",
            Self::Envoy(Http::One) => "REST, Envoy, HTTP/1.1",
            Self::Envoy(Http::Two) => "REST, Envoy, HTTP/2",
        }
    }
}

/// Everything that runs. Dropping it ends all of it.
pub struct Stand {
    pub backend: Process,
    edge: Process,
    envoy: Option<Process>,
    orders: Mutex<ChildStdin>,
    issuer: TestIssuer,
    caller: Identity,
    ports: Ports,
    _trust: ServedTrust,
    _authority: TestAuthority,
    _folder: TempDir,
}

#[derive(Clone, Copy)]
struct Ports {
    backend: u16,
    edge: u16,
    envoy: u16,
}

impl Stand {
    /// Starts the service and the edge, and Envoy if there is one, and waits until all of them answer.
    pub async fn start(envoy: Option<&Path>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (issuer, authority) = (TestIssuer::new(), TestAuthority::new());
        let trust = issuer.serve(authority.identity("accounts")).await;
        let ports = Ports {
            backend: free_port(),
            edge: free_port(),
            envoy: free_port(),
        };
        let mut backend = start_backend(&folder, &authority, ports)?;
        let orders = backend.input().context("the service has no input")?;
        let edge = start_edge(&folder, &authority, &trust, ports)?;
        let start = |program| start_envoy(program, &folder, &authority, &issuer, ports);
        let stand = Self {
            envoy: envoy.map(start).transpose()?,
            caller: authority.identity("client"),
            orders: Mutex::new(orders),
            backend,
            edge,
            issuer,
            ports,
            _trust: trust,
            _authority: authority,
            _folder: folder,
        };
        for way in stand.ways() {
            stand.wait_for(way).await;
        }
        Ok(stand)
    }

    /// The ways that there are, the direct one first.
    pub fn ways(&self) -> Vec<Way> {
        let mut ways = vec![Way::Direct, Way::Edge(Http::One), Way::Edge(Http::Two)];
        if self.envoy.is_some() {
            ways.extend([Way::Envoy(Http::One), Way::Envoy(Http::Two)]);
        }
        ways
    }

    /// What stands between the client and the service.
    pub const fn between(&self, way: Way) -> Option<&Process> {
        match way {
            Way::Direct => None,
            Way::Edge(_) => Some(&self.edge),
            Way::Envoy(_) => self.envoy.as_ref(),
        }
    }

    /// Opens a connection.
    pub async fn connect(&self, way: Way) -> Result<Client> {
        let token = self.issuer.token("ada");
        let (port, http) = match way {
            Way::Direct => {
                let endpoint = format!("https://127.0.0.1:{}", self.ports.backend);
                let channel = channel::connect_lazy(&endpoint, &self.caller, "scheduler")?;
                return Client::direct(channel, &token);
            }
            Way::Edge(http) => (self.ports.edge, http),
            Way::Envoy(http) => (self.ports.envoy, http),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Client::rest(address, http, &token).await
    }

    /// Has every watcher get an event, one after the other within a time; all at once when it is none.
    pub fn send_events(&self, within: Duration) -> Result<()> {
        let mut orders = self.orders.lock();
        writeln!(orders, "{}", within.as_millis())?;
        Ok(orders.flush()?)
    }

    async fn wait_for(&self, way: Way) {
        let what = format!("an answer: {}", way.name());
        wait::until(&what, START, || async {
            let called = async { self.connect(way).await?.get().await };
            let log = || self.between(way).map(Process::log);
            called.await.map_err(|error| (error, log()))
        })
        .await;
    }
}

fn start_backend(folder: &TempDir, authority: &TestAuthority, ports: Ports) -> Result<Process> {
    let own = std::env::current_exe()?;
    let identity = authority.issue("scheduler");
    let listen = format!("127.0.0.1:{}", ports.backend);
    let arguments = ["backend", "--listen", &listen, "--identity-dir"].map(Into::into);
    let arguments: Vec<std::ffi::OsString> =
        arguments.into_iter().chain([identity.into()]).collect();
    Process::start(&own, folder.path(), &arguments, &[])
}

fn start_edge(
    folder: &TempDir,
    authority: &TestAuthority,
    trust: &ServedTrust,
    ports: Ports,
) -> Result<Process> {
    let identity = authority.issue("edge").display().to_string();
    let arguments = [
        "--listen",
        &format!("127.0.0.1:{}", ports.edge),
        "--scheduler-endpoint",
        &format!("https://127.0.0.1:{}", ports.backend),
        "--accounts-endpoint",
        &trust.endpoint,
        "--identity-dir",
        &identity,
        // Requests are counted, and never too many.
        "--caller-limit",
        "1000000/1s",
    ];
    Process::start(
        &beside("kinora-edge")?,
        folder.path(),
        &arguments,
        &NO_STORE,
    )
}

fn start_envoy(
    program: &Path,
    folder: &TempDir,
    authority: &TestAuthority,
    issuer: &TestIssuer,
    ports: Ports,
) -> Result<Process> {
    let at = |name| folder.path().join(name);
    let (descriptors, config) = (at("contracts.binpb"), at("envoy.json"));
    std::fs::write(&descriptors, envoy::descriptors()?)?;
    let envoy = Envoy {
        port: ports.envoy,
        backend_port: ports.backend,
        backend: &TestAuthority::workload("scheduler"),
        identity: &authority.issue("envoy"),
        descriptors: &descriptors,
        access_log: &at("envoy-access.log"),
        issuer,
    };
    std::fs::write(&config, envoy.config().to_string())?;
    let cores = std::thread::available_parallelism()?.to_string();
    let config = config.display().to_string();
    let arguments = [
        "--config-path",
        &config,
        "--concurrency",
        &cores,
        "--disable-hot-restart",
        "--log-level",
        "warning",
    ];
    Process::start(program, folder.path(), &arguments, &[])
}
