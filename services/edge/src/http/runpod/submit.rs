//! From a body to an accepted job.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use kinora_proto::scheduler::v1::video::Status;
use kinora_proto::scheduler::v1::{CreateWebhookRequest, Model, Video, Webhook};
use serde_json::{Map, Value, json};

use super::calls::Line;
use super::endpoint::Endpoint;
use super::job;
use super::order::{self, Order};
use crate::http::body::{self, Intake};
use crate::problem::Problem;

/// The largest body of `run`.
pub(super) const RUN_BYTES: usize = 10 << 20;

/// The largest body of `runsync`.
pub(super) const RUN_SYNC_BYTES: usize = 20 << 20;

/// What a webhook of a job is told.
const EVENTS: [&str; 4] = [
    "video.completed",
    "video.failed",
    "video.cancelled",
    "video.expired",
];

/// A job that was accepted.
pub(super) struct Accepted {
    pub(super) video: Video,
    /// What became of its webhook, as a member of the answer.
    pub(super) webhook: Map<String, Value>,
}

/// Accepts a job.
///
/// What can be said of its webhook is said before the job is made; see [`announce`] for what goes wrong afterwards.
pub(super) async fn accept(
    line: Line<'_>,
    endpoint: &Endpoint,
    request: Request,
    max_bytes: usize,
) -> Result<Accepted, Problem> {
    let served = line.models().await?;
    endpoint.require(&served)?;
    let (parts, body) = request.into_parts();
    let intake = Intake {
        places: &line.edge.uploads,
        caller: line.caller,
    };
    let taken = body::read_json_with_files(intake, &parts.headers, body, max_bytes).await?;
    let order = if taken.place.is_some() {
        large_order(line, endpoint, served, &parts.headers, taken.bytes).await?
    } else {
        let routes = &line.edge.services.routes;
        order::read(routes, endpoint, &served, &parts.headers, &taken.bytes)?
    };
    let Order { request, webhook } = order;
    // A caller who may not have webhooks is refused here, before there is a job.
    let known = match &webhook {
        Some(_) => line.webhooks().await?,
        None => Vec::new(),
    };
    let video = line.create(request).await;
    let video = video.map_err(|problem| problem.with_names(endpoint.names()))?;
    let webhook = match webhook {
        Some(url) => announce(line, &video.id, url, &known).await,
        None => Map::new(),
    };
    Ok(Accepted { video, webhook })
}

/// Makes a job of the request and the seed of one that failed or timed out.
///
/// # Errors
/// 400 with reason `NOT_RETRYABLE` for one that did neither.
pub(super) async fn again(
    line: Line<'_>,
    headers: &HeaderMap,
    former: &Video,
) -> Result<Video, Problem> {
    if !matches!(former.status(), Status::Failed | Status::Expired) {
        let state = job::state(former.status());
        let detail =
            format!("only a job that is FAILED or TIMED_OUT is run again; this one is {state}");
        let problem = Problem::new(StatusCode::BAD_REQUEST, "NOT_RETRYABLE", detail);
        return Err(problem.with_metadata("status", state));
    }
    let members = json!({
        "remix_of": former.id,
        "seed": former.seed,
        "priority": former.priority().as_str_name(),
        "preview_first": former.preview_settings.is_some(),
    });
    let request = order::request(&line.edge.services.routes, headers, members)?;
    line.create(request).await
}

/// As [`order::read`], on a thread that may take its time.
async fn large_order(
    line: Line<'_>,
    endpoint: &Endpoint,
    served: Vec<Model>,
    headers: &HeaderMap,
    bytes: Bytes,
) -> Result<Order, Problem> {
    let routes = Arc::clone(&line.edge.services.routes);
    let (endpoint, headers) = (endpoint.clone(), headers.clone());
    let read = tokio::task::spawn_blocking(move || {
        order::read(&routes, &endpoint, &served, &headers, &bytes)
    });
    read.await.map_err(|_| Problem::internal())?
}

/// Makes the webhook of a job, unless there is one that tells as much.
///
/// By then the job is accepted. An error would hide it, and who asked again would pay for a second one; so the job is
/// answered in any case, and beside it why it has no webhook.
async fn announce(line: Line<'_>, id: &str, url: String, known: &[Webhook]) -> Map<String, Value> {
    let existing = known.iter().find(|webhook| tells(webhook, id, &url));
    let outcome = match existing {
        Some(webhook) => json!({ "id": webhook.id }),
        None => {
            let request = CreateWebhookRequest {
                url,
                events: EVENTS.map(str::to_owned).to_vec(),
                video_id: id.to_owned(),
            };
            match line.create_webhook(request).await {
                Ok(webhook) => json!({ "id": webhook.id, "secret": webhook.secret }),
                Err(problem) => {
                    let (reason, detail) = problem.said();
                    json!({ "error": format!("{reason}: {detail}") })
                }
            }
        }
    };
    Map::from_iter([("webhook".to_owned(), outcome)])
}

/// Whether a webhook tells the ends of a job to that URL already.
fn tells(webhook: &Webhook, id: &str, url: &str) -> bool {
    let has = |event: &str| webhook.events.iter().any(|name| name == event);
    let is_for_job = webhook.video_id.is_empty() || webhook.video_id == id;
    let is_for_ends = webhook.events.is_empty() || EVENTS.into_iter().all(has);
    webhook.enabled && webhook.url == url && is_for_job && is_for_ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_that_tells_as_much_serves() {
        let url = "https://a.example/hook";
        let of = |events: &[&str], video_id: &str, enabled| {
            let webhook = Webhook {
                url: url.to_owned(),
                events: events.iter().map(|event| (*event).to_owned()).collect(),
                video_id: video_id.to_owned(),
                enabled,
                ..Webhook::default()
            };
            tells(&webhook, "v1", url)
        };
        assert!(of(&[], "", true));
        assert!(of(&EVENTS, "v1", true));
        assert!(!of(&EVENTS, "v2", true));
        assert!(!of(&EVENTS[..1], "v1", true));
        assert!(!of(&[], "", false));
    }
}
