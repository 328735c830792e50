//! What a PostgreSQL does to its clients.

use kinora_integration_tests::chaos::{ChaosMesh, MeshOptions, Shutdown};
use kinora_testkit::wait::until;

use super::{PATIENCE, assert_clean, has_begun, submit};

#[tokio::test]
async fn a_database_that_hangs_up_or_has_a_process_killed_costs_no_job() {
    let mesh = ChaosMesh::start(MeshOptions::default()).await;
    let mut accepted = submit(&mesh, 0..4, 20).await;
    has_begun(&mesh, &accepted[0]).await;
    assert!(mesh.database.terminate_clients().await > 0);
    accepted.extend(submit(&mesh, 4..6, 20).await);
    // The server takes that for a crash and recovers.
    assert!(mesh.database.kill_client().await, "somebody was connected");
    accepted.extend(submit(&mesh, 6..8, 20).await);
    assert_clean(&mesh, &accepted).await;
}

#[tokio::test]
async fn a_database_that_is_restarted_costs_no_job() {
    let mut mesh = ChaosMesh::start(MeshOptions::default()).await;
    let mut accepted = submit(&mesh, 0..4, 20).await;
    has_begun(&mesh, &accepted[0]).await;
    mesh.database.restart(Shutdown::Immediate).await;
    accepted.extend(submit(&mesh, 4..6, 20).await);
    mesh.database.restart(Shutdown::Fast).await;
    accepted.extend(submit(&mesh, 6..8, 20).await);
    assert_clean(&mesh, &accepted).await;
}

#[tokio::test]
async fn a_database_without_a_free_connection_costs_no_job() {
    let mesh = ChaosMesh::start(MeshOptions::default()).await;
    let mut accepted = submit(&mesh, 0..4, 20).await;
    has_begun(&mesh, &accepted[0]).await;
    // Nobody gets a new connection, and those that are there break.
    let taken = mesh.database.exhaust().await;
    until("calls fail", PATIENCE, || async {
        let is_served = mesh.clients[0].is_served().await;
        if is_served { Err("served") } else { Ok(()) }
    })
    .await;
    drop(taken);
    accepted.extend(submit(&mesh, 4..8, 20).await);
    assert_clean(&mesh, &accepted).await;
}

#[tokio::test]
async fn a_transaction_that_is_left_open_and_keeps_dead_rows_costs_no_job() {
    let mesh = ChaosMesh::start(MeshOptions::default()).await;
    let snapshot = mesh.database.hold_snapshot().await;
    let accepted = submit(&mesh, 0..24, 4).await;
    assert_clean(&mesh, &accepted).await;
    drop(snapshot);
}
