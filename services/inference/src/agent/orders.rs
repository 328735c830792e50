//! What the scheduler tells the worker.

use std::sync::Arc;

use kinora_ids::LeaseRef;
use kinora_proto::scheduler::v1 as pb;

use super::held::Held;
use super::{Agent, AttemptEvent};
use crate::attempt;
use crate::convert::{grant_from_pb, lease_from_pb};

impl Agent {
    pub(super) fn receive(&mut self, message: pb::AttachResponse) {
        use pb::attach_response::Message;
        match message.message {
            Some(Message::Grant(grant)) => self.take(grant),
            Some(Message::Revocation(revocation)) => {
                if let Some(lease) = revocation.lease.as_ref().and_then(lease_from_pb) {
                    self.revoke(lease);
                }
            }
            Some(Message::Receipt(receipt)) => self.receipt(&receipt),
            Some(Message::Preemption(preemption)) => {
                if let Some(lease) = preemption.lease.as_ref().and_then(lease_from_pb) {
                    self.preempt(lease);
                }
            }
            Some(Message::Drain(_)) => {
                tracing::info!("the scheduler asks the worker to end");
                self.shutdown.cancel();
            }
            Some(Message::Welcome(_)) | None => {}
        }
    }

    /// Starts an attempt.
    fn take(&mut self, grant: pb::LeaseGrant) {
        let Some(grant) = grant_from_pb(grant) else {
            tracing::error!("the scheduler sent a lease that cannot be read");
            return;
        };
        let lease = grant.lease;
        if self.held.contains_key(&lease) {
            return;
        }
        tracing::info!(job_id = %lease.job, lease = lease.lease, "lease taken");
        let held = Held::default();
        let (signal, device_time) = (held.signal.clone(), held.device_time.clone());
        self.held.insert(lease, held);
        let (bench, events) = (Arc::clone(&self.bench), self.event_sender.clone());
        tokio::spawn(async move {
            let told = events.clone();
            let tell = Arc::new(move |news| {
                // The agent outlives its attempts; if not, nobody listens.
                let _ = told.send(AttemptEvent::Told(lease, news));
            });
            let result = Box::pin(attempt::run(bench, grant, signal, device_time, tell)).await;
            let _ = events.send(AttemptEvent::Finished(lease, result));
        });
    }

    pub(super) fn revoke(&mut self, lease: LeaseRef) {
        let Some(held) = self.held.get_mut(&lease) else {
            return;
        };
        tracing::info!(job_id = %lease.job, lease = lease.lease, "lease revoked");
        held.is_revoked = true;
        held.signal.cancel();
        if held.report.is_some() {
            self.forget(lease);
        }
    }

    /// Lets an attempt hand its state over to whoever takes the job next. One that only stores its clip ends with it.
    fn preempt(&mut self, lease: LeaseRef) {
        let Some(held) = self.held.get_mut(&lease) else {
            return;
        };
        tracing::info!(job_id = %lease.job, lease = lease.lease, "lease is wanted back");
        held.is_preempted = true;
        held.signal.pause();
    }

    fn receipt(&mut self, receipt: &pb::Receipt) {
        let Some(lease) = receipt.lease.as_ref().and_then(lease_from_pb) else {
            return;
        };
        match self.held.get(&lease) {
            Some(Held {
                report: Some(pb::attach_request::Message::Completion(_)),
                ..
            }) if receipt.accepted => {
                self.held.remove(&lease);
            }
            Some(_) => self.forget(lease),
            None => {}
        }
    }
}
