//! Requests for several videos at once, proto to domain, checked for their form.

use kinora_proto::scheduler::v1 as pb;

use super::submissions::{HasPictures, beside, given, source_id, submission_from_pb};
use crate::domain::sequence::{BatchOrder, MAX_SEGMENTS, SequenceOrder};
use crate::domain::submission::every_pair;
use crate::error::Error;

impl HasPictures for pb::CreateBatchRequest {
    fn has_pictures(&self) -> bool {
        self.requests.iter().any(HasPictures::has_pictures)
            || self
                .template
                .as_ref()
                .is_some_and(HasPictures::has_pictures)
    }
}

impl HasPictures for pb::CreateSequenceRequest {
    fn has_pictures(&self) -> bool {
        self.segment.as_ref().is_some_and(HasPictures::has_pictures)
    }
}

/// Reads a batch: either `requests`, or a template with prompts, seeds or both.
pub fn batch_from_pb(request: pb::CreateBatchRequest) -> Result<BatchOrder, Error> {
    let varies = !request.prompts.is_empty() || !request.seeds.is_empty();
    let submissions = if varies || request.template.is_some() {
        if !request.requests.is_empty() {
            let problem =
                "stands beside `template`, `prompts` or `seeds`; put these into each of them";
            return Err(beside("requests", problem));
        }
        let template = submission_from_pb(request.template.unwrap_or_default())?;
        every_pair(&template, &request.prompts, &request.seeds)?
    } else {
        let requests = request.requests.into_iter().map(submission_from_pb);
        requests.collect::<Result<_, _>>()?
    };
    Ok(BatchOrder {
        request_id: given(request.request_id),
        submissions,
        allow_duplicate: request.allow_duplicate,
    })
}

/// Reads a sequence.
pub fn sequence_from_pb(request: pb::CreateSequenceRequest) -> Result<SequenceOrder, Error> {
    let prompts = prompts_of_segments(&request)?;
    let mut segment = submission_from_pb(request.segment.unwrap_or_default())?;
    segment.allow_duplicate |= request.allow_duplicate;
    Ok(SequenceOrder {
        request_id: given(request.request_id),
        segment,
        prompts,
        source: given(request.source_id)
            .map(|id| source_id(&id))
            .transpose()?,
    })
}

/// A prompt a segment, empty for the common one. What has a clip to go on from, or a prompt, is one segment when nothing
/// is said.
fn prompts_of_segments(request: &pb::CreateSequenceRequest) -> Result<Vec<String>, Error> {
    if !request.prompts.is_empty() {
        return match request.segments {
            0 => Ok(request.prompts.clone()),
            _ => Err(beside(
                "segments",
                "stands beside `prompts`, whose number it is",
            )),
        };
    }
    let has_prompt = |segment: &pb::CreateVideoRequest| !segment.prompt.is_empty();
    let says_enough =
        !request.source_id.is_empty() || request.segment.as_ref().is_some_and(has_prompt);
    let invalid = |field, problem| Error::Field {
        reason: "SEQUENCE_LENGTH_INVALID",
        field,
        problem,
    };
    match usize::try_from(request.segments) {
        Ok(0) if says_enough => Ok(vec![String::new()]),
        Ok(0) => Err(invalid(
            "prompts",
            "is required, unless `segments` is there",
        )),
        Ok(count) if count <= MAX_SEGMENTS => Ok(vec![String::new(); count]),
        _ => Err(invalid("segments", "must be 1 to 16")),
    }
}

#[cfg(test)]
mod tests;
