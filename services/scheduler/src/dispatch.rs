//! The one loop of a process that brings queued jobs and attached workers together.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kinora_ids::{JobId, LeaseRef};
use kinora_mesh::error::chain;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::job::{Job, Time};
use crate::error::Error;
use crate::policy::{
    self, Assignment, Bounds, Plan, PolicyOptions, Situation, Snapshot, Turns, WorkerView,
};

/// How old the view of busy workers may be: there are many, and nothing but waiting and pre-emption is decided by it.
const BUSY_AGE: Duration = Duration::from_millis(500);

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

    /// Has a worker attach again, which settles its leases: a claim has failed, perhaps after it was written.
    fn attach_again(&self, worker: &str, session: Uuid);

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

/// How a process brings jobs and workers together.
#[derive(Clone, Debug)]
pub struct DispatchOptions {
    /// The order.
    pub policy: PolicyOptions,
    /// How far each look goes.
    pub bounds: Bounds,
    /// For an attempt.
    pub time_limit: Duration,
    /// How often the queue is looked at although nothing has happened here: other replicas change it, too.
    pub poll_interval: Duration,
    /// Between two rounds. What happens meanwhile is dealt with in one claim.
    pub pause: Duration,
}

impl DispatchOptions {
    /// The defaults, with the time limit of attempts and the poll interval of the process.
    #[must_use]
    pub fn new(time_limit: Duration, poll_interval: Duration) -> Self {
        Self {
            policy: PolicyOptions::default(),
            bounds: Bounds::default(),
            time_limit,
            poll_interval,
            pause: Duration::from_millis(10),
        }
    }
}

/// Wakes the loop: a job has come, a slot is free, a worker has attached. Cheap to clone; many wakes are one.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<Notify>);

impl Waker {
    /// Has the loop look again.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Jobs leased.
    pub leased: usize,
    /// Leases asked back.
    pub preempted: usize,
    /// Whether another round at once may lease more: the bounds have hidden jobs from this one.
    pub is_cut: bool,
}

/// Leases jobs of a queue to the workers of a fleet, round by round.
#[derive(Debug)]
pub struct Dispatcher<Q, F> {
    queue: Arc<Q>,
    fleet: Arc<F>,
    options: DispatchOptions,
    turns: Turns,
    /// Busy workers, and when they were looked at.
    busy: Option<(Time, Arc<[WorkerView]>)>,
}

impl<Q: Queue, F: Fleet> Dispatcher<Q, F> {
    /// A loop that has not begun.
    pub fn new(queue: Arc<Q>, fleet: Arc<F>, options: DispatchOptions) -> Self {
        Self {
            queue,
            fleet,
            options,
            turns: Turns::default(),
            busy: None,
        }
    }

    /// Runs until stopped. A round that fails is tried again at the next poll.
    pub async fn run(mut self, clock: Arc<dyn Clock>, waker: Waker, stop: CancellationToken) {
        let mut poll = interval(self.options.poll_interval);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = waker.0.notified() => {}
                _ = poll.tick() => {}
            }
            self.rounds(&*clock, &stop).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.options.pause) => {}
            }
        }
    }

    /// Rounds until nothing more is to be had. One that has begun is finished even when the process stops, so that no
    /// lease is taken and not granted.
    async fn rounds(&mut self, clock: &dyn Clock, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.round(clock.now()).await {
                Ok(round) if round.is_cut => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "jobs were not dispatched");
                    return;
                }
            }
        }
    }

    /// Looks once, and leases what can be leased.
    ///
    /// # Errors
    /// Whatever the queue fails with.
    pub async fn round(&mut self, now: Time) -> Result<Round, Error> {
        let idle = self.fleet.idle();
        if idle.is_empty() && self.has_looked(now) {
            return Ok(Round::default());
        }
        let busy = self.busy(&idle, now);
        let models = models_of(idle.iter().chain(busy.iter()));
        if models.is_empty() {
            return Ok(Round::default());
        }
        self.queue.promote(now).await?;
        let (snapshot, plan) = self.plan(&models, (&idle, &busy), now).await?;
        self.turns.record_raised(&plan, now);
        let preempted = self.preempt(&plan, now);
        let leased = self.lease(&plan, &snapshot, now).await?;
        Ok(Round {
            leased,
            preempted,
            // When nothing could be leased others were faster, and the next poll is early enough.
            is_cut: leased > 0 && is_cut(&plan, &snapshot, &self.options.policy),
        })
    }

    /// Looks as far as the free slots need, and further when that has hidden what they could have.
    async fn plan(
        &mut self,
        models: &[String],
        (idle, busy): (&[WorkerView], &[WorkerView]),
        now: Time,
    ) -> Result<(Snapshot, Plan), Error> {
        let free = idle.iter().map(|it| it.free_slots);
        let free = free.fold(0, u32::saturating_add);
        let furthest = self.options.bounds;
        let mut bounds = furthest.for_slots(free);
        loop {
            let snapshot = self.queue.snapshot(models, bounds, now).await?;
            self.turns.see(&snapshot, models, now);
            let situation = Situation {
                snapshot: &snapshot,
                idle,
                busy,
                turns: &self.turns,
                now,
            };
            let plan = policy::plan(&situation, &self.options.policy);
            if bounds == furthest || !hides_work(&snapshot, &plan, free, &self.options.policy) {
                return Ok((snapshot, plan));
            }
            bounds = furthest;
        }
    }

    fn preempt(&mut self, plan: &Plan, now: Time) -> usize {
        let pause = self.options.policy.preemption_pause;
        self.turns.record_preemptions(plan, pause, now);
        for preemption in &plan.preemptions {
            tracing::info!(
                job_id = %preemption.lease.job,
                lease = preemption.lease.lease,
                worker_id = preemption.worker,
                waiting = %preemption.waiting,
                "lease asked back for an interactive job"
            );
            self.fleet.preempt(preemption.lease);
        }
        plan.preemptions.len()
    }

    async fn lease(&mut self, plan: &Plan, snapshot: &Snapshot, now: Time) -> Result<usize, Error> {
        if plan.assignments.is_empty() {
            return Ok(0);
        }
        let time_limit = self.options.time_limit;
        let claimed = self.queue.claim(&plan.assignments, now, time_limit).await;
        if claimed.is_err() {
            for (worker, session) in workers_of(plan) {
                self.fleet.attach_again(worker, session);
            }
        }
        let jobs = claimed?;
        let leased: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        self.turns.record(snapshot, &leased, now);
        let planned: HashMap<JobId, &Assignment> =
            plan.assignments.iter().map(|it| (it.job, it)).collect();
        for job in jobs {
            // The store leases nothing that was not planned.
            if let Some(assignment) = planned.get(&job.id) {
                tracing::info!(job_id = %job.id, lease = job.lease, worker_id = assignment.worker, "job leased");
                self.fleet
                    .grant(&assignment.worker, assignment.session, job);
            }
        }
        Ok(leased.len())
    }

    /// Whether busy workers were looked at a moment ago. Without an idle one only pre-emption is left to decide on.
    fn has_looked(&self, now: Time) -> bool {
        let at = self.busy.as_ref().map(|(at, _)| *at);
        at.is_some_and(|at| is_fresh(at, now))
    }

    /// The busy workers of a moment ago, without those that are idle by now.
    fn busy(&mut self, idle: &[WorkerView], now: Time) -> Arc<[WorkerView]> {
        if let Some((at, busy)) = &self.busy
            && is_fresh(*at, now)
        {
            let names: HashSet<&str> = idle.iter().map(|it| it.worker.as_str()).collect();
            if busy.iter().all(|it| !names.contains(it.worker.as_str())) {
                return Arc::clone(busy);
            }
            let still = busy.iter().filter(|it| !names.contains(it.worker.as_str()));
            return still.cloned().collect();
        }
        let busy: Arc<[WorkerView]> = self.fleet.busy().into();
        self.busy = Some((now, Arc::clone(&busy)));
        busy
    }
}

fn is_fresh(at: Time, now: Time) -> bool {
    (now - at).to_std().is_ok_and(|age| age < BUSY_AGE)
}

fn workers_of(plan: &Plan) -> BTreeSet<(&str, Uuid)> {
    let assignments = plan.assignments.iter();
    assignments
        .map(|it| (it.worker.as_str(), it.session))
        .collect()
}

/// All models that any of the workers offers, with the empty one when a worker takes work that needs none.
fn models_of<'a>(workers: impl Iterator<Item = &'a WorkerView>) -> Vec<String> {
    let mut models = BTreeSet::new();
    let mut seen = HashSet::new();
    for worker in workers {
        if worker.can_stitch {
            models.insert("");
        }
        // Workers of a kind share the map.
        if seen.insert(Arc::as_ptr(&worker.models)) {
            models.extend(worker.models.keys().map(String::as_str));
        }
    }
    models.into_iter().map(str::to_owned).collect()
}

/// Whether there may be jobs behind those of the snapshot that this plan should have had before others, or for slots that
/// it leaves free.
fn hides_work(snapshot: &Snapshot, plan: &Plan, free: u32, options: &PolicyOptions) -> bool {
    let assigned = plan.assignments.len();
    let most = usize::try_from(free).unwrap_or(usize::MAX);
    let may_have_more = snapshot.has_more || snapshot.lanes.iter().any(|lane| lane.has_more);
    let is_short = assigned < most.min(options.max_assignments);
    is_used_up(snapshot, plan) || (is_short && may_have_more)
}

/// Whether another round may find jobs that the bounds kept from this one.
fn is_cut(plan: &Plan, snapshot: &Snapshot, options: &PolicyOptions) -> bool {
    snapshot.has_more
        || plan.assignments.len() >= options.max_assignments
        || is_used_up(snapshot, plan)
}

/// Whether all jobs of a lane are assigned and there may be more.
fn is_used_up(snapshot: &Snapshot, plan: &Plan) -> bool {
    let assigned: HashSet<JobId> = plan.assignments.iter().map(|it| it.job).collect();
    let mut cut = snapshot.lanes.iter().filter(|lane| lane.has_more);
    cut.any(|lane| lane.jobs.iter().all(|job| assigned.contains(&job.job)))
}

#[cfg(test)]
mod tests;
