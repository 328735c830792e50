//! An embedded server on a port of its own, and a client for it.

use std::path::Path;
use std::time::Duration;

use kinora_blobs::{BlobOptions, BlobStore, EmbeddedError, EmbeddedS3, Secret};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const ACCESS_KEY: &str = "test-key";
pub const SECRET_KEY: &str = "test-secret";

pub struct Server {
    #[allow(dead_code, reason = "not every test binary makes another client")]
    pub options: BlobOptions,
    pub store: BlobStore,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), EmbeddedError>>,
}

impl Server {
    /// Serves `root`, with its bucket made.
    pub async fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(EmbeddedS3::serve(
            listener,
            root.to_owned(),
            ACCESS_KEY.to_owned(),
            Secret::new(SECRET_KEY),
            async move { drop(stopped.await) },
        ));
        let options = BlobOptions {
            endpoint: format!("http://{address}"),
            public_endpoint: None,
            region: "us-east-1".to_owned(),
            bucket: "kinora".to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: Secret::new(SECRET_KEY),
        };
        let store = BlobStore::new(&options);
        store.ensure_bucket().await.expect("bucket");
        Self {
            options,
            store,
            stop,
            running,
        }
    }

    /// Stops it and waits for its end.
    #[allow(dead_code, reason = "not every test binary stops its server")]
    pub async fn stop(self) {
        drop(self.store);
        self.stop.send(()).expect("still running");
        self.running.await.expect("no panic").expect("no error");
    }

    /// A URL that reads `key` for a minute.
    #[allow(dead_code, reason = "not every test binary presigns")]
    pub async fn url(&self, key: &str) -> String {
        self.store
            .presign_get(key, Duration::from_secs(60), None, None)
            .await
            .expect("presigned")
    }
}

pub fn temp_root() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

/// A plain HTTP client, as a browser is.
#[allow(dead_code, reason = "not every test binary speaks plain HTTP")]
pub fn browser() -> reqwest::Client {
    // The second test in a process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().build().expect("HTTP client")
}

/// Every file below a folder, without the server's lock.
#[allow(dead_code, reason = "not every test binary looks at the files")]
pub fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if !path.ends_with(".lock") {
            found.push(path.display().to_string());
        }
    }
    found
}
