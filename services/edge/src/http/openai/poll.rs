//! When to ask again.

use axum::http::{HeaderName, HeaderValue};
use kinora_transcoder::{DynamicMessage, Route};
use prost_reflect::{Kind, ReflectMessage};

/// What these clients read it from. They take that of their first question for all others.
const HEADER: HeaderName = HeaderName::from_static("openai-poll-after-ms");

/// The answers that are videos.
const VIDEO: &str = "kinora.scheduler.v1.Video";

/// While nobody knows how long it takes.
const DEFAULT_MILLIS: f64 = 1000.0;

/// The header for a method's answer, if that is a video which is still to come.
pub(in crate::http) fn header_of(
    route: &Route,
    answer: &DynamicMessage,
) -> Option<(HeaderName, HeaderValue)> {
    let field = route.response_field()?;
    let video = answer.get_field(&field);
    let video = video.as_message()?;
    if video.descriptor().full_name() != VIDEO {
        return None;
    }
    let rest = match (seconds(video, "queue_eta"), seconds(video, "eta")) {
        (None, None) => None,
        (wait, work) => Some(wait.unwrap_or_default() + work.unwrap_or_default()),
    };
    header_for(&status(video)?, rest)
}

/// A tenth of what is left, between half a second and ten.
fn header_for(status: &str, eta_seconds: Option<f64>) -> Option<(HeaderName, HeaderValue)> {
    if !matches!(status, "queued" | "in_progress") {
        return None;
    }
    let millis = eta_seconds.map_or(DEFAULT_MILLIS, |seconds| seconds * 1000.0 / 10.0);
    let text = format!("{:.0}", millis.clamp(500.0, 10_000.0));
    Some((HEADER, HeaderValue::from_str(&text).ok()?))
}

fn status(video: &DynamicMessage) -> Option<String> {
    let field = video.descriptor().get_field_by_name("status")?;
    let number = video.get_field(&field).as_enum_number()?;
    let Kind::Enum(statuses) = field.kind() else {
        return None;
    };
    Some(statuses.get_value(number)?.name().to_owned())
}

/// A duration of the work on a video. None where it is not known.
fn seconds(video: &DynamicMessage, field: &str) -> Option<f64> {
    let work = video.get_field_by_name("work")?;
    let work = work.as_message()?;
    let field = work.descriptor().get_field_by_name(field)?;
    let value = work.has_field(&field).then(|| work.get_field(&field))?;
    let parts = value.as_message()?;
    let seconds = parts.get_field_by_name("seconds")?.as_i64()?;
    let nanos = parts.get_field_by_name("nanos")?.as_i32()?;
    let whole = u32::try_from(seconds).ok()?;
    Some(f64::from(whole) + f64::from(nanos) / 1e9)
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use kinora_proto::scheduler::v1::video::Status;
    use kinora_proto::scheduler::v1::{GetVideoResponse, Progress, Video, video_service_server};
    use kinora_transcoder::Transcoder;

    use super::*;

    /// The header of an answer to `GET path`.
    fn header(path: &str, video: Video) -> Option<String> {
        let services = [video_service_server::SERVICE_NAME];
        let transcoder = Transcoder::new(kinora_proto::DESCRIPTORS, &services).unwrap();
        let route = transcoder.find(&Method::GET, path).unwrap().route;
        let mut answer = DynamicMessage::new(route.descriptor().output());
        let video = Some(video);
        answer.transcode_from(&GetVideoResponse { video }).unwrap();
        let (name, value) = header_of(route, &answer)?;
        assert_eq!(name, "openai-poll-after-ms");
        Some(value.to_str().unwrap().to_owned())
    }

    #[track_caller]
    fn check(status: Status, waits: Option<i64>, works: Option<i64>, expected: Option<&str>) {
        let seconds = |seconds: i64| prost_types::Duration { seconds, nanos: 0 };
        let video = Video {
            status: status.into(),
            work: Some(Progress {
                queue_eta: waits.map(seconds),
                eta: works.map(seconds),
                ..Progress::default()
            }),
            ..Video::default()
        };
        assert_eq!(header("/v1/videos/v1", video).as_deref(), expected);
    }

    #[test]
    fn a_client_asks_about_ten_times() {
        check(Status::InProgress, None, Some(60), Some("6000"));
        check(Status::Queued, Some(20), Some(20), Some("4000"));
        check(Status::Queued, Some(1), None, Some("500"));
        check(Status::InProgress, None, Some(3600), Some("10000"));
    }

    #[test]
    fn a_client_asks_each_second_while_nothing_is_known() {
        check(Status::Queued, None, None, Some("1000"));
        check(Status::InProgress, None, None, Some("1000"));
    }

    #[test]
    fn nobody_waits_for_what_does_not_come_by_itself() {
        for status in [
            Status::Completed,
            Status::Failed,
            Status::Cancelled,
            Status::AwaitingApproval,
        ] {
            check(status, None, Some(60), None);
        }
    }

    #[test]
    fn a_video_whose_work_is_not_told_has_the_usual_one() {
        let video = Video {
            status: Status::Queued.into(),
            ..Video::default()
        };
        assert_eq!(header("/v1/videos/v1", video).as_deref(), Some("1000"));
    }
}
