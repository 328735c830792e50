//! The agent: keeps the stream to the scheduler, takes leases and reports what becomes of them.
//!
//! The stream may break at any time; attempts go on meanwhile. On the next attach the agent names the
//! leases it still holds, and repeats every final report until the scheduler has receipted it.

mod drain;
mod forward;
mod held;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::LeaseRef;
use kinora_mesh::error::chain;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::worker_service_client::WorkerServiceClient;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use self::drain::Drain;
use self::held::Held;
use self::stream::{final_report, greet, is_final, send};
use crate::attempt::{self, Told, Workbench};
use crate::convert::{card_to_pb, grant_from_pb, lease_from_pb, lease_to_pb};
use crate::engine::SignalCell;
use crate::error::{AttemptError, Error};

/// Messages that may wait for a slow stream. Progress beyond them is dropped, reports are not.
const STREAM_BUFFER: usize = 64;
/// How often a heartbeat goes up until the scheduler has said.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(2);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// How long the scheduler may take to welcome a worker.
const GREETING: Duration = Duration::from_secs(10);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// How the worker presents itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Stable name.
    pub worker_id: String,
    /// The kind of device.
    pub device: String,
    /// Leases at a time.
    pub slots: u32,
    /// How long running attempts may go on after a shutdown was asked for.
    pub drain_timeout: Duration,
}

enum AttemptEvent {
    Told(LeaseRef, Told),
    Finished(LeaseRef, Result<pb::Outputs, AttemptError>),
}

/// What the agent does next.
enum Next {
    GoOn,
    Done,
}

/// Keeps a worker attached until it has drained.
pub struct Agent {
    identity: Identity,
    bench: Arc<Workbench>,
    client: WorkerServiceClient<Channel>,
    held: HashMap<LeaseRef, Held>,
    events: mpsc::UnboundedReceiver<AttemptEvent>,
    event_sender: mpsc::UnboundedSender<AttemptEvent>,
    shutdown: CancellationToken,
    /// The engine hangs: the worker ends, so that a new process can take its place.
    is_stuck: bool,
    /// Set by the shutdown.
    drain: Option<Drain>,
}

impl Agent {
    /// Makes an agent; nothing is connected before [`Agent::run`].
    #[must_use]
    pub fn new(
        identity: Identity,
        bench: Arc<Workbench>,
        channel: Channel,
        shutdown: CancellationToken,
    ) -> Self {
        let (event_sender, events) = mpsc::unbounded_channel();
        let client = WorkerServiceClient::new(channel);
        let held = HashMap::new();
        Self {
            identity,
            bench,
            client,
            held,
            events,
            event_sender,
            // Ending this worker must not end what runs beside it.
            shutdown: shutdown.child_token(),
            is_stuck: false,
            drain: None,
        }
    }

    /// Serves until the shutdown is asked for and running attempts have ended or were handed back.
    ///
    /// # Errors
    /// [`Error::Refused`] when the scheduler will never take this worker.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut backoff = FIRST_BACKOFF;
        loop {
            match self.session().await {
                Ok(Next::Done) => return self.outcome(),
                Ok(Next::GoOn) => backoff = FIRST_BACKOFF,
                Err(status) if is_final(&status) => {
                    return Err(Error::Refused(status.message().to_owned()));
                }
                Err(status) => {
                    tracing::debug!(error = %chain(&status), "not attached to the scheduler");
                }
            }
            if self.wait_detached(backoff).await {
                return self.outcome();
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    fn outcome(&self) -> Result<(), Error> {
        if self.is_stuck {
            Err(Error::EngineStuck)
        } else {
            Ok(())
        }
    }

    /// Waits before the next attach while attempts go on. True when there is nothing left to do.
    async fn wait_detached(&mut self, backoff: Duration) -> bool {
        let jitter = rand::random_range(0.5..1.0);
        let until = Instant::now() + backoff.mul_f64(jitter);
        loop {
            if self.is_drained() {
                return true;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return false,
                Some(event) = self.events.recv() => { self.note(event); }
                () = drain::due(&self.shutdown, self.drain) => self.advance_drain(),
            }
        }
    }

    /// One stream from attach to its end.
    async fn session(&mut self) -> Result<Next, Status> {
        let (up, outgoing) = mpsc::channel(STREAM_BUFFER);
        send(&up, pb::attach_request::Message::Hello(self.hello())).await?;
        let greeting = greet(self.client.clone(), outgoing);
        let (welcome, mut down) = tokio::select! {
            greeted = tokio::time::timeout(GREETING, greeting) => {
                greeted.map_err(|_| Status::deadline_exceeded("the scheduler did not answer"))??
            }
            // The drain goes on while detached.
            () = drain::due(&self.shutdown, self.drain) => {
                return Err(Status::cancelled("the worker is stopping"));
            }
        };
        let interval = self.welcome(welcome);
        tracing::info!(worker_id = %self.identity.worker_id, "attached to the scheduler");
        self.repeat_reports(&up).await?;
        let mut heartbeat = tokio::time::interval(interval);
        loop {
            if self.is_drained() {
                return Ok(Next::Done);
            }
            tokio::select! {
                message = down.message() => match message? {
                    Some(message) => self.receive(message),
                    None => return Ok(Next::GoOn),
                },
                Some(event) = self.events.recv() => self.forward(event, &up).await?,
                _ = heartbeat.tick() => send(&up, self.heartbeat()).await?,
                () = drain::due(&self.shutdown, self.drain) => {
                    self.advance_drain();
                    send(&up, self.heartbeat()).await?;
                }
            }
        }
    }

    fn hello(&self) -> pb::Hello {
        pb::Hello {
            worker_id: self.identity.worker_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: self.identity.device.clone(),
            models: self.bench.cards.values().map(card_to_pb).collect(),
            slots: if self.drain.is_some() {
                0
            } else {
                self.identity.slots
            },
            held: self.held_leases(),
            ..pb::Hello::default()
        }
    }

    fn heartbeat(&self) -> pb::attach_request::Message {
        let draining = self.drain.is_some();
        pb::attach_request::Message::Heartbeat(pb::Heartbeat {
            held: self.held_leases(),
            draining,
            device_state: None,
        })
    }

    fn held_leases(&self) -> Vec<pb::LeaseRef> {
        let standing = self.held.iter().filter(|(_, held)| !held.is_revoked);
        standing.map(|(lease, _)| lease_to_pb(*lease)).collect()
    }

    fn welcome(&mut self, welcome: pb::Welcome) -> Duration {
        for lease in welcome.revoked.iter().filter_map(lease_from_pb) {
            self.revoke(lease);
        }
        let interval = welcome
            .heartbeat_interval
            .and_then(|interval| interval.try_into().ok());
        interval
            .filter(|interval: &Duration| !interval.is_zero())
            .unwrap_or(DEFAULT_HEARTBEAT)
    }

    async fn repeat_reports(&mut self, up: &mpsc::Sender<pb::AttachRequest>) -> Result<(), Status> {
        for (lease, held) in &mut self.held {
            for report in held.unanswered(*lease) {
                send(up, report).await?;
            }
            held.told_again(Instant::now());
        }
        Ok(())
    }

    fn receive(&mut self, message: pb::AttachResponse) {
        use pb::attach_response::Message;
        match message.message {
            Some(Message::Grant(grant)) => self.take(grant),
            Some(Message::Revocation(revocation)) => {
                if let Some(lease) = revocation.lease.as_ref().and_then(lease_from_pb) {
                    self.revoke(lease);
                }
            }
            Some(Message::Receipt(receipt)) => self.receipt(&receipt),
            Some(Message::Welcome(_) | Message::Preemption(_) | Message::Drain(_)) | None => {}
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
        let signal = SignalCell::default();
        self.held.insert(lease, Held::new(signal.clone()));
        let (bench, events) = (Arc::clone(&self.bench), self.event_sender.clone());
        tokio::spawn(async move {
            let told = events.clone();
            let tell = Arc::new(move |news| {
                // The agent outlives its attempts; if not, nobody listens.
                let _ = told.send(AttemptEvent::Told(lease, news));
            });
            let result = Box::pin(attempt::run(bench, grant, signal, tell)).await;
            let _ = events.send(AttemptEvent::Finished(lease, result));
        });
    }

    fn revoke(&mut self, lease: LeaseRef) {
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

    /// Records what became of an attempt and returns the report that is due, if any.
    fn note(&mut self, event: AttemptEvent) -> Option<pb::attach_request::Message> {
        let (lease, result) = match event {
            AttemptEvent::Finished(lease, result) => (lease, result),
            AttemptEvent::Told(lease, Told::Checkpoint(checkpoint)) => {
                if let Some(held) = self.held.get_mut(&lease) {
                    let superseded = held.stored(checkpoint);
                    self.delete(lease, superseded);
                }
                return None;
            }
            AttemptEvent::Told(_, Told::Progress(_) | Told::Preview(..)) => return None,
        };
        if matches!(result, Err(AttemptError::Stuck(_))) {
            self.is_stuck = true;
            self.shutdown.cancel();
        }
        let held = self.held.get_mut(&lease)?;
        if held.is_revoked {
            self.forget(lease);
            return None;
        }
        let report = final_report(lease, result);
        held.report = Some(report.clone());
        self.shorten_drain();
        Some(report)
    }

    /// Once nothing runs any more, a drain only waits for receipts.
    fn shorten_drain(&mut self) {
        let has_ended = |held: &Held| held.report.is_some();
        if let Some(drain) = &mut self.drain
            && self.held.values().all(has_ended)
        {
            drain.all_ended();
        }
    }

    /// Drops a lease and removes what its attempt stored.
    fn forget(&mut self, lease: LeaseRef) {
        self.held.remove(&lease);
        let bench = Arc::clone(&self.bench);
        tokio::spawn(async move {
            if let Err(error) = bench.blobs.delete_prefix(&lease.object_prefix()).await {
                // The scheduler removes the prefix too; this is only sooner.
                tracing::debug!(job_id = %lease.job, error = %chain(&error), "objects remain");
            }
        });
    }

    fn is_drained(&self) -> bool {
        let Some(drain) = self.drain else {
            return false;
        };
        self.held.is_empty() || drain.is_over()
    }

    /// The next step of a drain: first no new leases, then running attempts are cut off.
    fn advance_drain(&mut self) {
        match &mut self.drain {
            None => {
                self.drain = Some(Drain::begin(self.identity.drain_timeout));
                tracing::info!(running = self.held.len(), "draining");
            }
            Some(drain) => {
                drain.cut_off();
                self.held.values().for_each(|held| held.signal.pause());
                self.shorten_drain();
            }
        }
    }
}

#[cfg(test)]
mod tests;
