//! What a message says.
//!
//! The body is made when the event happens and kept as it is: every try, to every endpoint, sends the same bytes. What is
//! told of a video is what the API answers, under the same names. What its owner wrote is not: bodies are kept longer than
//! a deleted video, and go through other hands.

use std::sync::LazyLock;

use chrono::SecondsFormat;
use kinora_transcoder::{InvalidRoutes, JsonWriter};
use serde::Serialize;
use serde::ser::Error;
use serde_json::Value;

use super::event::EventKind;
use super::model::MessageId;
use crate::app::View;
use crate::domain::job::{Job, Time};
use crate::grpc::view::{unix_seconds, view_to_pb};

/// Fields of a video that hold words of its owner.
const WITHHELD: [&str; 5] = [
    "prompt",
    "original_prompt",
    "negative_prompt",
    "notes",
    "preview_settings",
];

static VIDEOS: LazyLock<Result<JsonWriter, InvalidRoutes>> =
    LazyLock::new(|| JsonWriter::new(kinora_proto::DESCRIPTORS, "kinora.scheduler.v1.Video"));

/// Writes the JSON body of the message `id`, that `job` has come to what it is at `time`.
///
/// # Errors
/// When something is nothing that JSON knows.
pub fn body(
    id: MessageId,
    kind: EventKind,
    job: &Job,
    time: Time,
) -> Result<String, serde_json::Error> {
    let message = Message {
        id: id.to_string(),
        object: "event",
        kind: kind.name(),
        created_at: unix_seconds(time),
        timestamp: time.to_rfc3339_opts(SecondsFormat::Millis, true),
        data: data(job)?,
    };
    serde_json::to_string(&message)
}

/// `type`, `timestamp` and `data` are what Standard Webhooks recommends; `id`, `object` and `created_at` are those of the
/// OpenAI API's events.
#[derive(Serialize)]
struct Message {
    id: String,
    object: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    created_at: u32,
    timestamp: String,
    data: Value,
}

fn data(job: &Job) -> Result<Value, serde_json::Error> {
    let videos = VIDEOS.as_ref().map_err(serde_json::Error::custom)?;
    let view = View {
        job: job.clone(),
        place: None,
    };
    let mut video = videos.write(&view_to_pb(view))?;
    if let Some(fields) = video.as_object_mut() {
        fields.retain(|name, _| !WITHHELD.contains(&name.as_str()));
    }
    Ok(video)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kinora_ids::JobId;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::domain::job::{Failure, Outputs, State};
    use crate::domain::prompting::Prompting;
    use crate::webhooks::fixtures;

    fn read(kind: EventKind, job: &Job) -> Value {
        let id = MessageId(Uuid::nil());
        let body = body(id, kind, job, fixtures::now()).expect("writes");
        serde_json::from_str(&body).expect("JSON")
    }

    #[test]
    fn completed_message_tells_what_came_of_it() {
        let mut job = fixtures::job("anna");
        job.state = State::Completed;
        job.notes = vec!["words outside this model's world: ball".to_owned()];
        job.preview_spec = Some(job.spec.clone());
        job.prompting = Some(Box::new(Prompting {
            original_prompt: "Ball".to_owned(),
            style: "a style".to_owned(),
            ..Prompting::default()
        }));
        job.outputs = Some(Outputs {
            video_key: "jobs/secret/video.mp4".to_owned(),
            thumbnail_key: "jobs/secret/thumbnail.webp".to_owned(),
            manifest_key: "jobs/secret/manifest.json".to_owned(),
            still_key: "jobs/secret/still.png".to_owned(),
            last_frame_key: "jobs/secret/last.png".to_owned(),
            duration: Duration::from_millis(1625),
            video_sha256: "ab".repeat(32),
            ..Outputs::default()
        });
        let message = read(EventKind::Completed, &job);
        let expected = json!({
            "id": "msg_00000000000000000000000000000000",
            "object": "event",
            "type": "video.completed",
            "created_at": 1_800_000_000,
            "timestamp": "2027-01-15T08:00:00.123Z",
            "data": message["data"],
        });
        assert_eq!(message, expected);
        let data = &message["data"];
        assert_eq!(data["id"], job.id.to_string());
        assert_eq!(
            (&data["object"], &data["status"]),
            (&json!("video"), &json!("completed"))
        );
        assert_eq!(
            (&data["progress"], &data["seed"]),
            (&json!(100), &json!("1"))
        );
        assert_eq!(data["outputs"]["duration_seconds"], 1.625);
        let content = format!("/v1/videos/{}/content", job.id);
        assert_eq!(data["outputs"]["content_url"], content);
        assert!(!message.to_string().contains("secret"), "{message}");
        for withheld in ["ball", "Ball", "a style"] {
            assert!(!message.to_string().contains(withheld), "{message}");
        }
    }

    #[test]
    fn message_has_the_names_of_the_api_and_no_others() {
        let job = fixtures::job("anna");
        let message = read(EventKind::Queued, &job);
        let video = view_to_pb(View { job, place: None });
        let video = VIDEOS.as_ref().expect("the contract").write(&video);
        let video = video.expect("writes");
        let (data, video) = (message["data"].as_object(), video.as_object());
        let (data, video) = (data.expect("an object"), video.expect("an object"));
        assert!(
            data.iter()
                .all(|(name, value)| video.get(name) == Some(value))
        );
        let left_out = video.keys().filter(|name| !data.contains_key(*name));
        assert!(
            left_out.eq(["negative_prompt", "notes", "original_prompt", "prompt"]),
            "{data:?}"
        );
    }

    #[test]
    fn failed_message_names_the_reason() {
        let mut job = fixtures::job("anna");
        job.state = State::Failed;
        job.source = Some(JobId::generate());
        job.failure = Some(Failure {
            reason: "OUT_OF_MEMORY".to_owned(),
            message: "it did not fit".to_owned(),
            retryable: false,
        });
        let message = read(EventKind::Failed, &job);
        let expected = json!({
            "code": "OUT_OF_MEMORY", "message": "it did not fit", "retryable": false,
        });
        assert_eq!(message["data"]["error"], expected);
        assert_eq!(message["data"].get("outputs"), None);
    }
}
