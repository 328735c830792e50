//! A port, and its certificate.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures::StreamExt;
use kinora_mesh::MeshError;
use kinora_mesh::serve::{HttpOptions, ServerCertificate, TlsOptions, http};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What clients call it.
pub const HOST: &str = "api.example.org";

/// Two files that a test may change.
pub struct CertificateFiles {
    folder: TempDir,
}

impl CertificateFiles {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Self { folder };
        files.renew();
        files
    }

    /// Writes a new certificate and its key, and gives the certificate in DER form.
    pub fn renew(&self) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([HOST.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(self.certificate(), certificate.pem()).unwrap();
        std::fs::write(self.key(), key.serialize_pem()).unwrap();
        certificate.der().to_vec()
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("public.crt")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("public.key")
    }

    pub fn load(&self) -> Result<Option<ServerCertificate>, MeshError> {
        ServerCertificate::load(&TlsOptions {
            tls_cert: Some(self.certificate()),
            tls_key: Some(self.key()),
        })
    }
}

/// A port that answers `/` with the protocol it was asked over, and `/ticks` with a stream of a line for each tick.
pub struct Port {
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    ticks: watch::Sender<u32>,
    _guard: DropGuard,
}

impl Port {
    pub async fn open(certificate: Option<ServerCertificate>, options: HttpOptions) -> Self {
        let ticks = watch::Sender::new(0);
        let ticking = ticks.clone();
        let stream = async move || {
            let ticks = WatchStream::new(ticking.subscribe());
            let lines = ticks.map(|tick| Ok::<_, std::convert::Infallible>(format!("{tick}\n")));
            Body::from_stream(lines)
        };
        let router = Router::new()
            .route(
                "/",
                get(async |request: axum::extract::Request| format!("{:?}", request.version())),
            )
            .route("/ticks", get(stream));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        tokio::spawn(
            async move { http(listener, certificate.as_ref(), router, options, stop).await },
        );
        Self {
            address,
            _guard: shutdown.clone().drop_guard(),
            shutdown,
            ticks,
        }
    }

    pub fn tick(&self) {
        self.ticks.send_modify(|tick| *tick += 1);
    }
}
