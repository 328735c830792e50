//! What callers are told of some of the errors.

use std::time::Duration;

use kinora_mesh::error::{Kind, PublicError};

use super::SOON;
use crate::domain::job::State;
use crate::domain::prompting::Finding;
use crate::domain::submission::Invalid;
use crate::domain::transition::NotApprovable;
use crate::sessions::{NEWEST_PROTOCOL, OLDEST_PROTOCOL};
use crate::store::LimitHit;

const fn not_approvable_reason(refused: NotApprovable) -> (&'static str, &'static str) {
    match refused {
        NotApprovable::NotAwaiting => ("NOT_AWAITING_APPROVAL", "no preview awaits approval"),
        NotApprovable::Expired => ("APPROVAL_EXPIRED", "the time for the approval is over"),
    }
}

pub fn not_approvable(refused: NotApprovable) -> PublicError {
    let (reason, text) = not_approvable_reason(refused);
    PublicError::new(Kind::FailedPrecondition, reason, text)
}

/// Limits of whole queues take longer to clear than one's own.
pub fn over_limit(hit: LimitHit) -> PublicError {
    let error = |reason, text: &str, limit: u32| {
        let error = PublicError::new(Kind::ResourceExhausted, reason, text);
        error.with_metadata("limit", limit.to_string())
    };
    match hit {
        // Waiting helps nothing.
        LimitHit::Request { limit } => PublicError::new(
            Kind::FailedPrecondition,
            "REQUEST_OVER_LIMIT",
            format!(
                "the request asks for more videos than may be there at a time, which are {limit}; split it"
            ),
        )
        .with_metadata("limit", limit.to_string()),
        LimitHit::Owner { limit } => error(
            "CONCURRENT_LIMIT",
            "you have as many videos under way as you may; wait for one to end",
            limit,
        )
        .with_retry_after(Duration::from_secs(10)),
        LimitHit::Tenant { limit } => error(
            "TENANT_QUEUE_FULL",
            "your organisation has as many videos waiting as it may",
            limit,
        )
        .with_retry_after(Duration::from_secs(10)),
        LimitHit::Queue {
            model,
            priority,
            limit,
        } => error("QUEUE_FULL", "too many videos wait for this model", limit)
            .with_metadata("model", model)
            .with_metadata("priority", format!("{priority:?}").to_lowercase())
            .with_retry_after(Duration::from_secs(30)),
    }
}

pub fn invalid(reason: &'static str, field: &'static str, problem: &str) -> PublicError {
    PublicError::new(Kind::InvalidArgument, reason, format!("{field} {problem}"))
        .with_violation(field, problem)
}

pub fn upload_not_found(field: &'static str) -> PublicError {
    let text = "names no upload of yours: nothing was put there yet, or its time is over";
    let message = format!("{field} {text}");
    PublicError::new(Kind::FailedPrecondition, "UPLOAD_NOT_FOUND", message)
        .with_violation(field, text)
}

/// They go one by one as their time is over.
pub fn too_many_uploads(limit: u32) -> PublicError {
    PublicError::new(
        Kind::ResourceExhausted,
        "UPLOAD_LIMIT",
        "you have as many uploads as you may; use one again, or send pictures with their requests",
    )
    .with_metadata("limit", limit.to_string())
    .with_retry_after(Duration::from_secs(60))
}

/// Another service, for a moment.
pub fn away(reason: &str, text: &str) -> PublicError {
    PublicError::new(Kind::Unavailable, reason, text).with_retry_after(SOON)
}

pub fn enhancement_not_supported() -> PublicError {
    let text = "prompts are not rewritten here; leave `enhance` out, or set it to none";
    PublicError::new(Kind::FailedPrecondition, "ENHANCEMENT_NOT_SUPPORTED", text)
        .with_violation("enhance", text)
}

/// Which words it was is not said: who tries them out one by one would learn all of them.
pub fn prompt_refused(finding: Finding, index: Option<u32>) -> PublicError {
    let field = match finding.text.as_str() {
        "negative_prompt" => "negative_prompt",
        "style" => "style",
        "character" => "characters",
        _ => "prompt",
    };
    let text = format!("may not be generated here: {}", named(&finding.category));
    let message = format!("the {} {text}", field.replace('_', " "));
    let error = PublicError::new(Kind::InvalidArgument, "PROMPT_REFUSED", message)
        .with_violation(field, text)
        .with_metadata("category", finding.category)
        .with_metadata("rule_id", finding.rule_id);
    in_group(error, index)
}

pub fn prompt_needs_review(
    review: Option<String>,
    category: String,
    index: Option<u32>,
) -> PublicError {
    let entry = review.as_deref().map(|id| format!(" (review {id})"));
    let text = format!(
        "a person has to look at the prompt first: {}{}; send the same request again once it is approved",
        named(&category),
        entry.unwrap_or_default()
    );
    let error = PublicError::new(Kind::FailedPrecondition, "PROMPT_NEEDS_REVIEW", text)
        .with_metadata("category", category);
    let error = match review {
        Some(id) => error.with_metadata("review_id", id),
        None => error,
    };
    in_group(error, index)
}

/// A category in words.
fn named(category: &str) -> String {
    match category {
        "" => "its content".to_owned(),
        category => category.replace('_', " "),
    }
}

/// Which of the videos that were asked for together is meant.
fn in_group(error: PublicError, index: Option<u32>) -> PublicError {
    match index {
        Some(index) => error.with_metadata("index", index.to_string()),
        None => error,
    }
}

pub fn version_skew(protocol: u32) -> PublicError {
    PublicError::new(
        Kind::FailedPrecondition,
        "VERSION_SKEW",
        format!(
            "this worker speaks version {protocol} of the contract, and the scheduler speaks versions \
             {OLDEST_PROTOCOL} to {NEWEST_PROTOCOL}; bring both to one release"
        ),
    )
    .with_metadata("oldest", OLDEST_PROTOCOL.to_string())
    .with_metadata("newest", NEWEST_PROTOCOL.to_string())
}

pub fn from_invalid(invalid: Invalid) -> PublicError {
    let error = PublicError::new(Kind::InvalidArgument, invalid.reason, &*invalid.message)
        .with_violation(invalid.field, invalid.message);
    let metadata = invalid.metadata.into_iter();
    metadata.fold(error, |error, (key, value)| error.with_metadata(key, value))
}

/// While there is nothing to come by, or when there never will be.
pub fn not_ready(state: State, what: &str) -> PublicError {
    let name = state.public_name();
    let text = if state.is_terminal() {
        format!("the video is {name} and has no {what}")
    } else {
        format!("the video is {name}; follow its events and come back")
    };
    PublicError::new(Kind::Aborted, "NOT_READY", text).with_metadata("state", name)
}
