//! The end of a worker: no new leases, then running attempts are cut off, then it leaves.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long attempts that were told to stop may take to notice, and to store where they are.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(15);

/// How long an unanswered report may hold up a shutdown.
const RECEIPT_PATIENCE: Duration = Duration::from_secs(3);

/// A shutdown that has begun.
#[derive(Clone, Copy)]
pub(super) struct Drain {
    cut_off_at: Instant,
    leave_at: Instant,
    is_cut_off: bool,
}

impl Drain {
    /// Begins now; running attempts have `timeout` to end by themselves.
    pub(super) fn begin(timeout: Duration) -> Self {
        let cut_off_at = Instant::now() + timeout;
        Self {
            cut_off_at,
            leave_at: cut_off_at + HANDOVER_PATIENCE,
            is_cut_off: false,
        }
    }

    /// Notes that running attempts were told to stop.
    pub(super) fn cut_off(&mut self) {
        self.is_cut_off = true;
    }

    /// Notes that nothing runs any more: only receipts are waited for.
    pub(super) fn all_ended(&mut self) {
        if self.is_cut_off {
            self.leave_at = self.leave_at.min(Instant::now() + RECEIPT_PATIENCE);
        }
    }

    /// Whether the worker leaves, with or without receipts.
    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.leave_at
    }
}

/// Ends when the drain has a step to take: to begin, to cut off, to leave.
pub(super) async fn due(shutdown: &CancellationToken, drain: Option<Drain>) {
    match drain {
        None => shutdown.cancelled().await,
        Some(drain) if !drain.is_cut_off => tokio::time::sleep_until(drain.cut_off_at).await,
        Some(drain) => tokio::time::sleep_until(drain.leave_at).await,
    }
}
