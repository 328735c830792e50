//! What callers ask for, proto to domain, checked for its form.

use std::time::Duration;

use chrono::SubsecRound;
use kinora_ids::{JobId, UploadId};
use kinora_proto::prompts::v1 as prompts;
use kinora_proto::scheduler::v1 as pb;

use super::convert::time_from_pb;
use crate::app::ContentKind;
use crate::domain::job::{Priority, Time};
use crate::domain::prompting::{Character, Enhancer};
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
        let are_sent = !self.image.is_empty() || !self.last_image.is_empty();
        are_sent || !self.image_upload.is_empty() || !self.last_image_upload.is_empty()
    }
}

/// Reads a submission.
pub fn submission_from_pb(request: pb::CreateVideoRequest) -> Result<Submission, Error> {
    let priority = priority_from_pb(request.priority)?;
    let (width, height) = sides(&request)?;
    let seconds = clip_seconds(&request)?;
    let (image_upload, last_image_upload) = uploads(&request)?;
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
        image_upload,
        last_image_upload,
        priority,
        not_before: request.not_before.map(not_before_from_pb).transpose()?,
        expire_after: request.expire_after.map(wait_from_pb).transpose()?,
        preview_first: request.preview_first,
        remix_of: given(request.remix_of)
            .map(|id| source_id(&id))
            .transpose()?,
        enhance: enhancer_from_pb(request.enhance)?,
        style: request.style,
        characters: request
            .characters
            .into_iter()
            .map(character_from_pb)
            .collect(),
        allow_duplicate: request.allow_duplicate,
    })
}

/// Reads which object is meant.
pub fn content_kind_from_pb(kind: pb::ContentKind) -> Result<ContentKind, Error> {
    match kind {
        pb::ContentKind::Video => Ok(ContentKind::Video),
        pb::ContentKind::Thumbnail => Ok(ContentKind::Thumbnail),
        pb::ContentKind::Still => Ok(ContentKind::Still),
        pb::ContentKind::Manifest => Ok(ContentKind::Manifest),
        pb::ContentKind::Spritesheet => Ok(ContentKind::Spritesheet),
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

/// Pictures that were uploaded before, instead of those that come with the request.
fn uploads(
    request: &pb::CreateVideoRequest,
) -> Result<(Option<UploadId>, Option<UploadId>), Error> {
    if !request.image_upload.is_empty() && !request.image.is_empty() {
        return Err(beside("image_upload", "stands beside `image`"));
    }
    if !request.last_image_upload.is_empty() && !request.last_image.is_empty() {
        return Err(beside("last_image_upload", "stands beside `last_image`"));
    }
    let read = |field, text: &str| match text {
        "" => Ok(None),
        text => {
            let id = text.parse();
            id.map(Some).map_err(|_| Error::UploadNotFound { field })
        }
    };
    Ok((
        read("image_upload", &request.image_upload)?,
        read("last_image_upload", &request.last_image_upload)?,
    ))
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

fn enhancer_from_pb(enhancer: i32) -> Result<Option<Enhancer>, Error> {
    match prompts::Enhancer::try_from(enhancer) {
        Ok(prompts::Enhancer::Unspecified) => Ok(None),
        Ok(prompts::Enhancer::None) => Ok(Some(Enhancer::None)),
        Ok(prompts::Enhancer::Auto) => Ok(Some(Enhancer::Auto)),
        Ok(prompts::Enhancer::Rules) => Ok(Some(Enhancer::Rules)),
        Ok(prompts::Enhancer::Llm) => Ok(Some(Enhancer::Llm)),
        Err(_) => Err(Error::Field {
            reason: "ENHANCE_INVALID",
            field: "enhance",
            problem: "must be none, auto, rules or llm",
        }),
    }
}

fn character_from_pb(character: prompts::Character) -> Character {
    Character {
        name: character.name,
        sheet: character.sheet,
    }
}

fn not_before_from_pb(time: prost_types::Timestamp) -> Result<Time, Error> {
    let time = time_from_pb(time).ok_or(Error::Field {
        reason: "NOT_BEFORE_INVALID",
        field: "not_before",
        problem: "is no time",
    })?;
    // To the microsecond that databases keep.
    Ok(time.trunc_subsecs(6))
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
pub mod tests;
