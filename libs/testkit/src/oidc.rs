//! An OpenID provider of its own for a test, and a browser to visit it.

mod browser;

use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

pub use self::browser::Browser;

/// A server starts within a fraction of this.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running provider, until it is dropped. Whoever gives a name at its login form has that name.
#[derive(Debug)]
pub struct TestOidc {
    port: u16,
    _server: Child,
}

impl TestOidc {
    /// Under which a client is registered, with [`Self::CLIENT_SECRET`].
    pub const CLIENT_ID: &str = "kinora";

    /// Of the client.
    pub const CLIENT_SECRET: &str = "a-secret-for-tests-only";

    /// Starts a provider on a free port of the loopback, which sends browsers back to `redirect_uri` only.
    ///
    /// # Panics
    /// When `KINORA_TEST_OIDC_SERVER` is not set, as it is under `make test`, or the server does not start.
    pub async fn start(redirect_uri: &str) -> Self {
        let server = crate::env::required(
            "KINORA_TEST_OIDC_SERVER",
            "the server of tools/oidc, with its packages installed",
        );
        let port = crate::net::free_port();
        let child = Command::new("node")
            .args([&server, &port.to_string(), redirect_uri])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("node does not start: {error}"));
        crate::wait::until("the OpenID provider to listen", PATIENCE, || async {
            TcpStream::connect(("127.0.0.1", port)).await.map(drop)
        })
        .await;
        Self {
            port,
            _server: child,
        }
    }

    /// Its issuer.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
