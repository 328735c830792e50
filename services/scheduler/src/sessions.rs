//! The streams of workers that are attached to this process.
//!
//! A stream has a [`Seat`]: what its worker offers, holds and is told. Dispatch reads seats and puts orders into them
//! ([`Fleet`]); the task that serves the stream sends the orders down and keeps the seat up to date. Nothing here waits
//! and nothing here is stored: workers of other replicas have their seats there.

mod seat;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::LeaseRef;
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::dispatch::Fleet;
use crate::domain::job::Job;
use crate::policy::WorkerView;

pub use seat::{DeviceState, Offer, Order, Registration, Seat, Standing};

type Seats = Arc<Mutex<HashMap<String, Arc<Seat>>>>;

/// The oldest version of the workers' contract that is spoken.
pub const OLDEST_PROTOCOL: u32 = 1;
/// The newest version of the workers' contract that is spoken.
pub const NEWEST_PROTOCOL: u32 = 2;

/// Another instance of a worker is attached under the same name, and was heard a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another worker of this name is attached")]
pub struct NameTaken;

/// Finds the stream of a worker, to tell it what changed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    seats: Seats,
    changed: Arc<Notify>,
}

impl Sessions {
    /// Adds a stream, which takes part once it is opened. An older one of the same worker is told to end.
    ///
    /// # Errors
    /// [`NameTaken`] when the older one is of another instance and was heard within `patience`.
    pub fn register(&self, offer: Offer, patience: Duration) -> Result<Registration, NameTaken> {
        let worker = offer.worker.clone();
        let mut seats = self.seats.lock();
        if let Some(older) = seats.get(&worker) {
            if older.is_someone_else(&offer) && older.was_heard_within(patience) {
                return Err(NameTaken);
            }
            older.superseded.cancel();
        }
        let (seat, orders) = Seat::new(offer, Arc::clone(&self.changed));
        let seat = Arc::new(seat);
        seats.insert(worker, Arc::clone(&seat));
        Ok(Registration::new(self.clone(), seat, orders))
    }

    /// Waits until a worker has attached, or a slot of one became free.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Tells a worker that a lease no longer stands, if it is attached here.
    pub fn revoke(&self, worker: &str, lease: LeaseRef) {
        if let Some(seat) = self.seat(worker) {
            seat.tell(Order::Revoke(lease));
        }
    }

    /// Tells a worker to hand back what it runs and to end. False when it is not attached here, or does not know how.
    #[must_use]
    pub fn drain(&self, worker: &str) -> bool {
        let seat = self.seat(worker);
        let seat = seat.filter(|seat| seat.knows_orders());
        seat.is_some_and(|seat| seat.tell(Order::Drain))
    }

    /// Whether a worker is to get new leases. False when it is not attached here.
    #[must_use]
    pub fn cordon(&self, worker: &str, is_cordoned: bool) -> bool {
        let seat = self.seat(worker);
        seat.inspect(|seat| seat.cordon(is_cordoned)).is_some()
    }

    fn seat(&self, worker: &str) -> Option<Arc<Seat>> {
        self.seats.lock().get(worker).cloned()
    }

    /// Views of all seats for which `choose` is true of the free slots.
    fn views(&self, choose: impl Fn(u32) -> bool) -> Vec<WorkerView> {
        let seats: Vec<Arc<Seat>> = self.seats.lock().values().cloned().collect();
        let views = seats.iter().filter_map(|seat| seat.view(&choose));
        views.collect()
    }

    /// Takes a stream off the list, unless a newer one has its place.
    fn leave(&self, seat: &Seat) {
        let mut seats = self.seats.lock();
        let is_newest = seats
            .get(&seat.offer.worker)
            .is_some_and(|newest| newest.session == seat.session);
        if is_newest {
            seats.remove(&seat.offer.worker);
        }
    }
}

impl Fleet for Sessions {
    fn idle(&self) -> Vec<WorkerView> {
        self.views(|free| free > 0)
    }

    fn busy(&self) -> Vec<WorkerView> {
        self.views(|free| free == 0)
    }

    fn grant(&self, worker: &str, session: Uuid, job: Job) {
        let seat = self.seat(worker).filter(|seat| seat.session == session);
        if !seat.is_some_and(|seat| seat.grant(job)) {
            tracing::info!(
                worker_id = worker,
                "the stream ended before a lease was granted on it"
            );
        }
    }

    fn preempt(&self, lease: LeaseRef) {
        let seats: Vec<Arc<Seat>> = self.seats.lock().values().cloned().collect();
        let holder = seats.iter().find(|seat| seat.stands(lease));
        if let Some(seat) = holder.filter(|seat| seat.knows_orders()) {
            seat.tell(Order::Preempt(lease));
        }
    }
}

#[cfg(test)]
mod tests;
