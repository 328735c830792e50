//! The words that stand in JSON for a video.

use serde::{Deserialize, Serialize};

/// What a worker does for a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Draws it.
    Generate,
    /// Joins the clips of a sequence.
    Stitch,
    /// Something that this build does not know.
    #[serde(other)]
    Unknown,
}

/// Who goes first. Within a class tenants share by weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits in front of a screen.
    Interactive,
    /// The usual.
    Standard,
    /// Whenever there is room.
    Batch,
    /// A class that this build does not know.
    #[serde(other)]
    Unknown,
}

impl Priority {
    /// The name that stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a video stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoStatus {
    /// The preview is there; the caller decides.
    AwaitingApproval,
    /// Waits for a worker.
    Queued,
    /// A worker holds it.
    InProgress,
    /// The clip is there.
    Completed,
    /// It ended without a clip.
    Failed,
    /// The caller ended it.
    Cancelled,
    /// Not started, or not approved, in time.
    Expired,
    /// A status that this build does not know.
    #[serde(other)]
    Unknown,
}

impl VideoStatus {
    /// Whether nothing will change any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired
        )
    }

    /// The name that stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}
