//! A video as a job: its state, its times, its error.

use kinora_proto::scheduler::v1::video::Status;
use kinora_proto::scheduler::v1::{Stage, Video};
use serde_json::{Map, Value, json};

/// Why a job did not succeed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JobError {
    /// UPPER_SNAKE reason.
    pub(super) code: String,
    /// A sentence for the caller.
    pub(super) message: String,
}

/// A job without its output and its error.
pub(super) fn answer(video: &Video) -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("id".to_owned(), json!(video.id));
    answer.insert("status".to_owned(), json!(state(video.status())));
    let (created, begun) = (millis(video.create_time), millis(video.start_time));
    let ended = millis(video.end_time);
    let mut insert = |name: &str, from: Option<i64>, to: Option<i64>| {
        if let Some((from, to)) = from.zip(to) {
            answer.insert(name.to_owned(), json!((to - from).max(0)));
        }
    };
    insert("delayTime", created, begun);
    insert("executionTime", begun, ended);
    answer
}

/// The name of a status there.
pub(super) const fn state(status: Status) -> &'static str {
    match status {
        Status::Unspecified | Status::Queued => "IN_QUEUE",
        Status::InProgress | Status::AwaitingApproval => "IN_PROGRESS",
        Status::Completed => "COMPLETED",
        Status::Failed => "FAILED",
        Status::Cancelled => "CANCELLED",
        Status::Expired => "TIMED_OUT",
    }
}

/// Whether nothing changes any more.
pub(super) const fn is_over(status: Status) -> bool {
    match status {
        Status::Completed | Status::Failed | Status::Cancelled | Status::Expired => true,
        Status::Unspecified | Status::Queued | Status::InProgress | Status::AwaitingApproval => {
            false
        }
    }
}

/// Why a job that failed or timed out did.
pub(super) fn error(video: &Video) -> Option<JobError> {
    let of_timeout = || JobError {
        code: "EXPIRED".to_owned(),
        message: "it was not started, or not approved, in time".to_owned(),
    };
    let told = video.error.as_ref().map(|error| JobError {
        code: error.code.clone(),
        message: error.message.clone(),
    });
    match video.status() {
        Status::Failed => told,
        Status::Expired => Some(of_timeout()),
        _ => None,
    }
}

/// What happens now, as the only item. Nothing for a job that is over: clients end there.
pub(super) fn stream(video: &Video) -> Value {
    if is_over(video.status()) {
        return json!([]);
    }
    json!([{ "output": progress(video) }])
}

fn progress(video: &Video) -> Value {
    let mut progress = Map::new();
    progress.insert("progress".to_owned(), json!(video.progress));
    let Some(work) = &video.work else {
        return progress.into();
    };
    if work.stage() != Stage::Unspecified {
        progress.insert("stage".to_owned(), json!(work.stage().as_str_name()));
    }
    progress.insert("step".to_owned(), json!(work.step));
    progress.insert("steps".to_owned(), json!(work.steps));
    if video.status() == Status::Queued {
        progress.insert("queue_position".to_owned(), json!(work.queue_position));
    }
    for (name, time) in [
        ("eta_seconds", work.eta),
        ("queue_eta_seconds", work.queue_eta),
    ] {
        if let Some(time) = time {
            progress.insert(name.to_owned(), json!(seconds(time)));
        }
    }
    progress.into()
}

fn seconds(time: prost_types::Duration) -> i64 {
    time.seconds + i64::from(time.nanos > 0)
}

/// Milliseconds of Unix.
pub(super) fn millis(time: Option<prost_types::Timestamp>) -> Option<i64> {
    let time = time?;
    let whole = time.seconds.checked_mul(1000)?;
    whole.checked_add(i64::from(time.nanos) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use kinora_proto::scheduler::v1::{Progress, VideoError};
    use prost_types::Timestamp;

    use super::*;

    const fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos })
    }

    fn video(status: Status) -> Video {
        Video {
            id: "v1".to_owned(),
            status: status.into(),
            create_time: at(100, 250_000_000),
            ..Video::default()
        }
    }

    #[test]
    fn every_status_has_its_state() {
        for (status, expected) in [
            (Status::Queued, "IN_QUEUE"),
            (Status::InProgress, "IN_PROGRESS"),
            (Status::AwaitingApproval, "IN_PROGRESS"),
            (Status::Completed, "COMPLETED"),
            (Status::Failed, "FAILED"),
            (Status::Cancelled, "CANCELLED"),
            (Status::Expired, "TIMED_OUT"),
        ] {
            assert_eq!(answer(&video(status))["status"], expected);
        }
    }

    #[test]
    fn times_are_milliseconds_once_they_are_known() {
        let queued = json!({ "id": "v1", "status": "IN_QUEUE" });
        assert_eq!(Value::from(answer(&video(Status::Queued))), queued);
        let mut done = video(Status::Completed);
        done.start_time = at(101, 0);
        done.end_time = at(104, 500_000_000);
        let answer = answer(&done);
        assert_eq!(
            (&answer["delayTime"], &answer["executionTime"]),
            (&json!(750), &json!(3500))
        );
    }

    #[test]
    fn only_what_failed_or_timed_out_has_an_error() {
        let told = VideoError {
            code: "OUT_OF_MEMORY".to_owned(),
            message: "too large".to_owned(),
            retryable: true,
        };
        let of = |status| {
            let error = Some(told.clone());
            error_of(Video {
                error,
                ..video(status)
            })
        };
        assert_eq!(of(Status::Failed).as_deref(), Some("OUT_OF_MEMORY"));
        assert_eq!(of(Status::Expired).as_deref(), Some("EXPIRED"));
        // Of an attempt that is followed by another one.
        assert_eq!(of(Status::InProgress), None);
        assert_eq!(of(Status::Cancelled), None);
    }

    fn error_of(video: Video) -> Option<String> {
        error(&video).map(|error| error.code)
    }

    #[test]
    fn a_stream_has_the_present_and_ends_with_the_job() {
        let mut running = video(Status::InProgress);
        running.progress = 25;
        let mut work = Progress {
            step: 2,
            steps: 8,
            eta: Some(prost_types::Duration {
                seconds: 3,
                nanos: 1,
            }),
            ..Progress::default()
        };
        work.set_stage(Stage::Denoising);
        running.work = Some(work);
        let expected = json!([{ "output": {
            "progress": 25, "stage": "denoising", "step": 2, "steps": 8, "eta_seconds": 4,
        } }]);
        assert_eq!(stream(&running), expected);
        assert_eq!(stream(&video(Status::Completed)), json!([]));
    }
}
