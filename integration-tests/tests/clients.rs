//! Clients of other people, as they come from their packages, against `kinora up`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Stdio;
use std::time::Duration;

use kinora_integration_tests::{OneProcess, repository};
use tokio::process::Command;

/// Several small clips on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// Runs a script of `integration-tests/clients` with the address and the key of a mesh.
async fn run(script: &str, mesh: &OneProcess) {
    let python = kinora_testkit::env::required(
        "KINORA_TEST_CLIENTS_PYTHON",
        "a Python with the packages of integration-tests/clients",
    );
    let script = repository().join("integration-tests/clients").join(script);
    let base = format!("{}/v1", mesh.api.base());
    let running = Command::new(python)
        .arg(&script)
        .args([base.as_str(), mesh.api.key()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let finished = tokio::time::timeout(PATIENCE, running).await;
    let finished = finished.expect("the client ends in time").unwrap();
    let said = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{}: {said}", script.display());
}

#[tokio::test]
async fn the_openai_client_works_unchanged() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start_with(data.path(), &["--private-webhooks"]).await;
    run("openai_videos.py", &mesh).await;
}
