//! Clients of other people, as they come from their packages, against `kinora up`, and over TLS against an edge.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use kinora_integration_tests::{OneProcess, SeparateProcesses, repository, text};
use kinora_testkit::env::required;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Several small clips on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// The folder of the scripts.
fn clients() -> PathBuf {
    repository().join("integration-tests/clients")
}

/// Runs a script with a Python that has the packages.
async fn run(script: &str, arguments: &[&str]) {
    let python = required(
        "KINORA_TEST_CLIENTS_PYTHON",
        "a Python with the packages of integration-tests/clients",
    );
    let running = Command::new(python)
        .arg(clients().join(script))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let finished = tokio::time::timeout(PATIENCE, running).await;
    let finished = finished.expect("the client ends in time").unwrap();
    let said = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{script}: {said}");
}

/// Runs the gRPC client; with the certificate of an authority over TLS.
async fn run_grpc(address: &str, key: &str, authority: Option<&Path>) {
    let contracts = repository().join("proto/proto");
    let mut arguments = vec![address, key, text(&contracts)];
    arguments.extend(authority.map(text));
    run("grpc_videos.py", &arguments).await;
}

#[tokio::test]
async fn the_openai_client_works_unchanged() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start_with(data.path(), &["--private-webhooks"]).await;
    let base = format!("{}/v1", mesh.api.base());
    run("openai_videos.py", &[&base, mesh.api.key()]).await;
}

#[tokio::test]
async fn the_runpod_client_works_unchanged() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let base = format!("{}/v2", mesh.api.base());
    run("runpod_endpoint.py", &[&base, mesh.api.key()]).await;
}

#[tokio::test]
async fn the_grpc_client_works_unchanged() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start(data.path()).await;
    let address = mesh.api.base().strip_prefix("http://").unwrap();
    run_grpc(address, mesh.api.key(), None).await;
}

#[tokio::test]
async fn the_grpc_client_works_unchanged_over_tls() {
    let mesh = SeparateProcesses::start().await;
    let _worker = mesh.worker("worker", &[]);
    mesh.api.wait_ready().await;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| mesh.folder.path().join(name));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (_edge, port) = mesh.edge_with_tls(&certificate, &key).await;
    let address = format!("localhost:{port}");
    run_grpc(&address, mesh.api.key(), Some(&certificate)).await;
}

/// A browser that waits for the address of an edge, and the origin of its first page.
struct Browser {
    node: Child,
    origin: String,
    log: PathBuf,
}

impl Browser {
    /// Serves the pages. What the browser keeps goes into `folder`.
    async fn start(folder: &Path) -> Self {
        let program = required("KINORA_TEST_CHROMIUM", "a Chromium");
        let packages = required("KINORA_TEST_BROWSER_PACKAGES", "what pages import");
        let contracts = folder.join("contracts.binpb");
        std::fs::write(&contracts, kinora_proto::DESCRIPTORS).unwrap();
        let log = folder.join("browser.log");
        let mut node = Command::new("node")
            .arg(clients().join("browser/run.mjs"))
            .args([&program, &packages].map(String::as_str))
            .args([text(folder), text(&contracts)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
        let origin = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let origin = origin.unwrap().unwrap();
        let said = || std::fs::read_to_string(&log).unwrap();
        let origin = origin.unwrap_or_else(|| panic!("no page is served: {}", said()));
        Self { node, origin, log }
    }

    /// Has the pages call the edge.
    async fn open(mut self, edge: &Value) {
        let mut input = self.node.stdin.take().unwrap();
        input.write_all(edge.to_string().as_bytes()).await.unwrap();
        drop(input);
        let ended = tokio::time::timeout(PATIENCE, self.node.wait()).await;
        let is_good = matches!(&ended, Ok(Ok(status)) if ExitStatus::success(status));
        let said = std::fs::read_to_string(&self.log).unwrap();
        assert!(is_good, "{ended:?}: {said}");
    }
}

#[tokio::test]
async fn a_browser_works_unchanged_from_another_origin() {
    let pages = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let browser = Browser::start(pages.path()).await;
    let mesh = OneProcess::start_with(data.path(), &["--cors-origin", &browser.origin]).await;
    let operator = std::fs::read(data.path().join("operator.json")).unwrap();
    let operator: Value = serde_json::from_slice(&operator).unwrap();
    let edge = json!({
        "base": mesh.api.base(),
        "email": operator["operator_email"],
        "password": operator["operator_password"],
    });
    browser.open(&edge).await;
    for log in std::fs::read_dir(data.path().join("logs")).unwrap() {
        let log = std::fs::read_to_string(log.unwrap().path()).unwrap();
        assert!(!log.contains("access_token"), "a URL is logged: {log}");
    }
}
