//! One worker's stream, from its Hello to its end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::LeaseRef;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::attach_response::Message as Down;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::{Status, Streaming};

use super::convert::{
    checkpoint_from_pb, duration_to_pb, failure_from_pb, grant_to_pb, lease_from_pb, lease_to_pb,
    outputs_from_pb, progress_from_pb,
};
use super::reports::{greeting_from_pb, leases_from_pb};
use crate::app::{App, Greeting};
use crate::domain::job::Preview;
use crate::domain::transition::Reporter;
use crate::error::Error;
use crate::sessions::Registration;

type Answers = mpsc::Sender<Result<pb::AttachResponse, Status>>;

/// How long a worker may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a stream ends without an error.
enum End {
    /// The worker left, or its connection broke.
    WorkerLeft,
    /// The scheduler stops.
    Shutdown,
}

struct Session {
    app: Arc<App>,
    worker: String,
    models: Vec<String>,
    slots: usize,
    is_draining: bool,
    /// Leases that stand.
    held: HashSet<LeaseRef>,
    /// Revoked leases that may still occupy the device.
    stopping: HashSet<LeaseRef>,
    registration: Registration,
    down: Answers,
}

/// Serves a worker's stream. Its jobs stay leased when it ends: the worker may attach again.
pub async fn serve(app: Arc<App>, mut up: Streaming<pb::AttachRequest>, down: Answers) {
    let ended = async {
        let greeting = hello(&app, &mut up).await?;
        let mut session = Session::begin(Arc::clone(&app), greeting, down.clone()).await?;
        session.run(&mut up).await
    };
    match ended.await {
        Ok(End::WorkerLeft | End::Shutdown) => {}
        Err(error) => {
            // Fails when the worker has left.
            let _ = down.send(Err(error.into())).await;
        }
    }
}

async fn hello(app: &App, up: &mut Streaming<pb::AttachRequest>) -> Result<Greeting, Error> {
    let missing = Error::WorkerMessage {
        field: "hello",
        problem: "must be the first message",
    };
    let first = tokio::select! {
        first = timeout(HELLO_TIMEOUT, up.message()) => first,
        () = app.shutdown.cancelled() => return Err(Error::ShuttingDown),
    };
    match first {
        Ok(Ok(Some(pb::AttachRequest {
            message: Some(Up::Hello(hello)),
        }))) => greeting_from_pb(hello),
        _ => Err(missing),
    }
}

impl Session {
    async fn begin(app: Arc<App>, greeting: Greeting, down: Answers) -> Result<Self, Error> {
        let registration = app.sessions.register(&greeting.worker);
        let worker = greeting.worker.clone();
        let slots = usize::try_from(greeting.slots).unwrap_or(usize::MAX);
        let models = greeting
            .models
            .iter()
            .map(|model| model.id.clone())
            .collect();
        tracing::info!(
            worker_id = worker,
            device = greeting.device,
            slots,
            held = greeting.held.len(),
            "worker attached"
        );
        let reconciled = app.attach(greeting, registration.session).await?;
        let session = Self {
            app,
            worker,
            models,
            slots,
            is_draining: false,
            held: reconciled.standing.into_iter().collect(),
            stopping: HashSet::new(),
            registration,
            down,
        };
        let welcome = pb::Welcome {
            heartbeat_interval: Some(duration_to_pb(session.app.options().heartbeat_interval)),
            revoked: reconciled.stale.into_iter().map(lease_to_pb).collect(),
        };
        // A worker that left is noticed by the first read.
        let _ = session.send(Down::Welcome(welcome)).await;
        Ok(session)
    }

    async fn run(&mut self, up: &mut Streaming<pb::AttachRequest>) -> Result<End, Error> {
        let mut work = self.app.work_signal();
        let mut poll = interval(self.app.options().poll_interval);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.app.shutdown.clone();
        loop {
            let is_connected = tokio::select! {
                message = up.message() => match message {
                    Ok(Some(message)) => self.hear(message).await?,
                    Ok(None) | Err(_) => false,
                },
                Some(lease) = self.registration.revocations.recv() => self.revoke(lease).await,
                () = self.registration.superseded.cancelled() => return Err(Error::Superseded),
                () = shutdown.cancelled() => return Ok(End::Shutdown),
                _ = work.changed() => self.grant().await?,
                _ = poll.tick() => self.grant().await?,
            };
            if !is_connected {
                tracing::info!(
                    worker_id = self.worker,
                    held = self.held.len(),
                    "worker's stream ended"
                );
                return Ok(End::WorkerLeft);
            }
        }
    }

    /// Acts on a message. False when the worker has left.
    async fn hear(&mut self, message: pb::AttachRequest) -> Result<bool, Error> {
        match message.message {
            Some(Up::Heartbeat(heartbeat)) => self.heartbeat(heartbeat).await,
            Some(Up::Progress(report)) => {
                let lease = lease_from_pb(report.lease)?;
                let progress = progress_from_pb(report.progress);
                let preview = Preview::new(&report.preview_webp);
                let stands = self.app.progress(self.reporter(lease), progress, preview);
                Ok(stands.await? || self.revoke(lease).await)
            }
            Some(Up::Completion(report)) => {
                let lease = lease_from_pb(report.lease)?;
                let outputs = outputs_from_pb(report.outputs)?;
                let device_time = report.device_time.and_then(|time| time.try_into().ok());
                let completed = self
                    .app
                    .complete(self.reporter(lease), outputs, device_time);
                let accepted = completed.await?;
                self.receipt(lease, accepted).await
            }
            Some(Up::Failure(report)) => {
                let lease = lease_from_pb(report.lease)?;
                let failure = failure_from_pb(report.failure);
                let device_time = report.device_time.and_then(|time| time.try_into().ok());
                let failed = self.app.fail(self.reporter(lease), failure, device_time);
                let accepted = failed.await?;
                self.receipt(lease, accepted).await
            }
            Some(Up::Checkpoint(report)) => {
                let lease = lease_from_pb(report.lease)?;
                let checkpoint = checkpoint_from_pb(report.checkpoint.unwrap_or_default());
                let stands = self.app.checkpoint(self.reporter(lease), checkpoint);
                Ok(stands.await? || self.revoke(lease).await)
            }
            Some(Up::Hello(_)) => Err(Error::WorkerMessage {
                field: "hello",
                problem: "must be the first message alone",
            }),
            // A message of a later version.
            None => Ok(true),
        }
    }

    async fn heartbeat(&mut self, heartbeat: pb::Heartbeat) -> Result<bool, Error> {
        let reported = leases_from_pb(heartbeat.held)?;
        self.is_draining = heartbeat.draining;
        let session = self.registration.session;
        // Ours, too: those granted a moment ago may have been cancelled at another replica.
        let mut held: HashSet<LeaseRef> = reported.iter().copied().collect();
        held.extend(&self.held);
        let held: Vec<LeaseRef> = held.into_iter().collect();
        let stale = self
            .app
            .heartbeat(&self.worker, session, heartbeat.draining, &held)
            .await?;
        self.stopping.retain(|lease| reported.contains(lease));
        for lease in stale {
            if !self.revoke(lease).await {
                return Ok(false);
            }
        }
        self.grant().await
    }

    /// Leases queued jobs to free slots. False when the worker has left.
    async fn grant(&mut self) -> Result<bool, Error> {
        let free = self
            .slots
            .saturating_sub(self.held.len() + self.stopping.len());
        if self.is_draining || free == 0 {
            return Ok(true);
        }
        let session = self.registration.session;
        let jobs = self
            .app
            .claim(&self.worker, session, &self.models, free as u64)
            .await?;
        for job in jobs {
            self.held.insert(job.newest_lease());
            let grant = grant_to_pb(job, self.app.options().time_limit);
            if !self.send(Down::Grant(grant)).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn revoke(&mut self, lease: LeaseRef) -> bool {
        self.held.remove(&lease);
        self.stopping.insert(lease);
        let lease = Some(lease_to_pb(lease));
        self.send(Down::Revocation(pb::Revocation { lease })).await
    }

    async fn receipt(&mut self, lease: LeaseRef, accepted: bool) -> Result<bool, Error> {
        self.held.remove(&lease);
        self.stopping.remove(&lease);
        let receipt = pb::Receipt {
            lease: Some(lease_to_pb(lease)),
            accepted,
        };
        Ok(self.send(Down::Receipt(receipt)).await && self.grant().await?)
    }

    fn reporter(&self, lease: LeaseRef) -> Reporter<'_> {
        Reporter {
            worker: &self.worker,
            lease,
        }
    }

    /// False when the worker has left.
    async fn send(&self, message: Down) -> bool {
        let answer = pb::AttachResponse {
            message: Some(message),
        };
        self.down.send(Ok(answer)).await.is_ok()
    }
}
