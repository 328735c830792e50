//! Batches and sequences: videos that were asked for together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Video, VideoStatus};

/// A batch or a sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoGroup {
    /// UUIDv7 in text form.
    pub id: String,
    /// `batch` or `sequence`.
    pub object: String,
    /// Where the whole stands: ended once every video has, and completed only if every one is.
    pub status: VideoStatus,
    /// How many videos are in each status; those of none are absent.
    pub counts: BTreeMap<String, u32>,
    /// In the order of the request; of a sequence the segments, and the joined clip at the end.
    pub videos: Vec<Video>,
    /// The video that is the result of a sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_id: Option<String>,
    /// When it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
}
