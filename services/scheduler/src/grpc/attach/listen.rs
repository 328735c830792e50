//! Reading what a worker says, as fast as it says it.

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use prost_types::Duration as PbDuration;
use tonic::{Code, Status, Streaming};

use super::Session;
use super::inbox::Ending;
use crate::domain::job::Preview;
use crate::error::Error;
use crate::grpc::convert::{
    checkpoint_from_pb, failure_from_pb, lease_from_pb, outputs_from_pb, progress_from_pb,
};
use crate::grpc::reports::beat_from_pb;

impl Session {
    /// Sorts messages until the worker leaves. Nothing here waits but for the next message.
    pub(super) async fn listen(&self, up: &mut Streaming<pb::AttachRequest>) -> Result<(), Error> {
        loop {
            let message = match up.message().await {
                Ok(Some(message)) => message.message,
                Err(status) if is_too_large(&status) => return Err(too_large()),
                Ok(None) | Err(_) => {
                    self.seat.close();
                    self.inbox.close();
                    return Ok(());
                }
            };
            self.seat.heard();
            // None is a message of a later version.
            if let Some(message) = message {
                self.sort(message)?;
            }
        }
    }

    fn sort(&self, message: Up) -> Result<(), Error> {
        match message {
            Up::Heartbeat(heartbeat) => {
                self.beat.send_replace(Some(beat_from_pb(heartbeat)?));
                Ok(())
            }
            Up::Progress(report) => {
                let lease = lease_from_pb(report.lease)?;
                let progress = progress_from_pb(report.progress);
                let preview = Preview::new(&report.preview_webp);
                self.inbox.progress(lease, progress, preview)
            }
            Up::Checkpoint(report) => {
                let lease = lease_from_pb(report.lease)?;
                let checkpoint = checkpoint_from_pb(report.checkpoint.unwrap_or_default());
                if checkpoint.is_plausible(lease.job) {
                    return self.inbox.checkpoint(lease, checkpoint);
                }
                tracing::warn!(
                    job_id = %lease.job,
                    worker_id = self.seat.offer.worker,
                    key = checkpoint.key,
                    "a checkpoint that cannot be one was ignored"
                );
                Ok(())
            }
            Up::Completion(report) => {
                let lease = lease_from_pb(report.lease)?;
                let outputs = outputs_from_pb(report.outputs)?;
                let device_time = device_time(report.device_time);
                self.inbox
                    .ending(lease, Ending::Completed(outputs, device_time))
            }
            Up::Failure(report) => {
                let lease = lease_from_pb(report.lease)?;
                let failure = failure_from_pb(report.failure);
                let device_time = device_time(report.device_time);
                self.inbox
                    .ending(lease, Ending::Failed(failure, device_time))
            }
            Up::Hello(_) => Err(Error::WorkerMessage {
                field: "hello",
                problem: "must be the first message alone",
            }),
        }
    }
}

fn device_time(time: Option<PbDuration>) -> Option<std::time::Duration> {
    time.and_then(|time| time.try_into().ok())
}

/// Whether a message was longer than the server reads.
pub(super) fn is_too_large(status: &Status) -> bool {
    status.code() == Code::OutOfRange
}

pub(super) const fn too_large() -> Error {
    Error::WorkerMessage {
        field: "message",
        problem: "may have at most 4 MiB",
    }
}
