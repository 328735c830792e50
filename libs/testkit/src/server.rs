//! Somebody else's server of its own for a test, which may stop it and start it again.

use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A server starts within a fraction of this.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server on a port of the loopback, until it is dropped.
#[derive(Debug)]
pub(crate) struct TestServer {
    program: String,
    arguments: Vec<String>,
    port: u16,
    child: Option<Child>,
}

impl TestServer {
    /// Starts the program that an environment variable names, on a free port that `arguments` are told. `what` it is, is for
    /// people.
    ///
    /// # Panics
    /// When the variable is not set, as it is under `make test`, or the server does not start.
    pub(crate) async fn start(
        variable: &'static str,
        what: &'static str,
        arguments: impl FnOnce(&str) -> Vec<String>,
    ) -> Self {
        let port = crate::net::free_port();
        let mut server = Self {
            program: crate::env::required(variable, what),
            arguments: arguments(&port.to_string()),
            port,
            child: None,
        };
        server.start_again().await;
        server
    }

    /// Where it listens, across stops and starts.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server, as a crash would.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = child.kill().await;
            ended.unwrap_or_else(|error| panic!("{} does not end: {error}", self.program));
        }
    }

    /// Starts the server on its port.
    ///
    /// # Panics
    /// When it does not start, or was not stopped.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.program);
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.program));
        self.child = Some(child);
        let what = format!("{} to listen", self.program);
        crate::wait::until(&what, PATIENCE, || async {
            TcpStream::connect(("127.0.0.1", self.port)).await.map(drop)
        })
        .await;
    }
}
