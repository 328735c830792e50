//! What a command says about a video in the end.

use std::path::Path;

use serde::Serialize;

use crate::client::view::{Kind, Video, VideoEvent, VideoStatus};
use crate::exit::{Failure, Status};
use crate::progress::{Display, duration};

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Saved<'a> {
    pub(super) path: &'a Path,
    pub(super) elapsed_seconds: f64,
    pub(super) video: &'a Video,
}

/// What became of the prompts of new videos, and what the mesh has to say about them. Equal ones are told once.
pub(super) fn tell_prompts(videos: &[Video], display: &Display) {
    let mut told = Vec::new();
    for video in videos.iter().filter(|video| video.kind == Kind::Generate) {
        let lines = prompt_lines(video);
        if !told.contains(&lines) {
            for line in &lines {
                display.remark(line);
            }
            told.push(lines);
        }
    }
}

fn prompt_lines(video: &Video) -> Vec<String> {
    let mut lines = Vec::new();
    let is_rewritten = !video.enhancer.is_empty() && video.enhancer != "none";
    if is_rewritten || video.enhancement_fallback.is_some() {
        lines.push(format!("original: {}", video.original_prompt));
        lines.push(format!("enhanced: {}", video.prompt));
    }
    if let Some(reason) = &video.enhancement_fallback {
        let by = if is_rewritten {
            format!("it was done by {}", video.enhancer)
        } else {
            "the prompt stays as it is".to_owned()
        };
        lines.push(format!("note: {}; {by}", fallback(reason)));
    }
    lines.extend(video.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// Why a prompt was not rewritten by whom it was asked for.
pub(super) fn fallback(reason: &str) -> String {
    let text = match reason {
        "LLM_TIMEOUT" => "the language model took too long",
        "LLM_UNAVAILABLE" => "the language model is away",
        "LLM_BUSY" => "the language model is busy",
        "LLM_ANSWER_REJECTED" => "what the language model wrote was of no use",
        "LLM_NOT_CONFIGURED" => "there is no language model",
        "FAMILY_UNKNOWN" => "nobody knows how prompts for this model are written",
        "ENHANCED_PROMPT_REFUSED" => "what came of the prompt may not be generated",
        "ENHANCEMENT_FAILED" => "the prompt could not be rewritten",
        other => return format!("it was not rewritten as it was wanted: {other}"),
    };
    text.to_owned()
}

/// One line about a saved clip.
pub(super) fn line(saved: &Saved<'_>) -> String {
    let (path, video) = (saved.path, saved.video);
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    // Of a preview, its own size; of a sequence, that of the whole.
    let outputs = video.outputs.as_ref().or(video.preview_outputs.as_ref());
    let (width, height, frames) = outputs.map_or((video.width, video.height, video.frames), |of| {
        (of.width, of.height, of.frames)
    });
    let frames = match frames {
        1 => "1 frame".to_owned(),
        frames => format!("{frames} frames"),
    };
    format!(
        "{path}: {width}x{height}, {frames}, {size}, seed {seed}, made in {elapsed}",
        path = path.display(),
        size = indicatif::HumanBytes(bytes),
        seed = video.seed,
        elapsed = duration(saved.elapsed_seconds),
    )
}

/// Why there is no clip.
pub(super) fn failed(last: &VideoEvent) -> Failure {
    let error = match (&last.error, last.status) {
        (Some(error), VideoStatus::Failed) => {
            anyhow::anyhow!("the job failed: {} ({})", error.message, error.code)
        }
        (_, VideoStatus::Cancelled) => anyhow::anyhow!("somebody cancelled the job"),
        (_, status) => anyhow::anyhow!("the job is {} without a clip", status.name()),
    };
    Failure::new(Status::Failed, error.context(format!("job {}", last.id)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn video(more: serde_json::Value) -> Video {
        let mut video = json!({
            "id": "x", "object": "video", "kind": "generate", "status": "queued", "progress": 0,
            "model": "m", "prompt": "a red ball", "original_prompt": "Red ball", "negative_prompt": "",
            "width": 64, "height": 64, "frames": 17, "fps": 8, "steps": 20, "guidance": 5.0, "seed": "1",
            "seconds": "2.125", "size": "64x64", "priority": "standard", "group_index": 0, "attempt": 0,
            "seq": 1, "notes": [], "created_at": 1,
        });
        let fields = video.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        serde_json::from_value(video).unwrap()
    }

    #[track_caller]
    fn check(more: serde_json::Value, expected: &[&str]) {
        assert_eq!(prompt_lines(&video(more)), expected);
    }

    #[test]
    fn both_forms_of_a_rewritten_prompt_are_told() {
        let both = ["original: Red ball", "enhanced: a red ball"];
        check(json!({ "enhancer": "rules" }), &both);
        check(
            json!({ "enhancer": "rules", "enhancement_fallback": "LLM_TIMEOUT", "notes": ["n"] }),
            &[
                both[0],
                both[1],
                "note: the language model took too long; it was done by rules",
                "note: n",
            ],
        );
        let nothing =
            "note: nobody knows how prompts for this model are written; the prompt stays as it is";
        check(
            json!({ "enhancer": "none", "enhancement_fallback": "FAMILY_UNKNOWN" }),
            &[both[0], both[1], nothing],
        );
    }

    #[test]
    fn nothing_is_said_of_a_prompt_that_stays_as_it_is() {
        check(json!({ "enhancer": "none" }), &[]);
        check(json!({}), &[]);
    }
}
