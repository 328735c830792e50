use serde_json::{Value, json};

use super::*;

/// A video as a mesh writes one that a worker holds.
fn video() -> Value {
    json!({
        "id": "x", "object": "video", "kind": "generate", "status": "in_progress", "progress": 41,
        "model": "m", "prompt": "p", "negative_prompt": "", "width": 832, "height": 480, "frames": 17,
        "fps": 8, "steps": 20, "guidance": 5.0, "seed": "9007199254740991", "seconds": "2.125",
        "size": "832x480", "priority": "standard", "group_index": 0,
        "work": {
            "stage": "denoising", "step": 8, "steps": 20, "fraction": 0.41, "eta": "3.5s",
            "queue_position": 0,
        },
        "attempt": 1, "seq": 4, "notes": [], "create_time": "2026-01-31T12:00:00Z",
        "start_time": "2026-01-31T12:00:01.500Z", "created_at": 1_769_860_800,
        "original_prompt": "P", "enhancer": "rules", "prompt_language": "en",
        "enhancement_fallback": "LLM_TIMEOUT",
    })
}

#[test]
fn a_video_reads_and_is_written_again_as_the_mesh_wrote_it() {
    let read: Video = serde_json::from_value(video()).unwrap();
    assert_eq!(read.status, VideoStatus::InProgress);
    assert_eq!(read.seed, (1 << 53) - 1);
    assert_eq!((read.work.eta, read.work.queue_eta), (Some(3.5), None));
    assert_eq!((&read.error, &read.outputs), (&None, &None));
    assert_eq!(serde_json::to_value(read).unwrap(), video());
}

#[test]
fn numbers_of_64_bits_are_read_in_either_form() {
    let read = |seed: Value| {
        let mut video = video();
        video["seed"] = seed;
        serde_json::from_value::<Video>(video)
    };
    assert_eq!(read(json!(7)).unwrap().seed, 7);
    assert_eq!(read(json!("7")).unwrap().seed, 7);
    assert_eq!(read(json!("18446744073709551615")).unwrap().seed, u64::MAX);
    for wrong in [json!("seven"), json!(-1), json!("1.5"), Value::Null] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_duration_is_a_number_of_seconds() {
    let read = |eta: &str| {
        let mut video = video();
        video["work"]["queue_eta"] = json!(eta);
        serde_json::from_value::<Video>(video).map(|video| video.work.queue_eta)
    };
    assert_eq!(read("0s").unwrap(), Some(0.0));
    assert_eq!(read("1800s").unwrap(), Some(1800.0));
    for wrong in ["", "s", "30m", "3.5", "infs"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn words_of_a_newer_mesh_read_as_unknown() {
    let mut video = video();
    video["status"] = json!("paused");
    video["kind"] = json!("upscale");
    video["priority"] = json!("urgent");
    let read: Video = serde_json::from_value(video).unwrap();
    assert_eq!(
        (read.status, read.kind),
        (VideoStatus::Unknown, Kind::Unknown)
    );
    assert_eq!(read.priority, Priority::Unknown);
    assert!(!VideoStatus::Unknown.is_terminal());
}

#[test]
fn every_word_of_a_status_is_the_one_in_the_json() {
    for status in [
        VideoStatus::AwaitingApproval,
        VideoStatus::Queued,
        VideoStatus::InProgress,
        VideoStatus::Completed,
        VideoStatus::Failed,
        VideoStatus::Cancelled,
        VideoStatus::Expired,
    ] {
        assert_eq!(serde_json::to_value(status).unwrap(), status.name());
    }
}

#[test]
fn what_an_estimate_does_not_know_is_absent() {
    let estimate = json!({
        "object": "estimate", "credits": "2125", "fits": true, "memory_bytes": "1073741824",
        "settings": {
            "model": "m", "prompt": "p", "negative_prompt": "", "width": 64, "height": 64,
            "frames": 17, "fps": 8, "steps": 4, "guidance": 1.0, "seed": "0",
        },
    });
    let read: Estimate = serde_json::from_value(estimate.clone()).unwrap();
    assert_eq!((read.credits, read.memory_bytes), (2125, Some(1 << 30)));
    assert_eq!((read.gpu_seconds, read.available_credits), (None, None));
    assert_eq!(serde_json::to_value(read).unwrap(), estimate);
}
