//! The scheduler's own process, killed without warning.

use std::path::Path;
use std::process::Stdio;

use kinora_access::testing::TestIssuer;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use tokio::process::{Child, Command};

use crate::harness::{Caller, FakeWorker, PATIENCE, hello, progress, prompt, reason};

fn start(database: &Path, identity: &Path, port: u16, accounts: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kinora-scheduler"))
        .arg("--scheduler-database")
        .arg(format!("sqlite://{}", database.display()))
        .args([
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--worker-ttl",
            "20s",
            "--accounts-endpoint",
            accounts,
        ])
        .arg("--identity-dir")
        .arg(identity)
        .args([
            "--s3-endpoint",
            "http://127.0.0.1:9",
            "--s3-access-key",
            "x",
            "--s3-secret-key",
            "x",
        ])
        .args(["--log", "warn"])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("starts")
}

async fn attach(endpoint: &str, held: &[pb::LeaseRef]) -> (FakeWorker, pb::Welcome) {
    kinora_testkit::wait::until("an attached worker", PATIENCE, || async {
        FakeWorker::attach(endpoint, hello("w", held))
            .await
            .map_err(|status| reason(&status))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_scheduler_forgets_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("jobs.db");
    let identity = folder.path().join("identity");
    kinora_testkit::identity::issue("scheduler", &identity);
    let port = kinora_testkit::net::free_port();
    let endpoint = format!("https://127.0.0.1:{port}");
    let issuer = TestIssuer::new();
    let trust = issuer
        .serve(kinora_testkit::identity::identity("accounts"))
        .await;
    let mut scheduler = start(&database, &identity, port, &trust.endpoint);
    let (mut worker, _) = attach(&endpoint, &[]).await;
    let anna = Caller::connect(&endpoint, issuer.token("anna"));
    let request = pb::CreateVideoRequest {
        request_id: "r".to_owned(),
        ..prompt("a red ball")
    };
    let running = anna.submit(request.clone()).await.expect("accepted");
    let lease = worker.grant().await.lease.expect("a lease");
    worker.say(progress(&lease, 10)).await;
    let waiting = anna.submit(prompt("a ball")).await.expect("accepted");
    scheduler.kill().await.expect("is killed");

    let _scheduler = start(&database, &identity, port, &trust.endpoint);
    let (mut worker, welcome) = attach(&endpoint, std::slice::from_ref(&lease)).await;
    assert_eq!(welcome.revoked, [], "the lease outlives the scheduler");
    let same = anna.submit(request).await.expect("accepted");
    assert_eq!(
        (same.id.as_str(), same.status()),
        (running.id.as_str(), VideoStatus::InProgress)
    );
    assert!(worker.complete(&lease).await);
    let next = worker.grant().await.lease.expect("a lease");
    assert_eq!((next.job_id.as_str(), next.lease), (waiting.id.as_str(), 1));
    let done = anna.get(&running.id).await.expect("reads");
    assert_eq!((done.status(), done.attempt), (VideoStatus::Completed, 1));
}
