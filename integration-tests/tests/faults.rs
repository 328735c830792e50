//! Faults of a mesh with several schedulers: whatever is killed, frozen or cut off, every accepted job has one outcome
//! and one set of outputs afterwards. `make chaos` does more of it, and for longer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use kinora_integration_tests::chaos::{
    Accepted, ChaosMesh, MeshOptions, RollingOptions, Shutdown, judge, rolling_restart,
};
use kinora_testkit::wait::until;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// Submits jobs in turn for all callers.
async fn submit(mesh: &ChaosMesh, seeds: std::ops::Range<u64>, steps: u32) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    for (seed, caller) in seeds.zip((0..mesh.clients.len()).cycle()) {
        let id = mesh.clients[caller].submit(seed, steps).await.unwrap();
        accepted.push(Accepted { caller, id });
    }
    accepted
}

async fn assert_clean(mesh: &ChaosMesh, accepted: &[Accepted]) {
    let verdict = judge(mesh, accepted).await;
    assert!(verdict.is_clean(), "{verdict:#?}");
    let completed = verdict.outcomes.get("completed").copied();
    assert_eq!(completed, Some(accepted.len()), "{verdict:#?}");
}

/// Waits until a job is as it should be and returns it.
async fn job_that(
    mesh: &ChaosMesh,
    job: &Accepted,
    what: &str,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    until(what, PATIENCE, || async {
        let seen = mesh.clients[job.caller].job(&job.id).await;
        seen.clone().filter(&is_so).ok_or(seen)
    })
    .await
}

async fn has_begun(mesh: &ChaosMesh, job: &Accepted) {
    job_that(mesh, job, "the job has begun", |job| {
        let is_under_way = job["progress"]["step"].as_u64() > Some(0);
        job["state"] == "completed" || (job["state"] == "running" && is_under_way)
    })
    .await;
}

#[tokio::test]
async fn a_killed_process_of_any_kind_loses_and_doubles_nothing() {
    let mut mesh = ChaosMesh::start(MeshOptions::default()).await;
    let mut accepted = submit(&mesh, 0..6, 20).await;
    has_begun(&mesh, &accepted[0]).await;
    mesh.workers[0].restart();
    mesh.schedulers[0].restart();
    accepted.extend(submit(&mesh, 6..9, 20).await);
    mesh.edge.restart();
    mesh.workers[1].restart();
    accepted.extend(submit(&mesh, 9..12, 20).await);
    mesh.store.restart();
    mesh.schedulers[1].restart();
    accepted.extend(submit(&mesh, 12..15, 20).await);
    assert_clean(&mesh, &accepted).await;
}

#[tokio::test]
async fn a_worker_that_is_paused_past_its_lease_comes_back_to_a_finished_job_and_a_new_one() {
    let mut mesh = ChaosMesh::start(MeshOptions {
        workers: 1,
        ..MeshOptions::default()
    })
    .await;
    let mut accepted = submit(&mesh, 0..1, 60).await;
    has_begun(&mesh, &accepted[0]).await;
    mesh.workers[0].freeze();
    mesh.add_worker("heir");
    let is_done = |job: &Value| job["state"] == "completed";
    let job = job_that(&mesh, &accepted[0], "the heir has done it", is_done).await;
    assert!(job["attempt"].as_u64() > Some(1), "{job}");
    mesh.workers[0].thaw();
    mesh.workers[1].kill();
    accepted.extend(submit(&mesh, 1..3, 4).await);
    assert_clean(&mesh, &accepted).await;
    assert!(mesh.workers[0].is_running());
}

#[tokio::test]
async fn a_database_that_crashes_fills_up_hangs_up_or_keeps_old_rows_costs_no_job() {
    let mut mesh = ChaosMesh::start(MeshOptions::default()).await;
    let mut accepted = submit(&mesh, 0..4, 20).await;
    has_begun(&mesh, &accepted[0]).await;
    assert!(mesh.database.terminate_clients().await > 0);
    accepted.extend(submit(&mesh, 4..6, 20).await);
    mesh.database.restart(Shutdown::Immediate).await;
    accepted.extend(submit(&mesh, 6..8, 20).await);
    mesh.database.restart(Shutdown::Fast).await;
    accepted.extend(submit(&mesh, 8..10, 20).await);
    // Nobody gets a new connection, and those that are there break.
    let taken = mesh.database.exhaust().await;
    until("calls fail", PATIENCE, || async {
        let is_served = mesh.clients[0].is_served().await;
        if is_served { Err("served") } else { Ok(()) }
    })
    .await;
    drop(taken);
    let snapshot = mesh.database.hold_snapshot().await;
    accepted.extend(submit(&mesh, 10..16, 4).await);
    assert_clean(&mesh, &accepted).await;
    drop(snapshot);
}

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
async fn a_rolling_restart_of_all_schedulers_interrupts_no_attempt() {
    let report = rolling_restart(RollingOptions {
        rounds: 1,
        ..RollingOptions::default()
    })
    .await;
    assert!(report.is_clean(), "{report}");
    assert!(report.restarts >= 2 && report.verdict.accepted >= 4);
}
