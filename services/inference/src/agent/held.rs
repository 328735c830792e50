//! What the agent answers for: leases, their last reports and their checkpoints.

use kinora_ids::LeaseRef;
use kinora_proto::scheduler::v1 as pb;

use crate::convert::lease_to_pb;
use crate::engine::SignalCell;

/// Stored checkpoints of an attempt that stay: the newest, and the one before, which the scheduler names until it
/// has read the report of the newest.
const KEPT_CHECKPOINTS: usize = 2;

/// An attempt that the agent answers for.
#[derive(Default)]
pub(super) struct Held {
    pub(super) signal: SignalCell,
    /// The lease no longer stands: nothing is reported, what was stored is removed.
    pub(super) is_revoked: bool,
    /// The final report, kept until it is receipted.
    pub(super) report: Option<pb::attach_request::Message>,
    /// In the store, oldest first.
    checkpoints: Vec<pb::Checkpoint>,
}

impl Held {
    /// An attempt that is stopped by `signal`.
    pub(super) fn new(signal: SignalCell) -> Self {
        Self {
            signal,
            ..Self::default()
        }
    }

    /// Notes a stored checkpoint.
    pub(super) fn stored(&mut self, checkpoint: pb::Checkpoint) {
        self.checkpoints.push(checkpoint);
    }

    /// Keys of checkpoints that are of no use any more once the newest was reported.
    pub(super) fn take_superseded(&mut self) -> Vec<String> {
        let surplus = self.checkpoints.len().saturating_sub(KEPT_CHECKPOINTS);
        let superseded = self.checkpoints.drain(..surplus);
        superseded.map(|checkpoint| checkpoint.key).collect()
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
        let newest = newest.map(|newest| checkpoint_report(lease, newest.clone()));
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

    #[test]
    fn the_two_newest_checkpoints_stay_and_the_newest_is_repeated() {
        let lease = LeaseRef {
            job: JobId::generate(),
            lease: 1,
        };
        let mut held = Held::default();
        assert_eq!(held.unanswered(lease), []);
        held.stored(at(1));
        held.stored(at(2));
        assert!(held.take_superseded().is_empty());
        held.stored(at(3));
        held.stored(at(4));
        assert_eq!(held.take_superseded(), ["k1", "k2"]);
        let newest = checkpoint_report(lease, at(4));
        assert_eq!(held.unanswered(lease), [newest]);
        held.is_revoked = true;
        assert_eq!(held.unanswered(lease), []);
    }
}
