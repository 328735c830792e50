//! What a message says.
//!
//! The body is made when the event happens and kept as it is: every try, to every endpoint, sends the same bytes.
//! Keys of the object store stay inside; whoever gets the message fetches the clip through the API.

use chrono::SecondsFormat;
use serde::Serialize;

use super::event::EventKind;
use crate::domain::job::{
    Event, Failure, Job, Kind, Outputs, Priority, Progress, Stage, State, Time,
};

/// Writes the JSON body of a message: `{"type": …, "timestamp": …, "data": …}`.
///
/// # Errors
/// When a number is none that JSON knows.
pub fn body(kind: EventKind, job: &Job, event: &Event) -> Result<String, serde_json::Error> {
    let message = Message {
        kind: kind.name(),
        timestamp: text(event.time),
        data: Data::of(job, event),
    };
    serde_json::to_string(&message)
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data<'a>,
}

/// A video as its owner may show it to another program.
#[derive(Serialize)]
struct Data<'a> {
    id: String,
    seq: u64,
    state: State,
    kind: Kind,
    priority: Priority,
    model: &'a str,
    attempt: u32,
    progress: PublicProgress,
    failure: Option<&'a Failure>,
    outputs: Option<PublicOutputs<'a>>,
    preview_outputs: Option<PublicOutputs<'a>>,
    group_id: Option<String>,
    group_index: Option<u32>,
    source_id: Option<String>,
    create_time: String,
    start_time: Option<String>,
    end_time: Option<String>,
}

#[derive(Serialize)]
struct PublicProgress {
    stage: Stage,
    step: u32,
    steps: u32,
    fraction: f64,
    eta_seconds: Option<f64>,
}

#[derive(Serialize)]
struct PublicOutputs<'a> {
    video_bytes: u64,
    video_sha256: &'a str,
    width: u32,
    height: u32,
    frames: u32,
    fps: u32,
    duration_seconds: f64,
}

impl<'a> Data<'a> {
    fn of(job: &'a Job, event: &'a Event) -> Self {
        Self {
            id: job.id.to_string(),
            seq: event.seq,
            state: event.state,
            kind: job.kind,
            priority: job.priority,
            model: &job.spec.model,
            attempt: event.attempt,
            progress: PublicProgress::of(&event.progress),
            failure: event.failure.as_ref(),
            outputs: event.outputs.as_ref().map(PublicOutputs::of),
            preview_outputs: event.preview_outputs.as_ref().map(PublicOutputs::of),
            group_id: job.group.map(|group| group.id.to_string()),
            group_index: job.group.map(|group| group.index),
            source_id: job.source.map(|source| source.to_string()),
            create_time: text(job.create_time),
            start_time: job.start_time.map(text),
            end_time: job.end_time.map(text),
        }
    }
}

impl PublicProgress {
    fn of(progress: &Progress) -> Self {
        Self {
            stage: progress.stage,
            step: progress.step,
            steps: progress.steps,
            fraction: progress.fraction,
            eta_seconds: progress.eta.map(|eta| eta.as_secs_f64()),
        }
    }
}

impl<'a> PublicOutputs<'a> {
    fn of(outputs: &'a Outputs) -> Self {
        Self {
            video_bytes: outputs.video_bytes,
            video_sha256: &outputs.video_sha256,
            width: outputs.width,
            height: outputs.height,
            frames: outputs.frames,
            fps: outputs.fps,
            duration_seconds: outputs.duration.as_secs_f64(),
        }
    }
}

fn text(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kinora_ids::JobId;
    use serde_json::{Value, json};

    use super::*;
    use crate::webhooks::fixtures;

    fn read(kind: EventKind, job: &Job) -> Value {
        let body = body(kind, job, &job.event(fixtures::now())).expect("writes");
        serde_json::from_str(&body).expect("JSON")
    }

    #[test]
    fn completed_message_tells_what_came_of_it() {
        let mut job = fixtures::job("anna");
        job.state = State::Completed;
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
        assert_eq!(message["type"], "video.completed");
        assert_eq!(message["timestamp"], "2027-01-15T08:00:00.123Z");
        assert_eq!(message["data"]["id"], job.id.to_string());
        assert_eq!(message["data"]["state"], "completed");
        assert_eq!(message["data"]["outputs"]["duration_seconds"], 1.625);
        assert!(!message.to_string().contains("secret"), "{message}");
        assert!(!message.to_string().contains(&job.spec.prompt), "{message}");
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
            "reason": "OUT_OF_MEMORY", "message": "it did not fit", "retryable": false,
        });
        assert_eq!(message["data"]["failure"], expected);
        assert_eq!(message["data"]["outputs"], Value::Null);
    }
}
