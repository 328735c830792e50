//! Processes that stand still past their lease and come back.

use kinora_integration_tests::chaos::{ChaosMesh, MeshOptions};
use serde_json::Value;

use super::{assert_clean, has_begun, job_that, submit};

async fn mesh_of_one_worker() -> ChaosMesh {
    ChaosMesh::start(MeshOptions {
        workers: 1,
        ..MeshOptions::default()
    })
    .await
}

fn is_later_attempt(job: &Value) -> bool {
    job["attempt"].as_u64() > Some(1)
}

#[tokio::test]
async fn a_worker_that_is_paused_past_its_lease_comes_back_to_a_finished_job_and_a_new_one() {
    let mut mesh = mesh_of_one_worker().await;
    let mut accepted = submit(&mesh, 0..1, 60).await;
    has_begun(&mesh, &accepted[0]).await;
    mesh.workers[0].freeze();
    mesh.add_worker("heir");
    let is_done = |job: &Value| job["status"] == "completed";
    let job = job_that(&mesh, &accepted[0], "the heir has done it", is_done).await;
    assert!(is_later_attempt(&job), "{job}");
    mesh.workers[0].thaw();
    mesh.workers[1].kill();
    accepted.extend(submit(&mesh, 1..3, 4).await);
    assert_clean(&mesh, &accepted).await;
    assert!(mesh.workers[0].is_running());
}

#[tokio::test]
async fn a_zombie_that_comes_back_beside_its_heir_takes_nothing_from_it() {
    let mut mesh = mesh_of_one_worker().await;
    let accepted = submit(&mesh, 0..1, 200).await;
    has_begun(&mesh, &accepted[0]).await;
    mesh.workers[0].freeze();
    mesh.add_worker("heir");
    let is_with_heir = |job: &Value| is_later_attempt(job) && job["status"] == "in_progress";
    job_that(&mesh, &accepted[0], "the heir is at it", is_with_heir).await;
    mesh.workers[0].thaw();
    assert_clean(&mesh, &accepted).await;
    let job = mesh.clients[0].job(&accepted[0].id).await.unwrap();
    assert_eq!(job["attempt"], 2, "the heir was not interrupted: {job}");
    assert!(mesh.workers[0].is_running() && mesh.workers[1].is_running());
}

#[tokio::test]
async fn a_scheduler_that_is_paused_past_all_leases_undoes_nothing_when_it_comes_back() {
    let mesh = ChaosMesh::start(MeshOptions::default()).await;
    let mut accepted = submit(&mesh, 0..6, 30).await;
    has_begun(&mesh, &accepted[0]).await;
    mesh.schedulers[0].freeze();
    accepted.extend(submit(&mesh, 6..9, 20).await);
    let is_done = |job: &Value| job["status"] == "completed";
    for job in &accepted {
        job_that(&mesh, job, "the other one has seen to it", is_done).await;
    }
    mesh.schedulers[0].thaw();
    accepted.extend(submit(&mesh, 9..12, 20).await);
    assert_clean(&mesh, &accepted).await;
}
