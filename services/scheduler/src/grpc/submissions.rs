//! What callers submit, proto to domain, checked for its form.

use std::time::Duration;

use chrono::DateTime;
use kinora_ids::JobId;
use kinora_proto::scheduler::v1 as pb;

use crate::domain::job::{Priority, State, Time};
use crate::domain::sequence::{BatchOrder, SequenceOrder};
use crate::domain::submission::{SentImage, Submission};
use crate::error::Error;

/// A request that may come with pictures.
pub trait HasPictures {
    /// Whether it does.
    fn has_pictures(&self) -> bool;
}

impl HasPictures for pb::SubmitRequest {
    fn has_pictures(&self) -> bool {
        !self.image.is_empty() || !self.last_image.is_empty()
    }
}

impl HasPictures for pb::SubmitBatchRequest {
    fn has_pictures(&self) -> bool {
        self.submissions.iter().any(HasPictures::has_pictures)
    }
}

impl HasPictures for pb::SubmitSequenceRequest {
    fn has_pictures(&self) -> bool {
        self.segment.as_ref().is_some_and(HasPictures::has_pictures)
    }
}

/// Reads a submission.
pub fn submission_from_pb(request: pb::SubmitRequest) -> Result<Submission, Error> {
    let priority = priority_from_pb(request.priority)?;
    let sent = |bytes: Vec<u8>| (!bytes.is_empty()).then(|| SentImage::new(bytes));
    Ok(Submission {
        request_id: given(request.request_id),
        model: given(request.model),
        prompt: request.prompt,
        negative_prompt: request.negative_prompt,
        width: request.width,
        height: request.height,
        frames: request.frames,
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

/// Reads a batch.
pub fn batch_from_pb(request: pb::SubmitBatchRequest) -> Result<BatchOrder, Error> {
    let submissions = request.submissions.into_iter().map(submission_from_pb);
    Ok(BatchOrder {
        request_id: given(request.request_id),
        submissions: submissions.collect::<Result<_, _>>()?,
    })
}

/// Reads a sequence.
pub fn sequence_from_pb(request: pb::SubmitSequenceRequest) -> Result<SequenceOrder, Error> {
    Ok(SequenceOrder {
        request_id: given(request.request_id),
        segment: submission_from_pb(request.segment.unwrap_or_default())?,
        prompts: request.prompts,
        source: given(request.source_id)
            .map(|id| source_id(&id))
            .transpose()?,
    })
}

/// Reads the states that a list is limited to.
pub fn states_from_pb(states: &[i32]) -> Result<Vec<State>, Error> {
    let read = |state: &i32| match pb::JobState::try_from(*state) {
        Ok(pb::JobState::AwaitingApproval) => Ok(State::AwaitingApproval),
        Ok(pb::JobState::Queued) => Ok(State::Queued),
        Ok(pb::JobState::Running) => Ok(State::Running),
        Ok(pb::JobState::Completed) => Ok(State::Completed),
        Ok(pb::JobState::Failed) => Ok(State::Failed),
        Ok(pb::JobState::Cancelled) => Ok(State::Cancelled),
        Ok(pb::JobState::Expired) => Ok(State::Expired),
        Ok(pb::JobState::Unspecified) | Err(_) => Err(Error::Field {
            reason: "STATE_INVALID",
            field: "states",
            problem: "names a state that there is not",
        }),
    };
    states.iter().map(read).collect()
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
fn source_id(text: &str) -> Result<JobId, Error> {
    text.parse().map_err(|_| Error::SourceNotFound)
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
