//! The one loop of a process that brings queued jobs and attached workers together.

use std::future::Future;
use std::time::Duration;

use kinora_ids::LeaseRef;
use uuid::Uuid;

use crate::domain::job::{Job, Time};
use crate::error::Error;
use crate::policy::{Assignment, Bounds, Snapshot, WorkerView};

/// The workers whose streams this process serves.
pub trait Fleet: Send + Sync + 'static {
    /// Those that can take a lease now: neither draining nor cordoned, and with a free slot. Called at every round,
    /// so it must be cheap. A slot counts as taken from [`Fleet::grant`] on, before the worker has answered.
    fn idle(&self) -> Vec<WorkerView>;

    /// Those that cannot, but whose leases tell when they will or may be pre-empted (`free_slots` 0). Called at most
    /// every half second.
    fn busy(&self) -> Vec<WorkerView>;

    /// Sends a leased job down a worker's stream. When `session` is not the worker's stream any more the job is left
    /// alone: the worker settles its leases when it attaches again, and the reaper when it does not.
    fn grant(&self, worker: &str, session: Uuid, job: Job);

    /// Asks the holder of a lease to hand it back with a checkpoint. Nothing happens when nobody here holds it.
    fn preempt(&self, lease: LeaseRef);
}

/// The queue as the loop needs it.
pub trait Queue: Send + Sync + 'static {
    /// Makes jobs ready whose time has come.
    fn promote(&self, now: Time) -> impl Future<Output = Result<(), Error>> + Send;

    /// Looks at what waits of these models.
    fn snapshot(
        &self,
        models: &[String],
        bounds: Bounds,
        now: Time,
    ) -> impl Future<Output = Result<Snapshot, Error>> + Send;

    /// Leases what can still be leased, and tells watchers of it.
    fn claim(
        &self,
        assignments: &[Assignment],
        now: Time,
        time_limit: Duration,
    ) -> impl Future<Output = Result<Vec<Job>, Error>> + Send;
}
