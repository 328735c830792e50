//! Processes that are killed, and schedulers that are replaced.

use kinora_integration_tests::chaos::{ChaosMesh, MeshOptions, RollingOptions, rolling_restart};

use super::{assert_clean, has_begun, submit};

#[tokio::test]
async fn a_worker_killed_in_mid_step_loses_and_doubles_nothing() {
    let mut mesh = ChaosMesh::start(MeshOptions::default()).await;
    let accepted = submit(&mesh, 0..6, 30).await;
    for (worker, job) in accepted.iter().enumerate().take(2) {
        has_begun(&mesh, job).await;
        mesh.workers[worker].restart();
    }
    assert_clean(&mesh, &accepted).await;
}

#[tokio::test]
async fn killed_schedulers_lose_and_double_nothing() {
    let mut mesh = ChaosMesh::start(MeshOptions::default()).await;
    let mut accepted = submit(&mesh, 0..6, 30).await;
    has_begun(&mesh, &accepted[0]).await;
    mesh.schedulers[0].restart();
    accepted.extend(submit(&mesh, 6..9, 20).await);
    mesh.schedulers[1].restart();
    accepted.extend(submit(&mesh, 9..12, 20).await);
    // All at once, with nobody to take over.
    mesh.schedulers[0].kill();
    mesh.schedulers[1].restart();
    mesh.schedulers[0].restart();
    accepted.extend(submit(&mesh, 12..15, 20).await);
    assert_clean(&mesh, &accepted).await;
}

#[tokio::test]
async fn a_killed_edge_and_a_killed_object_store_lose_and_double_nothing() {
    let mut mesh = ChaosMesh::start(MeshOptions::default()).await;
    let mut accepted = submit(&mesh, 0..6, 20).await;
    has_begun(&mesh, &accepted[0]).await;
    mesh.edge.restart();
    accepted.extend(submit(&mesh, 6..9, 20).await);
    mesh.store.restart();
    accepted.extend(submit(&mesh, 9..12, 20).await);
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
