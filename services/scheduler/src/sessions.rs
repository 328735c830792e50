//! The streams of workers that are attached to this process.
//!
//! A stream has a [`Seat`]: what its worker offers, holds and is told. Dispatch reads seats and puts orders into them;
//! the task that serves the stream sends the orders down and keeps the seat up to date. Nothing here waits
//! and nothing here is stored: workers of other replicas have their seats there.

mod seat;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::LeaseRef;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::dispatch::Waker;
use crate::domain::job::Job;
use crate::policy::WorkerView;
use crate::store::Wishes;

pub use crate::store::DeviceState;
pub use seat::{Offer, Order, Registration, Seat, Standing};

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
    /// Wakes dispatch: a worker has attached, or a slot of one became free.
    waker: Waker,
}

impl Sessions {
    /// No streams yet. Those that come wake `waker`.
    #[must_use]
    pub fn new(waker: Waker) -> Self {
        Self {
            seats: Seats::default(),
            waker,
        }
    }

    /// Adds a stream, which takes part once it is opened, for as long as it is heard within `patience`. An older one of
    /// the same worker is told to end.
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
        let (seat, orders) = Seat::new(offer, self.waker.clone(), patience);
        let seat = Arc::new(seat);
        seats.insert(worker, Arc::clone(&seat));
        Ok(Registration::new(self.clone(), seat, orders))
    }

    /// Tells a worker that a lease no longer stands, if it is attached here.
    pub fn revoke(&self, worker: &str, lease: LeaseRef) {
        if let Some(seat) = self.seat(worker) {
            seat.tell(Order::Revoke(lease));
        }
    }

    /// Has a worker follow what operators want of it, if it is attached here.
    pub fn heed(&self, worker: &str, wishes: Wishes) {
        if let Some(seat) = self.seat(worker) {
            seat.heed(wishes);
        }
    }

    /// Workers that can take a lease now.
    #[must_use]
    pub fn idle(&self) -> Vec<WorkerView> {
        self.views(|free| free > 0)
    }

    /// Workers that take part and have no free slot.
    #[must_use]
    pub fn busy(&self) -> Vec<WorkerView> {
        self.views(|free| free == 0)
    }

    /// Sends a leased job down a stream. The job comes back when the stream is ending or not the worker's any more.
    ///
    /// # Errors
    /// The job, which the worker has not seen.
    pub fn grant(&self, worker: &str, session: Uuid, job: Job) -> Result<(), Box<Job>> {
        let seat = self.seat(worker).filter(|seat| seat.session == session);
        match seat {
            Some(seat) => seat.grant(job),
            None => Err(Box::new(job)),
        }
    }

    /// Has a worker attach again, unless it has already.
    pub fn attach_again(&self, worker: &str, session: Uuid) {
        let seat = self.seat(worker).filter(|seat| seat.session == session);
        if let Some(seat) = seat {
            seat.close();
            seat.tell(Order::AttachAgain);
        }
    }

    /// Asks the holder of a lease to hand it back. False when nobody here holds it.
    pub fn preempt(&self, lease: LeaseRef) -> bool {
        let seats: Vec<Arc<Seat>> = self.seats.lock().values().cloned().collect();
        let Some(holder) = seats.iter().find(|seat| seat.stands(lease)) else {
            return false;
        };
        if holder.knows_orders() {
            holder.tell(Order::Preempt(lease));
        }
        true
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

#[cfg(test)]
mod tests;
