//! What a completed job answers, in the form of each kind of endpoint.

use kinora_proto::scheduler::v1::{Video, VideoOutputs};
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::job::millis;

/// Links to what a video left.
pub(super) struct Links {
    pub(super) video: String,
    /// None where the form has no place for it.
    pub(super) thumbnail: Option<String>,
}

/// The output of a completed job.
pub(super) fn of(
    endpoint: &Endpoint,
    video: &Video,
    outputs: &VideoOutputs,
    links: Links,
) -> Value {
    match endpoint {
        Endpoint::Ovi(_) => ovi(video, outputs, &links.video),
        Endpoint::Mochi(_) => json!({ "result": links.video, "status": "DONE" }),
        Endpoint::Model(_) => json!({
            "video_url": links.video,
            "thumbnail_url": links.thumbnail,
            "seed": video.seed,
            "width": outputs.width,
            "height": outputs.height,
            "frames": outputs.frames,
            "fps": outputs.fps,
            "duration_seconds": outputs.duration_seconds,
            "bytes": outputs.bytes,
            "sha256": outputs.sha256,
        }),
    }
}

/// The prompt is never rewritten, and counted in words: what its tokens are, only the model knows.
fn ovi(video: &Video, outputs: &VideoOutputs, url: &str) -> Value {
    let took = millis(video.start_time).zip(millis(video.end_time));
    let took = took.and_then(|(begun, ended)| u32::try_from(ended - begun).ok());
    json!({
        "id": video.id,
        "object": "video.generation",
        "created": video.created_at,
        "model": video.model,
        "data": [{ "url": url, "revised_prompt": video.prompt }],
        "usage": {
            "prompt_tokens": video.prompt.split_whitespace().count(),
            "total_frames": outputs.frames,
            "duration_seconds": outputs.duration_seconds,
            "generation_time_seconds": took.map(|millis| f64::from(millis) / 1000.0),
        },
    })
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    fn completed() -> (Video, VideoOutputs) {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let video = Video {
            id: "v1".to_owned(),
            model: "ovi-1.1-720x720_5s".to_owned(),
            prompt: "a dog  barks".to_owned(),
            seed: 9,
            created_at: 100,
            start_time: at(101),
            end_time: at(184),
            ..Video::default()
        };
        let outputs = VideoOutputs {
            frames: 121,
            duration_seconds: 5.042,
            ..VideoOutputs::default()
        };
        (video, outputs)
    }

    fn output(endpoint: &str) -> Value {
        let (video, outputs) = completed();
        let links = Links {
            video: "https://clips.example.org/a".to_owned(),
            thumbnail: Some("https://clips.example.org/b".to_owned()),
        };
        of(&Endpoint::of(endpoint), &video, &outputs, links)
    }

    #[test]
    fn ovi_answers_like_its_service() {
        let expected = json!({
            "id": "v1", "object": "video.generation", "created": 100, "model": "ovi-1.1-720x720_5s",
            "data": [{ "url": "https://clips.example.org/a", "revised_prompt": "a dog  barks" }],
            "usage": {
                "prompt_tokens": 3, "total_frames": 121, "duration_seconds": 5.042,
                "generation_time_seconds": 83.0,
            },
        });
        assert_eq!(output("ovi"), expected);
    }

    #[test]
    fn mochi_answers_like_its_worker() {
        let expected = json!({ "result": "https://clips.example.org/a", "status": "DONE" });
        assert_eq!(output("mochi"), expected);
    }

    #[test]
    fn other_models_answer_with_links_and_what_was_made() {
        let output = output("kinora-tiny-t2v");
        assert_eq!(output["video_url"], "https://clips.example.org/a");
        assert_eq!(output["thumbnail_url"], "https://clips.example.org/b");
        assert_eq!(
            (&output["seed"], &output["frames"]),
            (&json!(9), &json!(121))
        );
    }
}
