//! Videos, groups and estimates as callers see them.
//!
//! Keys of the object store stay inside: callers get the paths of the public API, which redirect to links.

use std::collections::HashMap;

use kinora_proto::prompts::v1 as prompts;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status;

use super::convert::{kind_to_pb, priority_to_pb, progress_to_pb, state_to_pb, time_to_pb};
use crate::app::{Estimate, GroupView, View};
use crate::domain::job::{Failure, Outputs, State, StoredImage, Time, VideoSpec};
use crate::domain::prompting::Enhancer;
use crate::store::GroupKind;

/// A video, flat.
pub fn view_to_pb(view: View) -> pb::Video {
    let View { job, place } = view;
    let id = job.id.to_string();
    let source = job.source.map(|source| source.to_string());
    let is_completed = job.state == State::Completed;
    let original_prompt = job.original_prompt().to_owned();
    let prompting = *job.prompting.unwrap_or_default();
    let spec = job.spec;
    pb::Video {
        object: "video".to_owned(),
        kind: kind_to_pb(job.kind).into(),
        status: state_to_pb(job.state).into(),
        progress: percent(job.state, job.progress.fraction),
        seconds: clip_seconds(spec.frames, spec.fps),
        size: format!("{}x{}", spec.width, spec.height),
        model: spec.model,
        prompt: spec.prompt,
        negative_prompt: spec.negative_prompt,
        width: spec.width,
        height: spec.height,
        frames: spec.frames,
        fps: spec.fps,
        steps: spec.steps,
        guidance: spec.guidance,
        seed: spec.seed,
        image_sha256: digest(spec.image),
        last_image_sha256: digest(spec.last_image),
        priority: priority_to_pb(job.priority).into(),
        source_id: source.clone(),
        remixed_from_video_id: source,
        group_id: job.group.map(|group| group.id.to_string()),
        group_index: job.group.map_or(0, |group| group.index),
        work: Some(progress_to_pb(&job.progress, place)),
        attempt: job.attempt,
        seq: number(job.seq),
        notes: job.notes,
        error: job.failure.map(failure_to_pb),
        outputs: job.outputs.map(|outputs| outputs_to_pb(&id, outputs)),
        preview_settings: job.preview_spec.map(settings_to_pb),
        preview_outputs: job.preview_outputs.map(|made| preview_to_pb(&id, made)),
        create_time: Some(time_to_pb(job.create_time)),
        not_before: job.not_before.map(time_to_pb),
        expire_time: job.expire_at.map(time_to_pb),
        start_time: job.start_time.map(time_to_pb),
        end_time: job.end_time.map(time_to_pb),
        purge_time: job.purge_at.map(time_to_pb),
        created_at: unix_seconds(job.create_time),
        completed_at: job.end_time.filter(|_| is_completed).map(unix_seconds),
        expires_at: job.purge_at.map(unix_seconds),
        original_prompt,
        enhancer: enhancer_to_pb(prompting.enhancer).into(),
        prompt_language: prompting.language,
        enhancement_fallback: prompting.fallback_reason,
        id,
    }
}

const fn enhancer_to_pb(enhancer: Enhancer) -> prompts::Enhancer {
    match enhancer {
        Enhancer::None => prompts::Enhancer::None,
        Enhancer::Auto => prompts::Enhancer::Auto,
        Enhancer::Rules => prompts::Enhancer::Rules,
        Enhancer::Llm => prompts::Enhancer::Llm,
    }
}

/// A batch or a sequence with its videos.
pub fn group_to_pb(view: GroupView) -> pb::VideoGroup {
    let GroupView { group, views } = view;
    let videos: Vec<pb::Video> = views.into_iter().map(view_to_pb).collect();
    let mut counts = HashMap::new();
    for video in &videos {
        let name = video.status().as_str_name().to_owned();
        *counts.entry(name).or_default() += 1;
    }
    let (object, result) = match group.kind {
        GroupKind::Batch => ("batch", None),
        GroupKind::Sequence => ("sequence", result_of(&videos)),
    };
    pb::VideoGroup {
        id: group.id.to_string(),
        object: object.to_owned(),
        status: status_of(&videos).into(),
        counts,
        result_id: result.map(|video| video.id.clone()),
        videos,
        create_time: Some(time_to_pb(group.create_time)),
    }
}

/// What a request would take.
pub fn estimate_to_pb(estimate: Estimate) -> pb::EstimateVideoResponse {
    pb::EstimateVideoResponse {
        object: "estimate".to_owned(),
        settings: Some(settings_to_pb(estimate.spec)),
        gpu_seconds: estimate.gpu_time.map(|time| time.as_secs_f64()),
        queue_seconds: estimate.queue_time.map(|time| time.as_secs_f64()),
        memory_bytes: estimate.memory_bytes,
        credits: estimate.credits,
        fits: estimate.fits,
        available_credits: estimate.available_credits,
        refusal: estimate.refusal,
    }
}

/// The share of an attempt that is done, in whole percent: 100 of what is completed, whatever was reported last.
pub fn percent(state: State, fraction: f64) -> u32 {
    if state == State::Completed {
        return 100;
    }
    let bounded = (fraction * 100.0).floor().clamp(0.0, 100.0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole, and within the range of the type; what is no number becomes 0"
    )]
    let whole = bounded as u32;
    whole
}

/// What a clip left, with the paths to fetch it from.
pub fn outputs_to_pb(id: &str, outputs: Outputs) -> pb::VideoOutputs {
    let video = format!("/v1/videos/{id}");
    outputs_at(format!("{video}/content"), &video, outputs)
}

/// What a preview left, likewise.
pub fn preview_to_pb(id: &str, outputs: Outputs) -> pb::VideoOutputs {
    let preview = format!("/v1/videos/{id}/preview");
    outputs_at(preview.clone(), &preview, outputs)
}

/// Why something did not succeed.
pub fn failure_to_pb(failure: Failure) -> pb::VideoError {
    pb::VideoError {
        code: failure.reason,
        message: failure.message,
        retryable: failure.retryable,
    }
}

/// A time in seconds of Unix; the ends of the range for what is beyond it.
pub fn unix_seconds(time: Time) -> u32 {
    let seconds = time.timestamp().max(0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The number of an event; the highest one for what is beyond it.
pub fn number(seq: u64) -> u32 {
    u32::try_from(seq).unwrap_or(u32::MAX)
}

fn outputs_at(content_url: String, folder: &str, outputs: Outputs) -> pb::VideoOutputs {
    let has_still = !outputs.still_key.is_empty();
    let has_sheet = !outputs.spritesheet_key.is_empty();
    pb::VideoOutputs {
        bytes: outputs.video_bytes,
        sha256: outputs.video_sha256,
        duration_seconds: outputs.duration.as_secs_f64(),
        width: outputs.width,
        height: outputs.height,
        frames: outputs.frames,
        fps: outputs.fps,
        content_url,
        thumbnail_url: format!("{folder}/thumbnail"),
        still_url: has_still.then(|| format!("{folder}/still")),
        manifest_url: format!("{folder}/manifest"),
        spritesheet_url: has_sheet.then(|| format!("{folder}/spritesheet")),
    }
}

fn settings_to_pb(spec: VideoSpec) -> pb::VideoSettings {
    pb::VideoSettings {
        model: spec.model,
        prompt: spec.prompt,
        negative_prompt: spec.negative_prompt,
        width: spec.width,
        height: spec.height,
        frames: spec.frames,
        fps: spec.fps,
        steps: spec.steps,
        guidance: spec.guidance,
        seed: spec.seed,
    }
}

fn digest(image: Option<StoredImage>) -> Option<String> {
    image.map(|image| image.sha256)
}

/// The length of a clip to the millisecond, as a decimal number without zeros at its end.
fn clip_seconds(frames: u32, fps: u32) -> String {
    let fps = u64::from(fps.max(1));
    let millis = (u64::from(frames) * 1000 + fps / 2) / fps;
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The whole of a sequence: the joined clip, or the only segment where there is nothing to join. None once it is deleted.
fn result_of(videos: &[pb::Video]) -> Option<&pb::Video> {
    let is_joined = |video: &&pb::Video| video.kind() == pb::JobKind::Stitch;
    videos.iter().find(is_joined).or(match videos {
        [only] if only.group_index == 0 && only.source_id.is_none() => Some(only),
        _ => None,
    })
}

/// How all of them stand: it has ended once every one has.
fn status_of(videos: &[pb::Video]) -> Status {
    let order = [
        Status::InProgress,
        Status::Queued,
        Status::AwaitingApproval,
        Status::Failed,
        Status::Expired,
        Status::Cancelled,
    ];
    let is_any = |status: &Status| videos.iter().any(|video| video.status() == *status);
    order.into_iter().find(is_any).unwrap_or(Status::Completed)
}

#[cfg(test)]
mod tests;
