//! A request to generate, read strictly from JSON.

mod groups;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use kinora_proto::scheduler::v1::{Priority, SubmitRequest};
use prost_types::Timestamp;

use crate::fields::Fields;
pub use crate::fields::{Rejected, Violation};

pub use groups::{parse_batch, parse_extension, parse_sequence};

/// The fields that a request shares with the segments of a sequence, in the order of the documentation.
const SHARED: [&str; 15] = [
    "model",
    "prompt",
    "negative_prompt",
    "width",
    "height",
    "frames",
    "steps",
    "guidance",
    "seed",
    "image",
    "last_image",
    "priority",
    "not_before",
    "expire_after",
    "allow_duplicate",
];

/// The fields of a request for one video beyond those.
const OWN: [&str; 2] = ["preview_first", "remix_of"];

/// The priorities by their names.
const PRIORITIES: [(&str, Priority); 3] = [
    ("interactive", Priority::Interactive),
    ("standard", Priority::Standard),
    ("batch", Priority::Batch),
];

/// The largest picture, before it is encoded.
const MAX_PICTURE_BYTES: usize = 16 << 20;

/// Reads the body of `POST /v1/videos` and of `POST /v1/videos:estimate`. Limits of a model are left to the
/// scheduler, which knows them.
///
/// # Errors
///
/// [`Rejected`], naming every field that is wrong.
pub fn parse(body: &[u8]) -> Result<SubmitRequest, Rejected> {
    let mut fields = Fields::read(body, &own_fields())?;
    let request = own_request(&mut fields);
    fields.finish()?;
    Ok(request)
}

/// Reads the body of `POST /v1/videos/{id}:remix`: what differs from the video that it names.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_remix(body: &[u8]) -> Result<SubmitRequest, Rejected> {
    let known: Vec<_> = SHARED.into_iter().chain(["preview_first"]).collect();
    let mut fields = Fields::read(body, &known)?;
    let request = SubmitRequest {
        preview_first: fields.boolean("preview_first").unwrap_or(false),
        ..shared(&mut fields)
    };
    fields.finish()?;
    Ok(request)
}

fn own_fields() -> Vec<&'static str> {
    SHARED.into_iter().chain(OWN).collect()
}

/// One video's request. A remix takes the prompt of its source when it has none.
fn own_request(fields: &mut Fields) -> SubmitRequest {
    if !fields.has("remix_of") {
        fields.require("prompt");
    }
    SubmitRequest {
        preview_first: fields.boolean("preview_first").unwrap_or(false),
        remix_of: fields.video_id("remix_of").unwrap_or_default(),
        ..shared(fields)
    }
}

fn shared(fields: &mut Fields) -> SubmitRequest {
    SubmitRequest {
        request_id: String::new(),
        model: fields.text("model").unwrap_or_default(),
        prompt: fields.text("prompt").unwrap_or_default(),
        negative_prompt: fields.text("negative_prompt"),
        width: fields.whole_u32("width"),
        height: fields.whole_u32("height"),
        frames: fields.whole_u32("frames"),
        steps: fields.whole_u32("steps"),
        guidance: fields.number("guidance"),
        seed: fields.whole("seed", u64::MAX),
        image: picture(fields, "image"),
        last_image: picture(fields, "last_image"),
        priority: fields
            .choice("priority", &PRIORITIES)
            .unwrap_or_default()
            .into(),
        not_before: fields.time("not_before").map(timestamp),
        expire_after: expire_after(fields),
        allow_duplicate: fields.boolean("allow_duplicate").unwrap_or(false),
        ..SubmitRequest::default()
    }
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: time.timestamp_subsec_nanos().min(999_999_999).cast_signed(),
    }
}

fn expire_after(fields: &mut Fields) -> Option<prost_types::Duration> {
    fields.duration("expire_after")?.try_into().ok()
}

/// A file as base64, or as a data URL with base64 in it. Empty when absent.
fn picture(fields: &mut Fields, name: &str) -> Vec<u8> {
    let Some(text) = fields.text(name) else {
        return Vec::new();
    };
    let encoded = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").map(|(_, encoded)| encoded),
        None => Some(text.as_str()),
    };
    let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    match bytes {
        Some(bytes) if bytes.is_empty() => fields.refuse(name, "must not be empty"),
        Some(bytes) if bytes.len() > MAX_PICTURE_BYTES => {
            fields.refuse(name, "must be at most 16 MiB before it is encoded")
        }
        Some(bytes) => Some(bytes),
        None => fields.refuse(name, "must be a file in base64, or a data URL of one"),
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests;
