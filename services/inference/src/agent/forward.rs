//! What attempts tell, on its way up the stream.

use std::sync::Arc;

use kinora_ids::LeaseRef;
use kinora_proto::scheduler::v1 as pb;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;

use super::held::checkpoint_report;
use super::stream::send;
use super::{Agent, AttemptEvent, STREAM_BUFFER};
use crate::attempt::Told;
use crate::convert::lease_to_pb;

impl Agent {
    /// Sends up what an attempt tells, and its final report.
    pub(super) async fn forward(
        &mut self,
        event: AttemptEvent,
        up: &mpsc::Sender<pb::AttachRequest>,
    ) -> Result<(), Status> {
        match event {
            AttemptEvent::Told(lease, Told::Progress(progress)) => {
                self.forward_progress(lease, progress, Vec::new(), up);
                Ok(())
            }
            AttemptEvent::Told(lease, Told::Preview(progress, webp)) => {
                self.forward_progress(lease, progress, webp, up);
                Ok(())
            }
            AttemptEvent::Told(lease, Told::Checkpoint(checkpoint)) => {
                self.forward_checkpoint(lease, checkpoint, up).await
            }
            finished @ AttemptEvent::Finished(..) => match self.note(finished) {
                Some(report) => send(up, report).await,
                None => Ok(()),
            },
        }
    }

    fn forward_progress(
        &self,
        lease: LeaseRef,
        progress: pb::Progress,
        preview_webp: Vec<u8>,
        up: &mpsc::Sender<pb::AttachRequest>,
    ) {
        if self.held.get(&lease).is_none_or(|held| held.is_revoked) {
            return;
        }
        // Half of the room is for reports and heartbeats, which must not wait behind pictures.
        if up.capacity() <= STREAM_BUFFER / 2 {
            return;
        }
        let report = pb::ProgressReport {
            lease: Some(lease_to_pb(lease)),
            progress: Some(progress),
            preview_webp,
        };
        // A slow stream loses progress, never reports.
        let _ = up.try_send(pb::AttachRequest {
            message: Some(pb::attach_request::Message::Progress(report)),
        });
    }

    async fn forward_checkpoint(
        &mut self,
        lease: LeaseRef,
        checkpoint: pb::Checkpoint,
        up: &mpsc::Sender<pb::AttachRequest>,
    ) -> Result<(), Status> {
        let Some(held) = self.held.get_mut(&lease).filter(|held| !held.is_revoked) else {
            return Ok(());
        };
        let mut superseded = held.stored(checkpoint.clone());
        let sent = send(up, checkpoint_report(lease, checkpoint)).await;
        if sent.is_ok() {
            superseded.extend(held.told_newest(Instant::now()));
        }
        self.delete(lease, superseded);
        sent
    }

    /// Removes objects beside everything else.
    pub(super) fn delete(&self, lease: LeaseRef, keys: Vec<String>) {
        if !keys.is_empty() {
            let bench = Arc::clone(&self.bench);
            tokio::spawn(async move { bench.delete(lease, &keys).await });
        }
    }
}
