//! A NATS server of its own for a test, which may stop it and start it again.

use crate::server::TestServer;

/// A running server, until it is dropped.
#[derive(Debug)]
pub struct TestNats(TestServer);

impl TestNats {
    /// Starts a server on a free port of the loopback.
    ///
    /// # Panics
    /// When `KINORA_TEST_NATS_SERVER` is not set, as it is under `make test`, or the server does not start.
    pub async fn start() -> Self {
        let arguments = |port: &str| {
            let arguments = ["--addr", "127.0.0.1", "--port", port];
            arguments.map(str::to_owned).to_vec()
        };
        Self(
            TestServer::start(
                "KINORA_TEST_NATS_SERVER",
                "a nats-server for tests",
                arguments,
            )
            .await,
        )
    }

    /// Where it listens, across stops and starts.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.0.port())
    }

    /// Ends the server, as a crash would.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub async fn stop(&mut self) {
        self.0.stop().await;
    }

    /// Starts the server on its port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        self.0.start_again().await;
    }
}
