//! A billing service that is away, stands still, or dies in the middle of what it was asked for.

use kinora_integration_tests::chaos::{Accepted, ChaosMesh, MeshOptions};
use kinora_testkit::wait::until;
use reqwest::StatusCode;
use serde_json::Value;

use super::{PATIENCE, assert_clean, has_begun, job_that, submit};

/// A submission is refused, and its caller told to come back.
async fn assert_refused(mesh: &ChaosMesh, seed: u64) {
    let (status, problem) = mesh.clients[0].submit_once(seed, 4).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(problem["reason"], "BILLING_UNAVAILABLE", "{problem}");
}

async fn count_of_holds(mesh: &ChaosMesh) -> i64 {
    let mut books = mesh.billing_books().await.unwrap();
    let count = sqlx::query_scalar("SELECT count(*) FROM holds");
    count.fetch_one(&mut books).await.unwrap()
}

#[tokio::test]
async fn nothing_is_accepted_while_billing_is_away_and_what_was_is_delivered_and_paid() {
    let mut mesh = ChaosMesh::start(MeshOptions::default()).await;
    let mut accepted = submit(&mesh, 0..6, 30).await;
    has_begun(&mesh, &accepted[0]).await;
    mesh.billing.kill();
    assert_refused(&mesh, 6).await;
    let is_done = |job: &Value| job["status"] == "completed";
    for job in &accepted {
        job_that(&mesh, job, "it is done without billing", is_done).await;
    }
    mesh.billing.restart();
    accepted.extend(submit(&mesh, 6..9, 4).await);
    assert_clean(&mesh, &accepted).await;
}

#[tokio::test]
async fn a_billing_service_that_stands_still_and_comes_back_holds_nothing_for_what_was_refused() {
    let mesh = ChaosMesh::start(MeshOptions::default()).await;
    let mut accepted = submit(&mesh, 0..4, 20).await;
    mesh.billing.freeze();
    // What is asked for now waits in the sockets, and reaches it when it goes on.
    assert_refused(&mesh, 100).await;
    mesh.billing.thaw();
    accepted.extend(submit(&mesh, 4..7, 4).await);
    assert_clean(&mesh, &accepted).await;
}

#[tokio::test]
async fn a_billing_service_that_is_killed_while_it_holds_credits_takes_none_twice() {
    let mut mesh = ChaosMesh::start(MeshOptions::default()).await;
    let client = mesh.clients[0].clone();
    let submitting = tokio::spawn(async move {
        let mut accepted = Vec::new();
        for seed in 0..24 {
            let id = client.submit(seed, 4).await.unwrap();
            accepted.push(Accepted { caller: 0, id });
        }
        accepted
    });
    for _ in 0..5 {
        let before = count_of_holds(&mesh).await;
        until("a hold is made, or all are", PATIENCE, || async {
            let is_over = submitting.is_finished() || count_of_holds(&mesh).await > before;
            is_over.then_some(()).ok_or(before)
        })
        .await;
        mesh.billing.restart();
    }
    assert_clean(&mesh, &submitting.await.unwrap()).await;
}
