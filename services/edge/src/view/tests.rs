use kinora_proto::scheduler::v1 as proto;
use prost_types::{Duration, Timestamp};

use super::*;

#[test]
fn zero_values_stay_in_the_json() {
    let json = serde_json::to_value(Video::from(proto::Job::default())).unwrap();
    assert_eq!(json["attempt"], 0);
    assert_eq!(json["progress"]["fraction"], 0.0);
    assert_eq!(json["progress"]["stage"], "queued");
    assert_eq!(json["notes"], serde_json::json!([]));
    assert!(json["failure"].is_null() && json.get("failure").is_some());
}

#[test]
fn times_are_rfc_3339_in_utc() {
    let time = Timestamp {
        seconds: 1_700_000_000,
        nanos: 500_000_000,
    };
    let job = proto::Job {
        create_time: Some(time),
        ..Default::default()
    };
    let video = Video::from(job);
    assert_eq!(
        video.create_time.as_deref(),
        Some("2023-11-14T22:13:20.500Z")
    );
    assert_eq!(video.end_time, None);
}

#[test]
fn outputs_name_the_paths_to_fetch_them_from_and_hide_the_keys() {
    let outputs = proto::Outputs {
        video_key: "jobs/x/1/clip.mp4".to_owned(),
        duration: Some(Duration {
            seconds: 2,
            nanos: 500_000_000,
        }),
        ..Default::default()
    };
    let job = proto::Job {
        id: "x".to_owned(),
        outputs: Some(outputs),
        ..Default::default()
    };
    let json = serde_json::to_string(&Video::from(job)).unwrap();
    assert!(
        json.contains(r#""content_url":"/v1/videos/x/content""#),
        "{json}"
    );
    assert!(json.contains(r#""duration_seconds":2.5"#), "{json}");
    assert!(!json.contains("jobs/x"), "{json}");
}

#[test]
fn a_video_reads_back_as_it_was_written() {
    let mut job = proto::Job {
        id: "x".to_owned(),
        ..Default::default()
    };
    job.set_state(proto::JobState::Running);
    let video = Video::from(job);
    let json = serde_json::to_string(&video).unwrap();
    assert_eq!(serde_json::from_str::<Video>(&json).unwrap(), video);
}

#[test]
fn a_state_of_a_newer_server_reads_as_unknown() {
    assert_eq!(
        serde_json::from_str::<State>("\"paused\"").unwrap(),
        State::Unknown
    );
    assert!(!State::Unknown.is_terminal());
}

#[test]
fn a_preview_is_a_data_url_and_no_preview_is_no_field() {
    let event = |webp: &[u8]| {
        let event = proto::Event {
            preview_webp: webp.to_vec(),
            ..Default::default()
        };
        serde_json::to_value(VideoEvent::from(event)).unwrap()
    };
    assert_eq!(
        event(b"hello")["preview"],
        "data:image/webp;base64,aGVsbG8="
    );
    assert_eq!(event(b"").get("preview"), None);
}

#[test]
fn a_preview_has_paths_of_its_own() {
    let job = proto::Job {
        id: "x".to_owned(),
        preview_outputs: Some(proto::Outputs::default()),
        ..Default::default()
    };
    let preview = Video::from(job).preview_outputs.unwrap();
    assert_eq!(preview.content_url, "/v1/videos/x/preview");
    assert_eq!(preview.thumbnail_url, "/v1/videos/x/preview/thumbnail");
}

#[test]
fn what_an_older_server_leaves_out_has_a_value() {
    let mut json = serde_json::to_value(Video::from(proto::Job::default())).unwrap();
    for name in [
        "kind",
        "priority",
        "source_id",
        "group_id",
        "group_index",
        "preview_outputs",
    ] {
        json.as_object_mut().unwrap().remove(name);
    }
    let video: Video = serde_json::from_value(json).unwrap();
    assert_eq!(
        (video.kind, video.priority),
        (Kind::Generate, Priority::Standard)
    );
}
