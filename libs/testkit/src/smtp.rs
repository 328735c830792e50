//! A mail server of its own for a test.

use std::fs::{read_dir, read_to_string, write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A server starts within a fraction of this.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a server encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// From the first byte.
    Tls,
    /// When it is asked to.
    StartTls,
    /// Never, and it takes a user and password all the same.
    None,
}

/// A running mail server, until it is dropped. Its certificate is for `localhost`, by an authority of its own.
///
/// Of the recipients, `busy-…` are put off the first time, and `nobody-…` do not exist.
#[derive(Debug)]
pub struct TestSmtp {
    port: u16,
    security: Security,
    folder: TempDir,
    _server: Child,
}

impl TestSmtp {
    /// Starts a server on a free port of the loopback.
    ///
    /// # Panics
    /// When `KINORA_TEST_SMTP_SERVER` is not set, as it is under `make test`, or the server does not start.
    pub async fn start(security: Security) -> Self {
        let server = crate::env::required(
            "KINORA_TEST_SMTP_SERVER",
            "the server of tools/smtp, with its packages installed",
        );
        let folder = tempfile::tempdir().expect("makes a folder");
        write_certificates(&folder);
        let port = crate::net::free_port();
        let name = match security {
            Security::Tls => "tls",
            Security::StartTls => "starttls",
            Security::None => "none",
        };
        let child = Command::new("node")
            .args([&server, &port.to_string()])
            .arg(folder.path())
            .arg(name)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("node does not start: {error}"));
        crate::wait::until("the mail server to listen", PATIENCE, || async {
            TcpStream::connect(("127.0.0.1", port)).await.map(drop)
        })
        .await;
        Self {
            port,
            security,
            folder,
            _server: child,
        }
    }

    /// Where it listens on the loopback.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its address with user and password, by a host name and a port that lead there.
    #[must_use]
    pub fn url_by(&self, host: &str, port: u16) -> String {
        let scheme = match self.security {
            Security::Tls => "smtps",
            Security::StartTls | Security::None => "smtp",
        };
        format!("{scheme}://kinora:p%40ss%2Fword@{host}:{port}")
    }

    /// Its address with user and password.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_by("localhost", self.port)
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// The mails that it took, oldest first, each after lines that tell how it came: `Test-Encrypted`, `Test-User`,
    /// `Test-From` and `Test-To`.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn mails(&self) -> Vec<String> {
        let files = read_dir(self.folder.path()).expect("lists the folder");
        let files = files.map(|file| file.expect("lists a file").path());
        let is_mail = |path: &PathBuf| path.extension().is_some_and(|it| it == "eml");
        let mut files: Vec<PathBuf> = files.filter(is_mail).collect();
        files.sort();
        let read = |path| read_to_string(path).expect("reads a mail");
        files.into_iter().map(read).collect()
    }

    /// Whether it was shown a user and password without encryption.
    #[must_use]
    pub fn has_seen_password_in_the_clear(&self) -> bool {
        self.folder.path().join("leaked").exists()
    }
}

fn write_certificates(folder: &TempDir) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let certificate = authority.self_signed(&authority_key).expect("signs");
    let put = |name: &str, pem: String| {
        write(folder.path().join(name), pem).expect("writes a file");
    };
    put("ca.crt", certificate.pem());
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    put(
        "server.crt",
        server.signed_by(&key, &issuer).expect("signs").pem(),
    );
    put("server.key", key.serialize_pem());
}
