//! A PostgreSQL server of its own, with durability on, that can be crashed, restarted, cut off and filled up.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kinora_testkit::env::required;
use kinora_testkit::net::free_port;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// How long a server may take to start, recovery included.
const START: Duration = Duration::from_secs(60);

/// Connections that the server takes, so that a test can take them all.
const MAX_CONNECTIONS: u32 = 100;

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Transactions are rolled back and everything is written.
    Fast,
    /// Nothing is written: the next start recovers from the log.
    Immediate,
}

/// A server on a free port of the loopback, in a folder that goes with it.
pub struct PostgresServer {
    bin: PathBuf,
    folder: tempfile::TempDir,
    password: String,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

impl PostgresServer {
    /// Makes a cluster and starts it, as people run it: what was committed is there after a crash.
    pub async fn start() -> Self {
        Self::start_with(&["--fsync=on", "--shared_buffers=64MB"]).await
    }

    /// As [`PostgresServer::start`], with settings of the caller's.
    pub async fn start_with(settings: &[&str]) -> Self {
        let bin = required("KINORA_TEST_POSTGRES_BIN", "PostgreSQL's programs").into();
        let mut server = Self {
            bin,
            folder: tempfile::Builder::new()
                .prefix("kinora-chaos-postgres.")
                .tempdir_in("/tmp")
                .unwrap(),
            password: format!("{:032x}", rand::random::<u128>()),
            port: free_port(),
            settings: settings.iter().map(|it| (*it).to_owned()).collect(),
            child: None,
        };
        server.initialise();
        server.launch();
        server.wait_ready().await;
        server
    }

    /// URL of a database that is there from the start.
    #[must_use]
    pub fn url(&self) -> String {
        let Self { password, port, .. } = self;
        format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres")
    }

    /// A connection with all rights.
    ///
    /// # Errors
    /// When the server is away or full.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.url()).await
    }

    /// Makes an empty database and returns its URL.
    pub async fn create_database(&self) -> String {
        let name = format!("kinora_{:016x}", rand::random::<u64>());
        let mut connection = self.connect().await.unwrap();
        let make = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(make).execute(&mut connection).await.unwrap();
        let url = self.url();
        let (server, _) = url.rsplit_once('/').expect("a database URL ends in /name");
        format!("{server}/{name}")
    }

    /// What the server calls its version.
    pub async fn version(&self) -> String {
        let mut connection = self.connect().await.unwrap();
        let version = sqlx::query_scalar("SHOW server_version");
        version.fetch_one(&mut connection).await.unwrap()
    }

    /// Ends the server and starts it again.
    pub async fn restart(&mut self, how: Shutdown) {
        self.stop(how);
        self.launch();
        self.wait_ready().await;
    }

    /// Ends the server; [`PostgresServer::restart`] brings it back.
    pub fn stop(&mut self, how: Shutdown) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let signal = match how {
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        };
        // Ended already is as good.
        let _ = kill_process(pid(child.id()), signal);
        let _ = child.wait();
    }

    /// Hangs up on all clients. Returns how many there were.
    pub async fn terminate_clients(&self) -> usize {
        let pids = self.client_pids().await;
        for client in &pids {
            let _ = kill_process(*client, Signal::TERM);
        }
        pids.len()
    }

    /// Ends the server of one client at once, upon which the whole server recovers. False when there is no client.
    pub async fn kill_client(&self) -> bool {
        let pids = self.client_pids().await;
        let first = pids.first();
        first.is_some_and(|pid| kill_process(*pid, Signal::KILL).is_ok())
    }

    /// Process ids of the servers of clients, but for this call's own.
    pub async fn client_pids(&self) -> Vec<Pid> {
        let Ok(mut connection) = self.connect().await else {
            return Vec::new();
        };
        let query = "SELECT pid FROM pg_stat_activity \
                     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let rows = sqlx::query(query).fetch_all(&mut connection).await;
        let rows = rows.unwrap_or_default();
        let pids = rows.iter().map(|row| row.get::<i32, _>(0));
        pids.filter_map(Pid::from_raw).collect()
    }

    /// Takes every connection of the server, also those that others have, until they are dropped.
    pub async fn exhaust(&self) -> Vec<PgConnection> {
        let mut taken = Vec::new();
        loop {
            taken.extend(self.take_free().await);
            // Nothing less will do: a connection that was hung up on is free for others a moment later than it is gone
            // from the list of those there are.
            if taken.len() >= usize::try_from(MAX_CONNECTIONS).unwrap() {
                return taken;
            }
            let first = taken.first_mut().expect("the server had room");
            let hang_up = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                           WHERE backend_type = 'client backend' AND application_name <> 'exhaust'";
            sqlx::raw_sql(hang_up).execute(first).await.unwrap();
        }
    }

    async fn take_free(&self) -> Vec<PgConnection> {
        let mut taken = Vec::new();
        let url = format!("{}?application_name=exhaust", self.url());
        while let Ok(connection) = PgConnection::connect(&url).await {
            taken.push(connection);
        }
        taken
    }

    /// Keeps rows that are dead from now on from being cleaned up, until the connection is dropped.
    pub async fn hold_snapshot(&self) -> PgConnection {
        let mut connection = self.connect().await.unwrap();
        let hold = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class";
        sqlx::raw_sql(hold).execute(&mut connection).await.unwrap();
        connection
    }

    fn initialise(&self) {
        let password = self.folder.path().join("password");
        std::fs::write(&password, &self.password).unwrap();
        if is_root() {
            let owned = Command::new("chown")
                .args(["-R", "nobody:nogroup"])
                .arg(self.folder.path())
                .status();
            assert!(owned.is_ok_and(|status| status.success()), "chown");
        }
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(self.folder.path(), mode).unwrap();
        let output = as_server(&self.bin.join("initdb"))
            .arg("-D")
            .arg(self.data())
            .args(["-U", "postgres", "--auth=scram-sha-256", "--encoding=UTF8"])
            .args(["--no-locale", "--no-sync"])
            .arg(format!("--pwfile={}", password.display()))
            .output()
            .unwrap();
        assert!(output.status.success(), "initdb failed: {output:?}");
    }

    fn launch(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let port = self.port.to_string();
        let child = as_server(&self.bin.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .args(["-p", &port, "--listen_addresses=127.0.0.1"])
            .arg("--unix_socket_directories=")
            .arg(format!("--max_connections={MAX_CONNECTIONS}"))
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    async fn wait_ready(&mut self) {
        kinora_testkit::wait::until("PostgreSQL answers", START, || async {
            self.connect().await.map(drop)
        })
        .await;
        let child = self.child.as_mut().unwrap();
        assert!(child.try_wait().unwrap().is_none(), "PostgreSQL ended");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop(Shutdown::Immediate);
    }
}

/// PostgreSQL refuses root, so root runs it as nobody. It ends with the thread that started it, whatever the cause;
/// the death signal must be asked for after the change of user, which clears it.
fn as_server(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]);
        command.arg("setpriv");
    }
    command.args(["--pdeathsig", "INT"]).arg(program);
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}
