//! The agent: keeps the stream to the scheduler, takes leases and reports what becomes of them.
//!
//! The stream may break at any time; attempts go on meanwhile. On the next attach the agent names the
//! leases it still holds, and repeats every final report until the scheduler has receipted it.

mod drain;
mod forward;
mod held;
mod orders;
mod presence;
mod schedulers;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::LeaseRef;
use kinora_mesh::error::chain;
use kinora_mesh::lifecycle::Lifecycle;
use kinora_proto::scheduler::v1 as pb;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::drain::Drain;
use self::held::Held;
use self::schedulers::Candidate;
use self::stream::{final_report, greet, is_final, is_name_taken, send};
use crate::attempt::{Told, Workbench};
use crate::convert::lease_from_pb;
use crate::error::{AttemptError, Error};

pub use self::schedulers::Schedulers;

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
    /// The kind of machine, for people. May be empty.
    pub pool: String,
    /// Drawn when the process starts: tells it from another one of the same name.
    pub instance: String,
    /// Leases at a time.
    pub slots: u32,
    /// How long running attempts may go on after a shutdown was asked for.
    pub drain_timeout: Duration,
}

#[derive(Debug)]
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
    schedulers: Schedulers,
    held: HashMap<LeaseRef, Held>,
    events: mpsc::UnboundedReceiver<AttemptEvent>,
    event_sender: mpsc::UnboundedSender<AttemptEvent>,
    /// It is ready from its first welcome to its drain.
    lifecycle: Lifecycle,
    shutdown: CancellationToken,
    /// The engine hangs: the worker ends, so that a new process can take its place.
    is_stuck: bool,
    /// A scheduler has welcomed the worker on the present stream, or on the last one.
    is_attached: bool,
    /// Set by the shutdown.
    drain: Option<Drain>,
    /// Why no scheduler took the worker, as it was logged last.
    absence: Option<String>,
}

impl Agent {
    /// Makes an agent; nothing is connected before [`Agent::run`].
    #[must_use]
    pub fn new(
        identity: Identity,
        bench: Arc<Workbench>,
        schedulers: Schedulers,
        lifecycle: Lifecycle,
    ) -> Self {
        let (event_sender, events) = mpsc::unbounded_channel();
        let held = HashMap::new();
        Self {
            identity,
            bench,
            schedulers,
            held,
            events,
            event_sender,
            // The worker's own: ending it does not end what runs beside it.
            shutdown: lifecycle.draining().clone(),
            lifecycle,
            is_stuck: false,
            is_attached: false,
            drain: None,
            absence: None,
        }
    }

    /// Logs what keeps the worker from all schedulers, once. Those that come and go are none of a person's business.
    fn note_absence(&mut self, status: &Status, is_last: bool) {
        let error = chain(status);
        if self.is_attached {
            self.absence = None;
        }
        if self.is_attached || !is_last || self.absence.as_ref() == Some(&error) {
            tracing::debug!(%error, "not attached to the scheduler");
            return;
        }
        tracing::warn!(%error, "no scheduler takes this worker; it tries on");
        self.absence = Some(error);
    }

    /// Serves until the shutdown is asked for and running attempts have ended or were handed back.
    ///
    /// # Errors
    /// [`Error::Refused`] when the scheduler will never take this worker; [`Error::Mesh`] when TLS cannot be set up.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let scheduler = self.schedulers.next().await?;
            let is_last = scheduler.is_last;
            self.is_attached = false;
            match self.session(scheduler).await {
                Ok(Next::Done) => return self.outcome(),
                Ok(Next::GoOn) => {}
                Err(status) if is_final(&status) => {
                    return Err(Error::Refused(status.message().to_owned()));
                }
                Err(status) if is_name_taken(&status) => {
                    tracing::warn!(
                        worker_id = self.identity.worker_id,
                        "another worker of this name is attached; trying again until it is gone"
                    );
                }
                Err(status) => self.note_absence(&status, is_last),
            }
            // The others of a round are tried at once, but for a moment that keeps workers from coming all together.
            let mut pause = FIRST_BACKOFF;
            if self.is_attached {
                self.schedulers.detached();
                backoff = FIRST_BACKOFF;
            } else if is_last {
                pause = backoff;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
            if self.wait_detached(pause).await {
                return self.outcome();
            }
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
    async fn session(&mut self, scheduler: Candidate) -> Result<Next, Status> {
        let (up, outgoing) = mpsc::channel(STREAM_BUFFER);
        send(&up, pb::attach_request::Message::Hello(self.hello())).await?;
        let greeting = greet(scheduler.client, outgoing);
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

    fn welcome(&mut self, welcome: pb::Welcome) -> Duration {
        self.is_attached = true;
        self.lifecycle.serve();
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
        let report = final_report(lease, held, result);
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
