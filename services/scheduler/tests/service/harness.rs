//! A running scheduler, its callers, and what stands in for what it calls.

use std::sync::Arc;
use std::time::Duration;

use kinora_access::Claims;
use kinora_access::testing::{ServedTrust, TestIssuer};
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::scheduler_service_client::SchedulerServiceClient;
use kinora_scheduler::SchedulerOptions;
use kinora_testkit::identity::identity;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

mod ledger;
mod removals;
mod requests;
mod worker;

pub use ledger::{End, FakeLedger};
pub use removals::Removals;
pub use requests::Operator;
pub use worker::{
    FakeWorker, beat, checkpoint, checkpoint_key, completion, failure, hello, hello_of,
    image_model, model, outputs, progress, with_preview,
};

/// Longer than anything takes on a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestScheduler {
    pub endpoint: String,
    pub removals: Arc<Removals>,
    pub issuer: TestIssuer,
    _trust: ServedTrust,
    server: JoinHandle<Result<(), kinora_scheduler::Error>>,
    shutdown: DropGuard,
}

impl TestScheduler {
    /// Starts with quick loops on a database.
    pub async fn start(url: &kinora_store::DatabaseUrl) -> Self {
        Self::start_with(url, |_| {}).await
    }

    pub async fn start_with(
        url: &kinora_store::DatabaseUrl,
        change: impl FnOnce(&mut SchedulerOptions),
    ) -> Self {
        let mut options = SchedulerOptions::new(url.clone());
        options.reap_interval = Duration::from_millis(50);
        options.poll_interval = Duration::from_millis(100);
        options.sweep_interval = Duration::from_millis(50);
        options.retry_delay = Duration::from_millis(20);
        options.late_sweep_delay = Duration::from_millis(300);
        options.worker_ttl = PATIENCE;
        options.upkeep_interval = Duration::from_millis(50);
        options.max_active = 0;
        let issuer = TestIssuer::new();
        let trust = issuer
            .serve(kinora_testkit::identity::identity("accounts"))
            .await;
        options.accounts_endpoint.clone_from(&trust.endpoint);
        change(&mut options);
        let listener = kinora_testkit::net::loopback_listener().await;
        let endpoint = format!("https://{}", listener.local_addr().expect("an address"));
        let removals = Arc::new(Removals::default());
        let shutdown = CancellationToken::new();
        let (objects, identity) = (removals.clone(), identity("scheduler"));
        let serving =
            kinora_scheduler::serve(options, objects, identity, listener, shutdown.clone());
        Self {
            endpoint,
            removals,
            issuer,
            _trust: trust,
            server: tokio::spawn(serving),
            shutdown: shutdown.drop_guard(),
        }
    }

    pub async fn caller(&self, name: &str) -> Caller {
        self.caller_with(&self.issuer.claims(name))
    }

    /// Somebody whose token says just this.
    pub fn caller_with(&self, claims: &Claims) -> Caller {
        Caller::connect(&self.endpoint, self.issuer.sign(claims))
    }

    pub fn operator(&self, name: &str) -> Operator {
        Operator::connect(
            &self.endpoint,
            self.issuer.sign(&self.issuer.operator(name)),
        )
    }

    pub async fn worker(&self, id: &str) -> FakeWorker {
        FakeWorker::attach(&self.endpoint, hello(id, &[]))
            .await
            .expect("attaches")
            .0
    }

    /// Stops and waits until everything has ended.
    pub async fn stop(self) {
        drop(self.shutdown);
        let stopped = timeout(PATIENCE, self.server).await.expect("stops in time");
        stopped.expect("does not panic").expect("stops cleanly");
    }
}

#[derive(Clone)]
pub struct Caller {
    client: SchedulerServiceClient<Channel>,
    token: String,
}

impl Caller {
    pub fn connect(endpoint: &str, token: String) -> Self {
        let client = SchedulerServiceClient::new(channel(endpoint, "edge"));
        Self { client, token }
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        request_with(&self.token, message)
    }

    pub async fn submit(&self, request: pb::SubmitRequest) -> Result<pb::Job, Status> {
        let answer = self.client.clone().submit(self.request(request)).await?;
        Ok(answer.into_inner().job.expect("a job"))
    }

    pub async fn get(&self, id: &str) -> Result<pb::Job, Status> {
        let request = self.request(pb::GetRequest { id: id.to_owned() });
        let answer = self.client.clone().get(request).await?;
        Ok(answer.into_inner().job.expect("a job"))
    }

    pub async fn list(&self, page_size: i32, token: &str) -> Result<pb::ListResponse, Status> {
        let page_token = token.to_owned();
        let request = self.request(pb::ListRequest {
            page_size,
            page_token,
            states: Vec::new(),
        });
        Ok(self.client.clone().list(request).await?.into_inner())
    }

    pub async fn cancel(&self, id: &str) -> Result<pb::Job, Status> {
        let request = self.request(pb::CancelRequest { id: id.to_owned() });
        let answer = self.client.clone().cancel(request).await?;
        Ok(answer.into_inner().job.expect("a job"))
    }

    pub async fn delete(&self, id: &str) -> Result<(), Status> {
        let request = self.request(pb::DeleteRequest { id: id.to_owned() });
        self.client.clone().delete(request).await.map(|_| ())
    }

    pub async fn watch(&self, id: &str, after_seq: u64) -> Result<Watcher, Status> {
        let id = id.to_owned();
        let request = self.request(pb::WatchRequest { id, after_seq });
        Ok(Watcher(
            self.client.clone().watch(request).await?.into_inner(),
        ))
    }

    pub async fn wait_for_state(&self, id: &str, state: pb::JobState) -> pb::Job {
        kinora_testkit::wait::until("a state", PATIENCE, || async {
            let job = self.get(id).await.map_err(|status| format!("{status:?}"))?;
            if job.state() == state {
                Ok(job)
            } else {
                Err(format!("{:?}", job.state()))
            }
        })
        .await
    }
}

pub struct Watcher(Streaming<pb::WatchResponse>);

impl Watcher {
    pub async fn next(&mut self) -> Result<Option<pb::Event>, Status> {
        let next = timeout(PATIENCE, self.0.message())
            .await
            .expect("an event in time")?;
        Ok(next.map(|answer| answer.event.expect("an event")))
    }

    /// All events until the stream ends.
    pub async fn rest(mut self) -> Vec<pb::Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await.expect("no error") {
            events.push(event);
        }
        events
    }
}

/// A small picture.
pub fn picture(width: u32, height: u32) -> Vec<u8> {
    let pixels = usize::try_from(width * height).expect("small");
    kinora_media::thumbnail_webp(&[7, 8, 9].repeat(pixels), width, height).expect("encodes")
}

/// A submission that is meant to be one of its own, however often it is made.
pub fn prompt(text: &str) -> pb::SubmitRequest {
    pb::SubmitRequest {
        prompt: text.to_owned(),
        allow_duplicate: true,
        ..pb::SubmitRequest::default()
    }
}

pub fn reason(status: &Status) -> String {
    kinora_mesh::error::PublicError::from_status(status).reason
}

fn request_with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    request
}

/// As that service calls a scheduler.
pub fn channel(endpoint: &str, service: &str) -> Channel {
    let identity = identity(service);
    kinora_mesh::channel::connect_lazy(endpoint, &identity, "scheduler").expect("an endpoint")
}
