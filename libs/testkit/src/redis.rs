//! A Redis server of its own for a test, which may stop it and start it again.

use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A server starts within a fraction of this.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server, until it is dropped.
#[derive(Debug)]
pub struct TestRedis {
    program: String,
    port: u16,
    server: Option<Child>,
}

impl TestRedis {
    /// Starts a server on a free port of the loopback.
    ///
    /// # Panics
    /// When `KINORA_TEST_REDIS_SERVER` is not set, as it is under `make test`, or the server does not start.
    pub async fn start() -> Self {
        let mut redis = Self {
            program: crate::env::required("KINORA_TEST_REDIS_SERVER", "a redis-server for tests"),
            port: crate::net::free_port(),
            server: None,
        };
        redis.start_again().await;
        redis
    }

    /// Where it listens, across stops and starts.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the server, as a crash would.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub async fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().await.expect("ends redis-server");
        }
    }

    /// Starts the server on its port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        let port = self.port.to_string();
        let server = Command::new(&self.program)
            .args(["--bind", "127.0.0.1", "--port", &port])
            // Nothing is kept across a stop.
            .args(["--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.program));
        self.server = Some(server);
        crate::wait::until("redis-server to listen", PATIENCE, || async {
            TcpStream::connect(("127.0.0.1", self.port)).await.map(drop)
        })
        .await;
    }
}
