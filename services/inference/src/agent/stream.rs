//! Messages on the stream to the scheduler.

use kinora_ids::LeaseRef;
use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::worker_service_client::WorkerServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::held::Held;
use crate::convert::lease_to_pb;
use crate::error::AttemptError;

/// Opens the stream and waits for the scheduler's first word.
pub(super) async fn greet(
    mut client: WorkerServiceClient<Channel>,
    outgoing: mpsc::Receiver<pb::AttachRequest>,
) -> Result<(pb::Welcome, Streaming<pb::AttachResponse>), Status> {
    let mut down = client
        .attach(ReceiverStream::new(outgoing))
        .await?
        .into_inner();
    match down.message().await?.and_then(|first| first.message) {
        Some(pb::attach_response::Message::Welcome(welcome)) => Ok((welcome, down)),
        _ => Err(Status::internal("the scheduler did not welcome the worker")),
    }
}

/// What the scheduler is told of an attempt that has ended.
pub(super) fn final_report(
    lease: LeaseRef,
    held: &Held,
    result: Result<pb::Outputs, AttemptError>,
) -> pb::attach_request::Message {
    let lease = Some(lease_to_pb(lease));
    let device_time = held.device_time.get().try_into().ok();
    match result {
        Ok(outputs) => pb::attach_request::Message::Completion(pb::CompletionReport {
            lease,
            outputs: Some(outputs),
            device_time,
        }),
        Err(error) => pb::attach_request::Message::Failure(pb::FailureReport {
            lease,
            failure: Some(if held.is_preempted && error.is_pause() {
                preempted()
            } else {
                error.report()
            }),
            device_time,
        }),
    }
}

fn preempted() -> pb::Failure {
    pb::Failure {
        reason: "PREEMPTED".to_owned(),
        message: "interrupted for more urgent work".to_owned(),
        retryable: true,
    }
}

/// Sends a message up, waiting for room.
pub(super) async fn send(
    up: &mpsc::Sender<pb::AttachRequest>,
    message: pb::attach_request::Message,
) -> Result<(), Status> {
    let request = pb::AttachRequest {
        message: Some(message),
    };
    up.send(request)
        .await
        .map_err(|_| Status::unavailable("the stream has ended"))
}

/// Whether attaching again cannot help.
pub(super) fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument | Code::PermissionDenied | Code::FailedPrecondition
    )
}

/// Whether another worker of this name is attached.
pub(super) fn is_name_taken(status: &Status) -> bool {
    status.code() == Code::AlreadyExists
        && PublicError::from_status(status).reason == "WORKER_NAME_TAKEN"
}
