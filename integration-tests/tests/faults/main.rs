//! Faults of a mesh with several schedulers: whatever is killed, frozen or cut off, every accepted job has one outcome
//! and one set of outputs afterwards, and has paid for it. `make chaos` does more of it, and for longer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod billing;
mod database;
mod processes;
mod surroundings;
mod zombies;

use std::time::Duration;

use kinora_integration_tests::chaos::{Accepted, ChaosMesh, judge};
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
        let is_under_way = job["work"]["step"].as_u64() > Some(0);
        job["status"] == "completed" || (job["status"] == "in_progress" && is_under_way)
    })
    .await;
}
