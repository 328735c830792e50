//! The body of `run` and `runsync`: `input`, and what is asked for around it.

use axum::http::{HeaderMap, Method, Uri};
use kinora_proto::scheduler::v1::CreateVideoRequest;
use kinora_proto::scheduler::v1::Model;
use kinora_transcoder::{Transcoder, read_json};
use serde_json::{Map, Value, json};

use super::endpoint::Endpoint;
use super::input::{self, Fields};
use crate::http::{headers, services};
use crate::problem::Problem;

/// What a body asks for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) request: CreateVideoRequest,
    /// Where the job's end is told.
    pub(super) webhook: Option<String>,
}

/// Reads a body. Its fields are checked here by their form alone, and by the scheduler against the model.
///
/// # Errors
/// 400 that names what is wrong as the endpoint's callers know it, 404 for a model that is not served.
pub(super) fn read(
    routes: &Transcoder,
    endpoint: &Endpoint,
    served: &[Model],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Order, Problem> {
    let mut body = Fields::of_body(read_json(body)?)?;
    let webhook = body.text("webhook")?;
    let webhook = webhook.map(checked_url).transpose()?;
    let policy = body.object("policy")?;
    if body.take("s3Config").is_some() {
        let detail =
            "is not taken: clips are kept in Kinora's own store, and `output` has links to them";
        return Err(Problem::invalid("s3Config", detail));
    }
    let input = body.object("input")?;
    let input = input.ok_or_else(|| Problem::invalid("input", "must be an object"))?;
    body.done()?;
    let mut members = input::read(endpoint, served, input)?;
    if let Some(policy) = policy {
        add_policy(policy, &mut members)?;
    }
    let request = request(routes, headers, members.into());
    Ok(Order {
        request: request.map_err(|problem| problem.with_names(endpoint.names()))?,
        webhook,
    })
}

/// Makes the contract's request of its JSON and the headers that stand for fields.
///
/// # Errors
/// 400 that names the field.
pub(super) fn request(
    routes: &Transcoder,
    headers: &HeaderMap,
    members: Value,
) -> Result<CreateVideoRequest, Problem> {
    let found = services::find(routes, &Method::POST, "/v1/videos")?;
    let mut message = found.message_of(None, members)?;
    headers::apply(headers, &mut message)?;
    message.transcode_to().map_err(|_| Problem::internal())
}

/// A URL that may be called. Whether it points outside, the scheduler finds out.
fn checked_url(text: String) -> Result<String, Problem> {
    let uri: Option<Uri> = text.parse().ok();
    let is_web = |uri: &Uri| {
        let scheme = uri.scheme_str().unwrap_or_default();
        matches!(scheme, "http" | "https") && uri.host().is_some_and(|host| !host.is_empty())
    };
    if uri.is_some_and(|uri| is_web(&uri)) {
        return Ok(text);
    }
    Err(Problem::invalid("webhook", "must be a URL with https"))
}

fn add_policy(mut policy: Fields, members: &mut Map<String, Value>) -> Result<(), Problem> {
    if policy.take("executionTimeout").is_some() {
        let detail = "cannot be promised: no limit is set to the time that a worker takes. Leave it out, and `cancel` the job when it takes too long";
        return Err(Problem::invalid("policy.executionTimeout", detail));
    }
    // Of the contract's range; the longest is 30 days.
    if let Some(millis) = policy.whole("ttl", 1..=u64::from(u32::MAX))? {
        let duration = format!("{}.{:03}s", millis / 1000, millis % 1000);
        set_once(members, "expire_after", json!(duration), "policy.ttl")?;
    }
    if policy.flag("lowPriority")? == Some(true) {
        set_once(members, "priority", json!("batch"), "policy.lowPriority")?;
    }
    policy.done()
}

/// `input` of Kinora's own form may have said it already.
fn set_once(
    members: &mut Map<String, Value>,
    field: &str,
    value: Value,
    name: &str,
) -> Result<(), Problem> {
    if members.get(field).is_some_and(|known| !known.is_null()) {
        let detail = format!("cannot be given together with `{field}` of `input`");
        return Err(Problem::invalid(name, detail));
    }
    members.insert(field.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests;
