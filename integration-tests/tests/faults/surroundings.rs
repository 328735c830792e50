//! Clocks, buses and stores that fail.

use kinora_integration_tests::chaos::{ChaosMesh, MeshOptions};
use kinora_testkit::nats::TestNats;
use serde_json::Value;

use super::{assert_clean, has_begun, job_that, submit};

#[tokio::test]
async fn a_replica_whose_clock_steps_gives_no_job_two_outcomes() {
    let mesh = ChaosMesh::start(MeshOptions {
        has_stepped_clock: true,
        ..MeshOptions::default()
    })
    .await;
    let mut accepted = submit(&mesh, 0..4, 20).await;
    has_begun(&mesh, &accepted[0]).await;
    for (seeds, offset) in [(4..7, 3_600_000), (7..10, -3_600_000), (10..13, 0)] {
        mesh.step_clock(offset);
        let jobs = submit(&mesh, seeds, 20).await;
        has_begun(&mesh, &jobs[0]).await;
        accepted.extend(jobs);
    }
    assert_clean(&mesh, &accepted).await;
}

#[tokio::test]
async fn jobs_go_on_while_nats_is_away_and_after_it_is_back() {
    let mut nats = TestNats::start().await;
    let mut mesh = ChaosMesh::start(MeshOptions {
        scheduler_arguments: vec![format!("--scheduler-events={}", nats.url())],
        ..MeshOptions::default()
    })
    .await;
    let mut accepted = submit(&mesh, 0..4, 30).await;
    has_begun(&mesh, &accepted[0]).await;
    nats.stop().await;
    accepted.extend(submit(&mesh, 4..8, 20).await);
    mesh.schedulers[0].restart();
    accepted.extend(submit(&mesh, 8..10, 20).await);
    let is_done = |job: &Value| job["status"] == "completed";
    for job in &accepted {
        job_that(&mesh, job, "it is done without NATS", is_done).await;
    }
    nats.start_again().await;
    accepted.extend(submit(&mesh, 10..12, 20).await);
    assert_clean(&mesh, &accepted).await;
}

#[tokio::test]
async fn clips_wait_for_an_object_store_that_is_away() {
    let mut mesh = ChaosMesh::start(MeshOptions::default()).await;
    // Long enough that none is over before the store is away, however slow the submissions are.
    let mut accepted = submit(&mesh, 0..4, 300).await;
    has_begun(&mesh, &accepted[0]).await;
    mesh.store.kill();
    accepted.extend(submit(&mesh, 4..6, 4).await);
    let has_failed = |job: &Value| job["error"]["code"] == "STORAGE_UNAVAILABLE";
    for job in &accepted {
        job_that(&mesh, job, "an attempt has failed", has_failed).await;
    }
    mesh.store.restart();
    accepted.extend(submit(&mesh, 6..8, 4).await);
    assert_clean(&mesh, &accepted).await;
}
