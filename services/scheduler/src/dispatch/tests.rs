//! Rounds on a queue in memory.

use kinora_testkit::wait::until;
use parking_lot::Mutex;

use super::*;
use crate::clock::SystemClock;
use crate::domain::job::{Priority, VideoSpec};
use crate::policy::tests::world::{World, running, sized, worker};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct MemoryQueue {
    world: Mutex<World>,
    /// Assigned jobs that another replica is said to have taken.
    stolen: Mutex<HashSet<JobId>>,
    is_away: Mutex<bool>,
    loses_claims: Mutex<bool>,
    failures: Mutex<usize>,
    looks: Mutex<usize>,
}

impl Queue for MemoryQueue {
    async fn promote(&self, _now: Time) -> Result<(), Error> {
        if *self.is_away.lock() {
            *self.failures.lock() += 1;
            return Err(Error::ShuttingDown);
        }
        Ok(())
    }

    async fn snapshot(
        &self,
        _models: &[String],
        bounds: Bounds,
        _now: Time,
    ) -> Result<Snapshot, Error> {
        *self.looks.lock() += 1;
        Ok(self.world.lock().snapshot(bounds))
    }

    async fn claim(
        &self,
        assignments: &[Assignment],
        now: Time,
        _time_limit: Duration,
    ) -> Result<Vec<Job>, Error> {
        if *self.loses_claims.lock() {
            return Err(Error::ShuttingDown);
        }
        let stolen = self.stolen.lock();
        let mut left = assignments.to_vec();
        left.retain(|it| !stolen.contains(&it.job));
        let leased = self.world.lock().claim(&left);
        Ok(leased.into_iter().map(|id| job(id, now)).collect())
    }
}

fn job(id: JobId, now: Time) -> Job {
    let spec = VideoSpec {
        model: "x".to_owned(),
        prompt: String::new(),
        negative_prompt: String::new(),
        width: 1,
        height: 1,
        frames: 1,
        steps: 1,
        guidance: 1.0,
        seed: 1,
        fps: 1,
        image: None,
        last_image: None,
    };
    Job::queued(id, "a".to_owned(), spec, now)
}

#[derive(Default)]
struct MemoryFleet {
    idle: Mutex<Vec<WorkerView>>,
    busy: Mutex<Vec<WorkerView>>,
    granted: Mutex<Vec<(String, JobId)>>,
    preempted: Mutex<Vec<LeaseRef>>,
    sent_away: Mutex<Vec<String>>,
}

impl Fleet for MemoryFleet {
    fn idle(&self) -> Vec<WorkerView> {
        let mut idle = self.idle.lock().clone();
        idle.retain(|it| it.free_slots > 0);
        idle
    }

    fn busy(&self) -> Vec<WorkerView> {
        self.busy.lock().clone()
    }

    fn grant(&self, worker: &str, _session: Uuid, job: Job) {
        let mut idle = self.idle.lock();
        let view = idle.iter_mut().find(|it| it.worker == worker);
        view.expect("a worker of the fleet").free_slots -= 1;
        self.granted.lock().push((worker.to_owned(), job.id));
    }

    fn attach_again(&self, worker: &str, _session: Uuid) {
        self.sent_away.lock().push(worker.to_owned());
    }

    fn preempt(&self, lease: LeaseRef) {
        self.preempted.lock().push(lease);
    }
}

type Bench = (
    Arc<MemoryQueue>,
    Arc<MemoryFleet>,
    Dispatcher<MemoryQueue, MemoryFleet>,
);

fn bench(idle: Vec<WorkerView>) -> Bench {
    let queue = Arc::new(MemoryQueue::default());
    let fleet = Arc::new(MemoryFleet::default());
    *fleet.idle.lock() = idle;
    let options = DispatchOptions::new(60 * SECOND, 3600 * SECOND);
    let dispatcher = Dispatcher::new(Arc::clone(&queue), Arc::clone(&fleet), options);
    (queue, fleet, dispatcher)
}

#[tokio::test]
async fn a_round_serves_all_idle_workers_and_grants_only_what_was_leased() {
    let (queue, fleet, mut dispatcher) =
        bench(vec![worker("v", 1, &["x"]), worker("w", 2, &["x"])]);
    let submit = || {
        queue
            .world
            .lock()
            .submit("a", "x", Priority::Standard, SECOND)
    };
    let jobs = [submit(), submit(), submit(), submit()];
    queue.stolen.lock().insert(jobs[1]);
    let round = dispatcher.round(Time::default()).await.expect("a round");
    assert_eq!((round.leased, round.is_cut), (2, false));
    let granted: HashSet<JobId> = fleet.granted.lock().iter().map(|(_, job)| *job).collect();
    assert_eq!(granted, [jobs[0], jobs[2]].into());
}

#[tokio::test]
async fn failed_claim_has_its_workers_attach_again() {
    let (queue, fleet, mut dispatcher) = bench(vec![
        worker("v", 2, &["x"]),
        worker("w", 1, &["x"]),
        worker("idle", 1, &["y"]),
    ]);
    for _ in 0..3 {
        let mut world = queue.world.lock();
        world.submit("a", "x", Priority::Standard, SECOND);
    }
    *queue.loses_claims.lock() = true;
    let failed = dispatcher.round(Time::default()).await;
    assert!(failed.is_err());
    assert_eq!(*fleet.sent_away.lock(), ["v", "w"]);
    assert_eq!(*fleet.granted.lock(), []);
}

#[tokio::test]
async fn bounds_hide_nothing_from_free_workers_for_long() {
    let (queue, _, mut dispatcher) = bench(vec![worker("w", 1000, &["x"])]);
    for _ in 0..300 {
        queue
            .world
            .lock()
            .submit("a", "x", Priority::Standard, SECOND);
    }
    let mut leased = 0;
    loop {
        let round = dispatcher.round(Time::default()).await.expect("a round");
        leased += round.leased;
        if !round.is_cut {
            break;
        }
    }
    assert_eq!(leased, 300);
}

#[tokio::test]
async fn a_short_look_gives_no_slot_to_a_lower_class() {
    let (queue, fleet, mut dispatcher) = bench(vec![worker("w", 10, &["x"])]);
    let submit = |owner, class| queue.world.lock().submit(owner, "x", class, SECOND);
    let mut urgent = HashSet::new();
    for owner in ["a", "b", "c", "d"] {
        urgent.insert(submit(owner, Priority::Interactive));
    }
    for _ in 0..100 {
        urgent.insert(submit("e", Priority::Interactive));
        submit("f", Priority::Batch);
    }
    dispatcher.round(Time::default()).await.expect("a round");
    let granted: Vec<JobId> = fleet.granted.lock().iter().map(|(_, job)| *job).collect();
    assert_eq!(granted.len(), 10);
    assert!(granted.iter().all(|job| urgent.contains(job)));
    // Nobody looks twice when the first look has shown enough.
    assert_eq!(*queue.looks.lock(), 2);
    fleet.idle.lock()[0].free_slots = 1;
    dispatcher.round(Time::default()).await.expect("a round");
    assert_eq!(*queue.looks.lock(), 3);
}

#[tokio::test]
async fn jobs_behind_some_that_fit_nowhere_are_found() {
    let idle = (0..16).map(|at| sized(worker(&format!("w{at}"), 1, &["x"]), 10));
    let (queue, fleet, mut dispatcher) = bench(idle.collect());
    for owner in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        for pixels in [99, 99, 99, 99, 1, 1] {
            let mut world = queue.world.lock();
            world.submit_sized(owner, "x", Priority::Standard, (SECOND, pixels));
        }
    }
    dispatcher.round(Time::default()).await.expect("a round");
    assert_eq!(fleet.granted.lock().len(), 16);
}

#[tokio::test]
async fn an_interactive_job_has_a_lease_asked_back_once() {
    let (queue, fleet, mut dispatcher) = bench(Vec::new());
    let now = Time::default();
    let mut busy = worker("w", 0, &["x"]);
    busy.running = vec![running(77, Priority::Batch, 0.2, (now, SECOND))];
    let lease = busy.running[0].lease;
    *fleet.busy.lock() = vec![busy];
    queue
        .world
        .lock()
        .submit("a", "x", Priority::Interactive, SECOND);
    for _ in 0..3 {
        dispatcher.round(now).await.expect("a round");
    }
    assert_eq!(*fleet.preempted.lock(), [lease]);
}

#[tokio::test]
async fn a_worker_that_is_idle_again_is_no_victim() {
    let (queue, fleet, mut dispatcher) = bench(Vec::new());
    let now = Time::default();
    let mut busy = worker("w", 0, &["x"]);
    busy.running = vec![running(77, Priority::Batch, 0.2, (now, SECOND))];
    *fleet.busy.lock() = vec![busy];
    dispatcher.round(now).await.expect("a round");
    *fleet.idle.lock() = vec![worker("w", 1, &["y"])];
    queue
        .world
        .lock()
        .submit("a", "x", Priority::Interactive, SECOND);
    dispatcher.round(now).await.expect("a round");
    assert!(fleet.preempted.lock().is_empty());
}

#[tokio::test]
async fn without_workers_the_queue_is_left_alone() {
    let (queue, _, mut dispatcher) = bench(Vec::new());
    queue
        .world
        .lock()
        .submit("a", "x", Priority::Standard, SECOND);
    let round = dispatcher.round(Time::default()).await.expect("a round");
    assert_eq!((round, *queue.looks.lock()), (Round::default(), 0));
}

#[tokio::test]
async fn the_loop_wakes_survives_a_queue_that_is_away_and_stops() {
    let (queue, fleet, dispatcher) = bench(vec![worker("w", 9, &["x"])]);
    *queue.is_away.lock() = true;
    let (waker, stop) = (Waker::default(), CancellationToken::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let running = tokio::spawn(dispatcher.run(clock, waker.clone(), stop.clone()));
    queue
        .world
        .lock()
        .submit("a", "x", Priority::Standard, SECOND);
    waker.wake();
    until("a round that fails", 30 * SECOND, || async {
        let failures = *queue.failures.lock();
        if failures > 0 { Ok(()) } else { Err(failures) }
    })
    .await;
    *queue.is_away.lock() = false;
    waker.wake();
    until("the grant", 30 * SECOND, || async {
        let granted = fleet.granted.lock().len();
        if granted == 1 { Ok(()) } else { Err(granted) }
    })
    .await;
    stop.cancel();
    running.await.expect("the loop ends");
}
