//! The contract, answered by the use cases.

mod access;
mod admin;
mod attach;
mod catalogue;
mod convert;
mod events;
mod lists;
mod orders;
mod reports;
mod submissions;
mod uploads;
mod videos;
pub(crate) mod view;
mod webhooks;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::worker_service_server::WorkerService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use crate::app::App;
use crate::error::Error;
pub use access::{CALLERS, SERVICES, access};
pub use admin::AdminGrpc;
pub use videos::VideoGrpc;
pub use webhooks::WebhookGrpc;

type ServerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Events and orders that wait for a slow peer.
const STREAM_BUFFER: usize = 16;

/// Answers workers.
pub struct WorkerGrpc {
    app: Arc<App>,
}

impl WorkerGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl WorkerService for WorkerGrpc {
    type AttachStream = ServerStream<pb::AttachResponse>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (down, stream) = mpsc::channel(STREAM_BUFFER);
        let app = Arc::clone(&self.app);
        let inbound = request.into_inner();
        // The answer's head goes out at once: the worker sends its Hello after it.
        tokio::spawn(attach::serve(app, inbound, down).in_current_span());
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

fn owner<T>(request: &Request<T>) -> Result<String, Error> {
    let caller = kinora_access::caller(request).map_err(Error::Caller)?;
    Ok(caller.principal().as_str().to_owned())
}
