//! What the agent answers for: leases, their last reports and their checkpoints.

use std::time::Duration;

use kinora_ids::LeaseRef;
use kinora_proto::scheduler::v1 as pb;
use tokio::time::Instant;

use crate::convert::lease_to_pb;
use crate::engine::{DeviceTime, SignalCell};

/// How long a checkpoint outlives the report of a newer one. A report that was sent is not yet one that the scheduler
/// has read, and until then the older checkpoint is what it grants. A stream that is silent for longer has lost the
/// lease.
const REPORT_GRACE: Duration = Duration::from_secs(60);

/// Stored checkpoints of an attempt that stay at most, for models whose steps are fast: as many reports as may wait for
/// the stream.
const MAX_KEPT_CHECKPOINTS: usize = super::STREAM_BUFFER;

/// A checkpoint in the store.
struct Stored {
    checkpoint: pb::Checkpoint,
    /// When the scheduler was told of it on the present stream, if it ever was on any.
    told_at: Option<Instant>,
}

/// An attempt that the agent answers for.
#[derive(Default)]
pub(super) struct Held {
    pub(super) signal: SignalCell,
    /// The lease no longer stands: nothing is reported, what was stored is removed.
    pub(super) is_revoked: bool,
    /// The scheduler wants the lease back for more urgent work.
    pub(super) is_preempted: bool,
    /// How long the attempt has had the device.
    pub(super) device_time: DeviceTime,
    /// The final report, kept until it is receipted.
    pub(super) report: Option<pb::attach_request::Message>,
    /// In the store, oldest first.
    checkpoints: Vec<Stored>,
}

impl Held {
    /// Notes a stored checkpoint. Returns the keys of those that it takes the place of: nobody was told of them.
    pub(super) fn stored(&mut self, checkpoint: pb::Checkpoint) -> Vec<String> {
        let untold = self.checkpoints.extract_if(.., |it| it.told_at.is_none());
        let untold = untold.map(|it| it.checkpoint.key).collect();
        self.checkpoints.push(Stored {
            checkpoint,
            told_at: None,
        });
        untold
    }

    /// Notes that the newest checkpoint was sent up. Returns the keys of those that nobody needs any more.
    pub(super) fn told_newest(&mut self, now: Instant) -> Vec<String> {
        if let Some(newest) = self.checkpoints.last_mut() {
            newest.told_at = Some(now);
        }
        let is_read = |it: &Stored| it.told_at.is_some_and(|at| now >= at + REPORT_GRACE);
        let read = self.checkpoints.iter().rposition(is_read).unwrap_or(0);
        let surplus = self.checkpoints.len().saturating_sub(MAX_KEPT_CHECKPOINTS);
        let superseded = self.checkpoints.drain(..read.max(surplus));
        superseded.map(|it| it.checkpoint.key).collect()
    }

    /// Notes that [`Held::unanswered`] was sent on a new stream: what was sent on the one before may never be read.
    pub(super) fn told_again(&mut self, now: Instant) {
        for it in &mut self.checkpoints {
            it.told_at = it.told_at.map(|_| now);
        }
        if let Some(newest) = self.checkpoints.last_mut() {
            newest.told_at = Some(now);
        }
    }

    /// What a new stream must repeat: where the attempt is, and its final report. The checkpoint goes first, since the
    /// failure ends the lease; a completed job needs none.
    pub(super) fn unanswered(&self, lease: LeaseRef) -> Vec<pb::attach_request::Message> {
        use pb::attach_request::Message;
        if self.is_revoked {
            return Vec::new();
        }
        let is_completed = matches!(self.report, Some(Message::Completion(_)));
        let newest = self.checkpoints.last().filter(|_| !is_completed);
        let newest = newest.map(|newest| checkpoint_report(lease, newest.checkpoint.clone()));
        newest.into_iter().chain(self.report.clone()).collect()
    }
}

/// Tells the scheduler of a stored checkpoint.
pub(super) fn checkpoint_report(
    lease: LeaseRef,
    checkpoint: pb::Checkpoint,
) -> pb::attach_request::Message {
    pb::attach_request::Message::Checkpoint(pb::CheckpointReport {
        lease: Some(lease_to_pb(lease)),
        checkpoint: Some(checkpoint),
    })
}

#[cfg(test)]
mod tests {
    use kinora_ids::JobId;

    use super::*;

    fn at(step: u32) -> pb::Checkpoint {
        pb::Checkpoint {
            key: format!("k{step}"),
            step,
            ..pb::Checkpoint::default()
        }
    }

    fn lease() -> LeaseRef {
        LeaseRef {
            job: JobId::generate(),
            lease: 1,
        }
    }

    /// Stores and tells of a checkpoint; what goes for it.
    fn tell(held: &mut Held, step: u32, now: Instant) -> Vec<String> {
        assert!(held.stored(at(step)).is_empty());
        held.told_newest(now)
    }

    #[test]
    fn the_newest_checkpoint_is_repeated_unless_the_lease_is_revoked() {
        let lease = lease();
        let mut held = Held::default();
        assert_eq!(held.unanswered(lease), []);
        held.stored(at(1));
        held.stored(at(2));
        assert_eq!(held.unanswered(lease), [checkpoint_report(lease, at(2))]);
        held.is_revoked = true;
        assert_eq!(held.unanswered(lease), []);
    }

    #[test]
    fn a_checkpoint_stays_for_a_minute_after_a_newer_one_was_reported() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut held = Held::default();
        assert!(tell(&mut held, 1, after(0)).is_empty());
        assert!(tell(&mut held, 2, after(5)).is_empty());
        assert!(tell(&mut held, 3, after(64)).is_empty());
        assert_eq!(tell(&mut held, 4, after(65)), ["k1"]);
        assert_eq!(tell(&mut held, 5, after(124)), ["k2"]);
    }

    #[test]
    fn a_new_stream_begins_to_count_anew() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut held = Held::default();
        tell(&mut held, 1, after(0));
        tell(&mut held, 2, after(5));
        held.told_again(after(50));
        assert!(tell(&mut held, 3, after(109)).is_empty());
        assert_eq!(tell(&mut held, 4, after(110)), ["k1"]);
    }

    #[test]
    fn what_nobody_was_told_of_gives_way_at_once() {
        let mut held = Held::default();
        tell(&mut held, 1, Instant::now());
        assert!(held.stored(at(2)).is_empty());
        assert_eq!(held.stored(at(3)), ["k2"]);
        assert_eq!(held.checkpoints.len(), 2, "the one that the scheduler has");
    }

    #[test]
    fn no_more_checkpoints_are_kept_than_reports_may_wait() {
        let now = Instant::now();
        let mut held = Held::default();
        for step in 1..=64 {
            assert!(tell(&mut held, step, now).is_empty(), "{step}");
        }
        assert_eq!(tell(&mut held, 65, now), ["k1"]);
    }
}
