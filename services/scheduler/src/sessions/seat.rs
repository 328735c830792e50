//! One worker's stream as the rest of the process sees it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinora_ids::LeaseRef;
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, error::SendError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Sessions;
use crate::dispatch::Waker;
use crate::domain::job::{Job, Progress, Stage};
use crate::domain::model::MemoryNeed;
use crate::policy::{Running, WorkerView};
use crate::store::{DeviceState, Wishes};

/// The first version whose workers can be told to hand back and to drain, and can join clips.
const ORDERS_PROTOCOL: u32 = 2;

/// What a worker offers for as long as its stream lasts.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its stable name.
    pub worker: String,
    /// Which process of that name; empty from workers of protocol 1.
    pub instance: String,
    /// The version of the contract that it speaks.
    pub protocol: u32,
    /// Leases at a time.
    pub slots: u32,
    /// Models, with what each needs of the device where that is known.
    pub models: Arc<HashMap<String, Option<MemoryNeed>>>,
    /// At the beginning.
    pub device: DeviceState,
}

/// What goes down a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// A lease.
    Grant(Box<Job>),
    /// A lease that no longer stands.
    Revoke(LeaseRef),
    /// A lease to be handed back with a checkpoint.
    Preempt(LeaseRef),
    /// To hand everything back and end.
    Drain,
    /// To attach again, so that its leases are settled: what it was leased is not known.
    AttachAgain,
}

/// A lease that stands when a worker attaches, with its job where that is known.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which lease.
    pub lease: LeaseRef,
    /// Its job.
    pub job: Option<Job>,
}

/// A lease that stands.
#[derive(Debug)]
struct Held {
    /// None when it is not known what it is; it cannot be asked back then.
    running: Option<Running>,
    /// How far the worker said it is.
    progress: Option<Progress>,
}

#[derive(Debug)]
struct State {
    is_open: bool,
    is_draining: bool,
    wishes: Wishes,
    device: DeviceState,
    held: HashMap<LeaseRef, Held>,
    /// Revoked leases that may still occupy the device.
    stopping: HashSet<LeaseRef>,
    heard: Instant,
}

/// What a stream's worker offers, holds and is told.
#[derive(Debug)]
pub struct Seat {
    /// What does not change.
    pub offer: Offer,
    /// Identifies the stream in the database.
    pub session: Uuid,
    /// Cancelled when a newer stream of the same worker registers.
    pub superseded: CancellationToken,
    orders: mpsc::UnboundedSender<Order>,
    /// A worker that is silent for longer gets nothing more: it would only lose it again.
    patience: Duration,
    state: Mutex<State>,
    waker: Waker,
}

/// A registered stream; dropping it takes it off the list.
#[derive(Debug)]
pub struct Registration {
    sessions: Sessions,
    /// The stream's seat.
    pub seat: Arc<Seat>,
    /// What is to be sent down.
    pub orders: mpsc::UnboundedReceiver<Order>,
}

impl Registration {
    pub(super) const fn new(
        sessions: Sessions,
        seat: Arc<Seat>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        Self {
            sessions,
            seat,
            orders,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.sessions.leave(&self.seat);
    }
}

impl Seat {
    pub(super) fn new(
        offer: Offer,
        waker: Waker,
        patience: Duration,
    ) -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (orders, receiver) = mpsc::unbounded_channel();
        let state = State {
            is_open: false,
            is_draining: false,
            wishes: Wishes::default(),
            device: offer.device.clone(),
            held: HashMap::new(),
            stopping: HashSet::new(),
            heard: Instant::now(),
        };
        let seat = Self {
            offer,
            session: Uuid::now_v7(),
            superseded: CancellationToken::new(),
            orders,
            patience,
            state: Mutex::new(state),
            waker,
        };
        (seat, receiver)
    }

    /// Lets the worker take part, with the leases that it has kept.
    pub fn open(&self, standing: Vec<Standing>) {
        let mut state = self.state.lock();
        for Standing { lease, job } in standing {
            let running = job.as_ref().map(running);
            let progress = job.map(|job| job.progress);
            state.held.insert(lease, Held { running, progress });
        }
        state.is_open = true;
        self.waker.wake();
    }

    /// Keeps new leases away: the worker is about to leave.
    pub fn close(&self) {
        self.state.lock().is_open = false;
    }

    /// Notes that the worker said something.
    pub fn heard(&self) {
        self.state.lock().heard = Instant::now();
    }

    pub(super) fn was_heard_within(&self, patience: Duration) -> bool {
        !self.orders.is_closed() && self.state.lock().heard.elapsed() <= patience
    }

    pub(super) fn is_someone_else(&self, offer: &Offer) -> bool {
        let (own, other) = (&self.offer.instance, &offer.instance);
        !own.is_empty() && !other.is_empty() && own != other
    }

    /// Whether the worker knows orders beyond leases and revocations.
    #[must_use]
    pub const fn knows_orders(&self) -> bool {
        self.offer.protocol >= ORDERS_PROTOCOL
    }

    /// Takes in a heartbeat. Returns all leases that are to be looked at: those reported, and those granted meanwhile.
    pub fn beat(
        &self,
        reported: &[LeaseRef],
        is_draining: bool,
        device: Option<DeviceState>,
    ) -> Vec<LeaseRef> {
        let mut state = self.state.lock();
        state.is_draining = is_draining;
        if let Some(device) = device {
            state.device = device;
        }
        let before = state.stopping.len();
        state.stopping.retain(|lease| reported.contains(lease));
        if state.stopping.len() < before {
            self.waker.wake();
        }
        let mut held: HashSet<LeaseRef> = reported.iter().copied().collect();
        held.extend(state.held.keys());
        held.into_iter().collect()
    }

    /// Has the worker follow what operators want of it. It is told to end once.
    pub fn heed(&self, wishes: Wishes) {
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut state.wishes, wishes);
        if wishes.is_drained && !before.is_drained && self.knows_orders() {
            self.tell(Order::Drain);
        }
        self.waker.wake();
    }

    /// Whether the device is not as it was said to be last.
    #[must_use]
    pub fn is_news(&self, device: &DeviceState) -> bool {
        self.state.lock().device != *device
    }

    /// Leases that the worker can take now.
    #[must_use]
    pub fn free_slots(&self) -> u32 {
        self.state.lock().free_slots(self.offer.slots)
    }

    /// Whether the worker holds a lease, as far as this process knows. One that it does not can only be refused.
    #[must_use]
    pub fn stands(&self, lease: LeaseRef) -> bool {
        self.state.lock().held.contains_key(&lease)
    }

    /// Takes a slot for a job and sends it down.
    ///
    /// # Errors
    /// The job, when the stream is ending.
    pub fn grant(&self, job: Job) -> Result<(), Box<Job>> {
        let held = Held {
            running: Some(running(&job)),
            progress: None,
        };
        let mut state = self.state.lock();
        let (lease, job) = (job.newest_lease(), Box::new(job));
        if !state.is_open {
            return Err(job);
        }
        state.held.insert(lease, held);
        match self.orders.send(Order::Grant(job)) {
            Err(SendError(Order::Grant(job))) => Err(job),
            _ => Ok(()),
        }
    }

    /// Sends an order down. False when the stream is ending; the worker then learns it when it attaches again.
    pub fn tell(&self, order: Order) -> bool {
        self.orders.send(order).is_ok()
    }

    /// Notes that a lease does not stand. False when there is nothing to tell: nobody had it, or it was told before.
    pub fn stop(&self, lease: LeaseRef, is_reported: bool) -> bool {
        let mut state = self.state.lock();
        let was_held = state.held.remove(&lease).is_some();
        (was_held || is_reported) && state.stopping.insert(lease)
    }

    /// Notes that an attempt has ended: its slot is free.
    pub fn settle(&self, lease: LeaseRef) {
        let mut state = self.state.lock();
        state.held.remove(&lease);
        state.stopping.remove(&lease);
        self.waker.wake();
    }

    /// Takes in how far an attempt is. What goes back behind what was said before is put right: a stage or a step never
    /// falls within an attempt.
    pub fn advance(&self, lease: LeaseRef, progress: Progress) -> Progress {
        let mut state = self.state.lock();
        let Some(held) = state.held.get_mut(&lease) else {
            return progress;
        };
        let known = held.progress.as_ref();
        let progress = match known.filter(|known| is_before(&progress, known)) {
            Some(known) => Progress {
                stage: known.stage,
                step: known.step,
                steps: known.steps,
                ..progress
            },
            None => progress,
        };
        if let Some(running) = &mut held.running
            && progress.fraction.is_finite()
        {
            running.fraction = running.fraction.max(progress.fraction.clamp(0.0, 1.0));
        }
        held.progress = Some(progress.clone());
        progress
    }

    /// What dispatch sees, when the worker takes part and `choose` is true of its free slots.
    pub(super) fn view(&self, choose: impl Fn(u32) -> bool) -> Option<WorkerView> {
        let state = self.state.lock();
        if !state.takes_part() || state.heard.elapsed() > self.patience {
            return None;
        }
        let free_slots = state.free_slots(self.offer.slots);
        if !choose(free_slots) {
            return None;
        }
        let memory = state.device.memory_free_bytes;
        // Who cannot be told to hand back is not asked to.
        let running = state.held.values().filter(|_| self.knows_orders());
        let running = running.filter_map(|it| it.running.clone());
        Some(WorkerView {
            worker: self.offer.worker.clone(),
            session: self.session,
            free_slots,
            models: Arc::clone(&self.offer.models),
            resident: state.device.resident_models.clone(),
            memory_bytes: (memory > 0).then_some(memory),
            can_stitch: self.knows_orders(),
            running: running.collect(),
        })
    }
}

impl State {
    const fn takes_part(&self) -> bool {
        self.is_open && !self.is_draining && !self.wishes.is_cordoned && !self.wishes.is_drained
    }

    fn free_slots(&self, slots: u32) -> u32 {
        if !self.takes_part() {
            return 0;
        }
        let taken = self.held.len() + self.stopping.len();
        slots.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX))
    }
}

/// Attempts that ended and were not held against the job were interruptions, or nearly all of them.
fn running(job: &Job) -> Running {
    let others = job.attempt.saturating_sub(1);
    Running {
        lease: job.newest_lease(),
        model: job.work().model.clone(),
        priority: job.priority,
        started: job.start_time.unwrap_or(job.create_time),
        fraction: job.progress.fraction,
        preemptions: others.saturating_sub(job.failed_attempts),
    }
}

fn is_before(progress: &Progress, known: &Progress) -> bool {
    let place = |it: &Progress| (rank(it.stage), it.step);
    place(progress) < place(known)
}

const fn rank(stage: Stage) -> u8 {
    match stage {
        Stage::Queued => 0,
        Stage::Loading => 1,
        Stage::Encoding => 2,
        Stage::Denoising => 3,
        Stage::Decoding => 4,
        Stage::Packaging => 5,
        Stage::Uploading => 6,
    }
}
