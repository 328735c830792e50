//! Requests for several videos at once: batches, sequences and extensions.

use kinora_proto::scheduler::v1::{SubmitBatchRequest, SubmitRequest, SubmitSequenceRequest};
use prost::Message;

use super::{SHARED, own_fields, own_request, shared};
use crate::fields::{Fields, Rejected};

/// The most videos of a batch.
const MAX_VIDEOS: usize = 100;
/// The most segments of a sequence.
const MAX_SEGMENTS: usize = 16;
/// What a batch may come to with every picture and text counted as often as it is used: two of the largest pictures,
/// and text. The scheduler takes no more in one call.
const MAX_BATCH_BYTES: usize = 33 << 20;

/// Reads the body of `POST /v1/batches`: either `requests`, or the fields of one request with `prompts`, `seeds` or
/// both, which give a video for every prompt with every seed.
///
/// # Errors
///
/// [`Rejected`], naming every field that is wrong.
pub fn parse_batch(body: &[u8]) -> Result<SubmitBatchRequest, Rejected> {
    let mut known = own_fields();
    known.extend(["prompts", "seeds", "requests"]);
    let mut fields = Fields::read(body, &known)?;
    let submissions = if fields.has("requests") {
        listed(&mut fields)
    } else {
        varied(&mut fields)
    };
    fields.finish()?;
    Ok(SubmitBatchRequest {
        request_id: String::new(),
        submissions,
    })
}

fn listed(fields: &mut Fields) -> Vec<SubmitRequest> {
    let requests = fields.objects("requests", MAX_VIDEOS, &own_fields(), own_request);
    fields.refuse_rest("stands beside `requests`; put it into each of them");
    let requests = requests.unwrap_or_default();
    check_size(
        fields,
        "requests",
        requests.iter().map(Message::encoded_len).sum(),
    );
    requests
}

fn varied(fields: &mut Fields) -> Vec<SubmitRequest> {
    if !fields.has("prompts") && !fields.has("seeds") {
        fields.refuse::<()>(
            "prompts",
            "is required, unless `seeds` or `requests` is there",
        );
    }
    for (one, several) in [("prompt", "prompts"), ("seed", "seeds")] {
        if fields.has(one) && fields.has(several) {
            fields.refuse::<()>(one, format!("stands beside `{several}`"));
        }
    }
    if !fields.has("prompts") && !fields.has("remix_of") {
        fields.require("prompt");
    }
    let prompts = fields.texts("prompts", 1..=MAX_VIDEOS);
    let seeds = fields.wholes("seeds", MAX_VIDEOS);
    let common = common_request(fields);
    let prompts = prompts.unwrap_or_else(|| vec![common.prompt.clone()]);
    let seeds = seeds.map_or_else(
        || vec![common.seed],
        |seeds| seeds.into_iter().map(Some).collect(),
    );
    let count = prompts.len() * seeds.len();
    if count > MAX_VIDEOS {
        let detail = format!("makes {count} videos with `seeds`; a batch has at most {MAX_VIDEOS}");
        fields.refuse::<()>("prompts", detail);
        return Vec::new();
    }
    let texts: usize = prompts.iter().map(String::len).sum();
    let size = common.encoded_len() * count + texts * seeds.len();
    if !check_size(fields, "prompts", size) {
        return Vec::new();
    }
    every_pair(&common, &prompts, &seeds)
}

/// Every prompt with every seed.
fn every_pair(
    common: &SubmitRequest,
    prompts: &[String],
    seeds: &[Option<u64>],
) -> Vec<SubmitRequest> {
    let with_seeds = |prompt: &String| {
        let of_prompt = SubmitRequest {
            prompt: prompt.clone(),
            ..common.clone()
        };
        let request = move |seed: &Option<u64>| SubmitRequest {
            seed: *seed,
            ..of_prompt.clone()
        };
        seeds.iter().map(request).collect::<Vec<_>>()
    };
    prompts.iter().flat_map(with_seeds).collect()
}

/// What the videos of a batch have in common.
fn common_request(fields: &mut Fields) -> SubmitRequest {
    SubmitRequest {
        preview_first: fields.boolean("preview_first").unwrap_or(false),
        remix_of: fields.video_id("remix_of").unwrap_or_default(),
        ..shared(fields)
    }
}

fn check_size(fields: &mut Fields, name: &str, bytes: usize) -> bool {
    let is_small_enough = bytes <= MAX_BATCH_BYTES;
    if !is_small_enough {
        let detail = format!(
            "comes to {bytes} bytes, every picture and text counted as often as it is used; \
             a batch has at most {MAX_BATCH_BYTES}"
        );
        fields.refuse::<()>(name, detail);
    }
    is_small_enough
}

/// Reads the body of `POST /v1/sequences`.
///
/// # Errors
///
/// [`Rejected`], naming every field that is wrong.
pub fn parse_sequence(body: &[u8]) -> Result<SubmitSequenceRequest, Rejected> {
    let known: Vec<_> = SHARED
        .into_iter()
        .chain(["prompts", "segments", "source_id"])
        .collect();
    let mut fields = Fields::read(body, &known)?;
    let is_extension = fields.has("source_id");
    if !is_extension && !fields.has("prompts") && !fields.has("segments") {
        fields.refuse::<()>("prompts", "is required, unless `segments` is there");
    }
    let prompts = prompts(&mut fields, is_extension);
    let request = SubmitSequenceRequest {
        request_id: String::new(),
        source_id: fields.video_id("source_id").unwrap_or_default(),
        segment: Some(shared(&mut fields)),
        prompts,
    };
    fields.finish()?;
    Ok(request)
}

/// Reads the body of `POST /v1/videos/{id}:extend`: a sequence that goes on from the video it names. Without prompts
/// the scene of that video goes on.
///
/// # Errors
///
/// [`Rejected`], naming every field that is wrong.
pub fn parse_extension(body: &[u8]) -> Result<SubmitSequenceRequest, Rejected> {
    let known: Vec<_> = SHARED.into_iter().chain(["prompts", "segments"]).collect();
    let mut fields = Fields::read(body, &known)?;
    let request = SubmitSequenceRequest {
        prompts: prompts(&mut fields, true),
        segment: Some(shared(&mut fields)),
        ..SubmitSequenceRequest::default()
    };
    fields.finish()?;
    Ok(request)
}

/// A prompt a segment, empty for the common one.
fn prompts(fields: &mut Fields, is_extension: bool) -> Vec<String> {
    if fields.has("prompts") && fields.has("segments") {
        fields.refuse::<()>("segments", "stands beside `prompts`, whose number it is");
    }
    let count = fields.whole("segments", u64::MAX).unwrap_or(1);
    let count = usize::try_from(count).ok();
    let count = count.filter(|count| (1..=MAX_SEGMENTS).contains(count));
    let count = count.or_else(|| fields.refuse("segments", format!("must be 1 to {MAX_SEGMENTS}")));
    let given = fields.texts("prompts", 1..=MAX_SEGMENTS);
    let prompts = given.unwrap_or_else(|| vec![String::new(); count.unwrap_or_default()]);
    if !is_extension && prompts.iter().any(String::is_empty) {
        fields.require("prompt");
    }
    prompts
}

#[cfg(test)]
mod tests;
