//! Whether the process lives, and whether it is of use.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use serde_json::{Value, json};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::Edge;
use crate::problem::Problem;

const READY_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready while the scheduler says that it serves, until the edge drains.
pub(super) async fn ready(State(edge): State<Edge>) -> Result<Json<Value>, Problem> {
    if edge.draining.is_cancelled() {
        return Err(not_ready("the edge is stopping"));
    }
    let mut scheduler = edge.scheduler_health;
    let check = scheduler.check(HealthCheckRequest::default());
    match tokio::time::timeout(READY_TIMEOUT, check).await {
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => {
            Ok(Json(json!({ "status": "ready" })))
        }
        _ => Err(not_ready("the scheduler does not answer")),
    }
}

fn not_ready(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail)
        .with_header(RETRY_AFTER, "2")
}
