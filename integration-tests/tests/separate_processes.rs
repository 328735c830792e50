//! The services as separate processes on PostgreSQL: edge, scheduler, workers, and an object store.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use kinora_blobs::{EmbeddedS3, Secret};
use kinora_integration_tests::{Api, Program, model_folder, text};
use kinora_testkit::net::{free_port, loopback_listener};
use kinora_testkit::postgres::TestPostgres;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

const PROMPT: &str = "a blue square moves left on a white background";
const KEY: &str = "kk_test_0123456789abcdef0123456789abcdef";

/// Edge, scheduler and object store; workers come and go with the tests.
struct Mesh {
    folder: tempfile::TempDir,
    scheduler_port: u16,
    store_port: u16,
    store: CancellationToken,
    scheduler: Program,
    _edge: Program,
    api: Api,
    database: String,
}

impl Mesh {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestPostgres::of_this_run().create_database().await;
        let listener = loopback_listener().await;
        let store_port = listener.local_addr().unwrap().port();
        let store = serve_store(listener, folder.path().join("objects"));
        let (scheduler_port, edge_port) = (free_port(), free_port());
        let scheduler = start_scheduler(folder.path(), &database, scheduler_port, store_port);
        let edge = start_edge(folder.path(), edge_port, scheduler_port, store_port);
        let api = Api::new(format!("http://127.0.0.1:{edge_port}"), KEY);
        Self {
            folder,
            scheduler_port,
            store_port,
            store,
            scheduler,
            _edge: edge,
            api,
            database,
        }
    }

    fn worker(&self, id: &str, more: &[(&str, &str)]) -> Program {
        let endpoint = format!("http://127.0.0.1:{}", self.scheduler_port);
        let scratch = self.folder.path().join(format!("scratch-{id}"));
        let model = model_folder();
        let mut environment = store_environment(self.store_port);
        environment.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let arguments = [
            "--scheduler-endpoint",
            &endpoint,
            "--worker-id",
            id,
            "--model",
            text(&model),
            "--scratch",
            text(&scratch),
        ];
        Program::start_with(
            "kinora-inference",
            &self.folder.path().join(id),
            &arguments,
            &environment,
        )
    }
}

fn serve_store(listener: tokio::net::TcpListener, root: PathBuf) -> CancellationToken {
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move {
        let secret = Secret::new("test-secret");
        let access = "test-access".to_owned();
        EmbeddedS3::serve(listener, root, access, secret, stopped)
            .await
            .unwrap();
    });
    stop
}

fn store_environment(port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("KINORA_S3_ENDPOINT", format!("http://127.0.0.1:{port}")),
        ("KINORA_S3_ACCESS_KEY", "test-access".to_owned()),
        ("KINORA_S3_SECRET_KEY", "test-secret".to_owned()),
    ]
}

fn start_scheduler(folder: &Path, database: &str, port: u16, store_port: u16) -> Program {
    let listen = format!("127.0.0.1:{port}");
    let store = store_environment(store_port);
    let environment: Vec<(&str, &str)> = store
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let arguments = ["--scheduler-database", database, "--listen", &listen];
    Program::start_with(
        "kinora-scheduler",
        &folder.join("scheduler"),
        &arguments,
        &environment,
    )
}

fn start_edge(folder: &Path, port: u16, scheduler_port: u16, store_port: u16) -> Program {
    let listen = format!("127.0.0.1:{port}");
    let endpoint = format!("http://127.0.0.1:{scheduler_port}");
    let hash = format!("tester={}", hex::encode(Sha256::digest(KEY)));
    let store = store_environment(store_port);
    let environment: Vec<(&str, &str)> = store
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let arguments = [
        "--listen",
        &listen,
        "--scheduler-endpoint",
        &endpoint,
        "--api-key-hash",
        &hash,
    ];
    Program::start_with(
        "kinora-edge",
        &folder.join("edge"),
        &arguments,
        &environment,
    )
}

/// Objects of a job in the store's folder, without the store's own bookkeeping.
fn videos_of(root: &Path, id: &str) -> Vec<PathBuf> {
    let leases = root.join("objects/kinora/jobs").join(id);
    let leases = std::fs::read_dir(leases).into_iter().flatten().flatten();
    leases
        .map(|lease| lease.path().join("video.mp4"))
        .filter(|path| path.is_file())
        .collect()
}

#[tokio::test]
async fn a_killed_worker_costs_an_attempt_and_nothing_else() {
    let mesh = Mesh::start().await;
    let mut first = mesh.worker("first", &[]);
    mesh.api.wait_ready().await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 60, "seed": 5 }))
        .await;
    mesh.api.wait_step(&id, 3).await;
    first.kill();
    let _second = mesh.worker("second", &[]);
    let job = mesh.api.wait_state(&id, "completed").await;
    assert_eq!(job["attempt"], 2, "{job}");
    let videos = videos_of(mesh.folder.path(), &id);
    assert_eq!(videos.len(), 1, "one set of outputs: {videos:?}");
    let clip = mesh.api.get(&format!("/v1/videos/{id}/content")).await;
    assert_eq!(
        hex::encode(Sha256::digest(&clip.body)),
        job["outputs"]["sha256"].as_str().unwrap()
    );
}

#[tokio::test]
async fn a_restarted_scheduler_interrupts_no_attempt() {
    let mut mesh = Mesh::start().await;
    let _worker = mesh.worker("only", &[]);
    mesh.api.wait_ready().await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 60 }))
        .await;
    mesh.api.wait_step(&id, 3).await;
    mesh.scheduler.kill();
    mesh.scheduler = start_scheduler(
        mesh.folder.path(),
        &mesh.database,
        mesh.scheduler_port,
        mesh.store_port,
    );
    let job = mesh.api.wait_state(&id, "completed").await;
    assert_eq!(job["attempt"], 1, "the worker kept its lease: {job}");
}

#[tokio::test]
async fn a_killed_encoder_is_one_failed_attempt_and_the_worker_lives() {
    let mesh = Mesh::start().await;
    let wrapper = dying_encoder(mesh.folder.path());
    let mut worker = mesh.worker("only", &[("KINORA_FFMPEG", text(&wrapper))]);
    mesh.api.wait_ready().await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 2 }))
        .await;
    let job = mesh.api.wait_state(&id, "completed").await;
    assert_eq!(job["attempt"], 2, "{job}");
    assert!(worker.is_running());
}

/// An ffmpeg that kills itself the first time and works from then on.
fn dying_encoder(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("dying-ffmpeg");
    let real = kinora_testkit::env::ffmpeg();
    let mark = folder.join("died-once");
    let (mark, real) = (text(&mark), text(&real));
    let script = format!(
        "#!/bin/sh\nif [ ! -e '{mark}' ]; then : > '{mark}'; kill -9 $$; fi\nexec '{real}' \"$@\"\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_store_that_is_away_at_upload_fails_the_attempt_and_the_next_one_delivers() {
    let mesh = Mesh::start().await;
    let mut worker = mesh.worker("only", &[]);
    mesh.api.wait_ready().await;
    let id = mesh
        .api
        .submit(json!({ "prompt": PROMPT, "steps": 4 }))
        .await;
    mesh.api.wait_step(&id, 1).await;
    mesh.store.cancel();
    let is_queued_again =
        |job: &serde_json::Value| job["failure"]["reason"] == "STORAGE_UNAVAILABLE";
    mesh.api
        .wait_job(&id, "the attempt has failed", is_queued_again)
        .await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", mesh.store_port))
        .await
        .unwrap();
    let _store = serve_store(listener, mesh.folder.path().join("objects"));
    mesh.api.wait_state(&id, "completed").await;
    assert_eq!(videos_of(mesh.folder.path(), &id).len(), 1);
    assert!(worker.is_running());
}
