//! Whether the process lives, and whether it is of use.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use serde_json::{Value, json};

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
    match tokio::time::timeout(READY_TIMEOUT, edge.scheduler.is_serving()).await {
        Ok(true) => Ok(Json(json!({ "status": "ready" }))),
        Ok(false) | Err(_) => Err(not_ready("the scheduler does not answer")),
    }
}

fn not_ready(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail)
        .with_header(RETRY_AFTER, "2")
}
