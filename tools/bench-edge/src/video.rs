//! What the service answers: a video as it is halfway through, and its events.

use std::time::{SystemTime, UNIX_EPOCH};

use kinora_proto::scheduler::v1::video::Status;
use kinora_proto::scheduler::v1::{
    GetVideoResponse, JobKind, ListVideosResponse, Priority, Progress, Stage, Video, VideoEvent,
};
use prost_types::{Duration, Timestamp};

/// Videos of a page, as many as a page has by default.
const PAGE: usize = 20;

/// The id of the video that is asked for.
pub const ID: &str = "0199c0de-7a11-7000-8000-00000000cafe";

const PROMPT: &str = "A slow aerial shot over a harbour at dusk: fishing boats come in one behind the other, their lamps \
                      are lit, gulls follow them, and the water is calm and copper-coloured.";

/// The answer to `GetVideo`.
pub fn one() -> GetVideoResponse {
    GetVideoResponse {
        video: Some(video()),
    }
}

/// The answer to `ListVideos`.
pub fn page() -> ListVideosResponse {
    ListVideosResponse {
        object: "list".to_owned(),
        data: vec![video(); PAGE],
        first_id: Some(ID.to_owned()),
        last_id: Some(ID.to_owned()),
        has_more: true,
        next_page_token: "MDE5OWMwZGU".to_owned(),
    }
}

/// An event of now.
pub fn event(seq: u32) -> VideoEvent {
    VideoEvent {
        id: ID.to_owned(),
        object: "video.event".to_owned(),
        r#type: "progress".to_owned(),
        seq,
        time: Some(now()),
        status: Status::InProgress.into(),
        progress: 46,
        attempt: 1,
        work: Some(work()),
        ..Default::default()
    }
}

fn video() -> Video {
    Video {
        id: ID.to_owned(),
        object: "video".to_owned(),
        kind: JobKind::Generate.into(),
        status: Status::InProgress.into(),
        progress: 46,
        model: "wan-2.1-t2v-1.3b".to_owned(),
        prompt: PROMPT.to_owned(),
        negative_prompt: "blurry, text, watermark".to_owned(),
        width: 832,
        height: 480,
        frames: 81,
        fps: 16,
        steps: 50,
        guidance: 5.0,
        seed: 8_217_364_550_112,
        seconds: "5.063".to_owned(),
        size: "832x480".to_owned(),
        priority: Priority::Standard.into(),
        work: Some(work()),
        attempt: 1,
        seq: 27,
        create_time: Some(at(1_790_000_000)),
        start_time: Some(at(1_790_000_004)),
        expire_time: Some(at(1_790_086_400)),
        created_at: 1_790_000_000,
        ..Default::default()
    }
}

fn work() -> Progress {
    Progress {
        stage: Stage::Denoising.into(),
        step: 23,
        steps: 50,
        fraction: 0.4625,
        eta: Some(Duration {
            seconds: 31,
            nanos: 500_000_000,
        }),
        ..Default::default()
    }
}

const fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}
