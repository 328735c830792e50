//! What callers ask for, proto to domain, checked for its form.

use std::time::Duration;

use chrono::DateTime;
use kinora_ids::JobId;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status;

use crate::app::{ContentKind, VideoQuery};
use crate::domain::job::{Priority, State, Time};
use crate::domain::submission::{SentImage, Submission};
use crate::error::Error;

/// Longer than any length of a clip is written.
const MAX_SECONDS_CHARS: usize = 32;

/// A request that may come with pictures.
pub trait HasPictures {
    /// Whether it does.
    fn has_pictures(&self) -> bool;
}

impl HasPictures for pb::CreateVideoRequest {
    fn has_pictures(&self) -> bool {
        !self.image.is_empty() || !self.last_image.is_empty()
    }
}

/// Reads a submission.
pub fn submission_from_pb(request: pb::CreateVideoRequest) -> Result<Submission, Error> {
    let priority = priority_from_pb(request.priority)?;
    let (width, height) = sides(&request)?;
    let seconds = clip_seconds(&request)?;
    let sent = |bytes: Vec<u8>| (!bytes.is_empty()).then(|| SentImage::new(bytes));
    Ok(Submission {
        request_id: given(request.request_id),
        model: given(request.model),
        prompt: request.prompt,
        negative_prompt: request.negative_prompt,
        width,
        height,
        frames: request.frames,
        seconds,
        steps: request.steps,
        guidance: request.guidance,
        seed: request.seed,
        image: sent(request.image),
        last_image: sent(request.last_image),
        priority,
        not_before: request.not_before.map(time_from_pb).transpose()?,
        expire_after: request.expire_after.map(wait_from_pb).transpose()?,
        preview_first: request.preview_first,
        remix_of: given(request.remix_of)
            .map(|id| source_id(&id))
            .transpose()?,
        allow_duplicate: request.allow_duplicate,
    })
}

/// Reads what a list is to show.
pub fn query_from_pb(request: pb::ListVideosRequest) -> Result<VideoQuery, Error> {
    if !matches!(request.order.as_str(), "" | "desc") {
        return Err(Error::Field {
            reason: "ORDER_INVALID",
            field: "order",
            problem: "may only be `desc`, the newest first",
        });
    }
    let page_size = match (request.page_size, request.limit) {
        (size, 0) => size,
        (0, limit) => limit,
        (size, limit) if size == limit => size,
        _ => {
            return Err(beside(
                "limit",
                "stands beside `page_size`, and differs from it",
            ));
        }
    };
    if !request.after.is_empty() && !request.page_token.is_empty() {
        return Err(beside("after", "stands beside `page_token`"));
    }
    let after = given(request.after).map(|id| id.parse().map_err(|_| Error::AfterUnknown));
    Ok(VideoQuery {
        states: states_from_pb(&request.status)?,
        page_size,
        page_token: request.page_token,
        after: after.transpose()?,
    })
}

/// Reads which object is meant.
pub fn content_kind_from_pb(kind: pb::ContentKind) -> Result<ContentKind, Error> {
    match kind {
        pb::ContentKind::Video => Ok(ContentKind::Video),
        pb::ContentKind::Thumbnail => Ok(ContentKind::Thumbnail),
        pb::ContentKind::Still => Ok(ContentKind::Still),
        pb::ContentKind::Manifest => Ok(ContentKind::Manifest),
        pb::ContentKind::Unspecified => Err(Error::Field {
            reason: "KIND_INVALID",
            field: "kind",
            problem: "is none that there is",
        }),
    }
}

/// Refuses a field that cannot stand beside another one.
pub const fn beside(field: &'static str, problem: &'static str) -> Error {
    Error::Field {
        reason: "FIELDS_CONFLICT",
        field,
        problem,
    }
}

/// Reads the statuses that a list is limited to.
fn states_from_pb(statuses: &[i32]) -> Result<Vec<State>, Error> {
    let read = |status: &i32| match Status::try_from(*status) {
        Ok(Status::AwaitingApproval) => Ok(State::AwaitingApproval),
        Ok(Status::Queued) => Ok(State::Queued),
        Ok(Status::InProgress) => Ok(State::Running),
        Ok(Status::Completed) => Ok(State::Completed),
        Ok(Status::Failed) => Ok(State::Failed),
        Ok(Status::Cancelled) => Ok(State::Cancelled),
        Ok(Status::Expired) => Ok(State::Expired),
        Ok(Status::Unspecified) | Err(_) => Err(Error::Field {
            reason: "STATUS_INVALID",
            field: "status",
            problem: "names a status that there is not",
        }),
    };
    statuses.iter().map(read).collect()
}

/// Width and height, which may be said as one text.
fn sides(request: &pb::CreateVideoRequest) -> Result<(Option<u32>, Option<u32>), Error> {
    if request.size.is_empty() {
        return Ok((request.width, request.height));
    }
    if request.width.is_some() || request.height.is_some() {
        return Err(beside("size", "stands beside `width` or `height`"));
    }
    let side = |text: &str| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    let both = request.size.split_once('x');
    let both = both.and_then(|(width, height)| Some((side(width)?, side(height)?)));
    let (width, height) = both.ok_or(Error::Field {
        reason: "SIZE_INVALID",
        field: "size",
        problem: "must be a width and a height in pixels, for example `832x480`",
    })?;
    Ok((Some(width), Some(height)))
}

/// The length that is said in seconds.
fn clip_seconds(request: &pb::CreateVideoRequest) -> Result<Option<f64>, Error> {
    let text = request.seconds.as_str();
    if text.is_empty() {
        return Ok(None);
    }
    if request.frames.is_some() {
        return Err(beside("seconds", "stands beside `frames`"));
    }
    // Only plain decimals: numbers as programs write them have more forms.
    let is_plain = text.len() <= MAX_SECONDS_CHARS
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.parse::<f64>().ok().filter(|_| is_plain);
    match seconds.filter(|seconds| *seconds > 0.0) {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(Error::Field {
            reason: "SECONDS_INVALID",
            field: "seconds",
            problem: "must be a decimal number above 0, for example `5` or `2.5`",
        }),
    }
}

fn priority_from_pb(priority: i32) -> Result<Option<Priority>, Error> {
    match pb::Priority::try_from(priority) {
        Ok(pb::Priority::Unspecified) => Ok(None),
        Ok(pb::Priority::Interactive) => Ok(Some(Priority::Interactive)),
        Ok(pb::Priority::Standard) => Ok(Some(Priority::Standard)),
        Ok(pb::Priority::Batch) => Ok(Some(Priority::Batch)),
        Err(_) => Err(Error::Field {
            reason: "PRIORITY_INVALID",
            field: "priority",
            problem: "is none that there is",
        }),
    }
}

fn time_from_pb(time: prost_types::Timestamp) -> Result<Time, Error> {
    let invalid = Error::Field {
        reason: "NOT_BEFORE_INVALID",
        field: "not_before",
        problem: "is no time",
    };
    // To the microsecond that databases keep.
    let nanos = u32::try_from(time.nanos).map(|nanos| nanos / 1000 * 1000);
    let read = nanos
        .ok()
        .and_then(|nanos| DateTime::from_timestamp(time.seconds, nanos));
    read.ok_or(invalid)
}

fn wait_from_pb(wait: prost_types::Duration) -> Result<Duration, Error> {
    wait.try_into().map_err(|_| Error::Field {
        reason: "EXPIRE_AFTER_INVALID",
        field: "expire_after",
        problem: "may not be negative",
    })
}

/// Text that is no id names no video.
pub fn source_id(text: &str) -> Result<JobId, Error> {
    text.parse().map_err(|_| Error::SourceNotFound)
}

/// A text that is there.
pub fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
