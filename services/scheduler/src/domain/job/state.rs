//! Where jobs stand.

use serde::{Deserialize, Serialize};

/// Where a job stands. Terminal states never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The preview is there; its owner decides.
    AwaitingApproval,
    /// Waits for a worker.
    Queued,
    /// A worker holds the newest lease.
    Running,
    /// The clip is there.
    Completed,
    /// No further attempt is made.
    Failed,
    /// Ended by its owner.
    Cancelled,
    /// Not started, or not approved, in time.
    Expired,
}

impl State {
    /// Whether the job has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::AwaitingApproval | Self::Queued | Self::Running => false,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired => true,
        }
    }

    /// The name that callers know it by.
    #[must_use]
    pub const fn public_name(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::Running => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}
