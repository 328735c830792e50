//! Journeys and faults against the real mesh.
//!
//! The programs under test run as child processes, exactly as a person starts them, and are spoken to
//! over HTTP. [`Program`] ends its process when it is dropped, also when a test fails.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a harness for tests: what goes wrong here fails the test"
)]

pub mod accounts;
mod api;
pub mod billing;
pub mod chaos;
mod checkpoints;
mod families;
mod program;
mod separate;

pub use api::{Api, Reply};
pub use families::{RandomModel, png};
pub use program::{Finished, Program};
pub use separate::SeparateProcesses;

use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The small model that the repository ships.
#[must_use]
pub fn model_folder() -> PathBuf {
    repository().join("models/kinora-tiny-t2v")
}

/// Installs the TLS provider that HTTP clients expect; once a process is enough, more do no harm.
pub fn install_tls() {
    // Only the first installation succeeds.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The mesh of `kinora up`, as a child process on a data folder.
pub struct OneProcess {
    /// The process.
    pub program: Program,
    /// A client with the key that the mesh made.
    pub api: Api,
}

impl OneProcess {
    /// Starts `kinora up` on `data` and waits until it is ready.
    pub async fn start(data: &Path) -> Self {
        Self::start_with(data, &[]).await
    }

    /// As [`OneProcess::start`], with further arguments.
    pub async fn start_with(data: &Path, more: &[&str]) -> Self {
        Self::start_on(data, &repository().join("models"), more).await
    }

    /// As [`OneProcess::start_with`], with the models in a folder instead of the one that the repository ships.
    pub async fn start_on(data: &Path, models: &Path, more: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{}", kinora_testkit::net::free_port());
        let mut arguments = vec!["up", "--data-dir", text(data), "--listen", &listen];
        arguments.extend(["--models", text(models)]);
        arguments.extend(more);
        let program = Program::start("kinora", &data.join("logs"), &arguments);
        let key_file = data.join("api-key");
        let key = kinora_testkit::wait::until("the API key is there", START, || {
            std::future::ready(std::fs::read_to_string(&key_file).map_err(|e| e.to_string()))
        });
        let api = Api::new(format!("http://{listen}"), key.await.trim());
        api.wait_ready().await;
        Self { program, api }
    }
}

/// How long a mesh may take to make its first files.
const START: std::time::Duration = std::time::Duration::from_secs(60);

/// A path as text; test folders have plain names.
#[must_use]
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
