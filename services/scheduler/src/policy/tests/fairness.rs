//! Long runs on a queue in memory.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// Rounds of a fleet of equal workers with one slot each, with the memory that a process has.
struct Run {
    world: World,
    turns: Turns,
    idle: Vec<WorkerView>,
    /// By the end of the attempt.
    busy: VecDeque<(Time, JobId, WorkerView)>,
    loads: usize,
}

impl Run {
    fn new(workers: usize, models: &[&str]) -> Self {
        let idle = (0..workers).map(|at| worker(&format!("w{at:03}"), 1, models));
        Self {
            world: World::default(),
            turns: Turns::default(),
            idle: idle.collect(),
            busy: VecDeque::new(),
            loads: 0,
        }
    }

    /// Leases what can be leased, then goes on to the next end of an attempt. What was leased, in order.
    fn step(&mut self) -> Vec<JobId> {
        let snapshot = self.world.snapshot(Bounds::default());
        let models: Vec<String> = self
            .idle
            .iter()
            .flat_map(|it| it.models.keys().cloned())
            .collect();
        self.turns.see(&snapshot, &models, self.world.now);
        let busy: Vec<WorkerView> = self.busy.iter().map(|(.., it)| it.clone()).collect();
        let situation = Situation {
            snapshot: &snapshot,
            idle: &self.idle,
            busy: &busy,
            turns: &self.turns,
            now: self.world.now,
        };
        let plan = plan(&situation, &PolicyOptions::default());
        self.turns.record_raised(&plan, self.world.now);
        let leased = self.world.claim(&plan.assignments);
        self.turns.record(&snapshot, &leased, self.world.now);
        for assignment in plan.assignments {
            self.begin(&assignment, &snapshot);
        }
        self.busy
            .make_contiguous()
            .sort_by_key(|(end, job, _)| (*end, *job));
        if let Some((end, job, mut worker)) = self.busy.pop_front() {
            worker.running.clear();
            self.world.now = end;
            self.world.end(job);
            self.idle.push(worker);
        }
        leased
    }

    fn begin(&mut self, assignment: &Assignment, snapshot: &Snapshot) {
        let at = self
            .idle
            .iter()
            .position(|it| it.worker == assignment.worker);
        let mut worker = self.idle.remove(at.expect("an idle worker"));
        let mut lanes = snapshot.lanes.iter();
        let lane = lanes.find(|lane| lane.jobs.iter().any(|it| it.job == assignment.job));
        let model = lane.expect("a lane of the snapshot").model.clone();
        if worker.resident != [model.clone()] {
            self.loads += 1;
            worker.resident = vec![model];
        }
        // Protected, so that what is measured here is the order alone.
        let attempt = (self.world.now, Duration::ZERO);
        let running = running(
            assignment.job.as_uuid().as_u128(),
            Priority::Interactive,
            0.0,
            attempt,
        );
        worker.running = vec![running];
        let end = self.world.now + self.world.cost(assignment.job);
        self.busy.push_back((end, assignment.job, worker));
    }

    fn served(&self, tenant: &str) -> f64 {
        let served = self.world.served.get(tenant);
        served.copied().unwrap_or_default().as_secs_f64()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The bound of start-time fair queueing, at every moment: two tenants that both wait differ by no more than the
    /// largest job of each, by weight.
    #[test]
    fn tenants_that_wait_get_device_time_by_weight(
        weights in prop::collection::vec(1_u32..8, 2..5),
        costs in prop::collection::vec(1_u64..60, 40..80),
        workers in 1_usize..8,
    ) {
        let mut run = Run::new(workers, &["x"]);
        for (at, weight) in weights.iter().enumerate() {
            run.world.weights.insert(format!("t{at}"), weight * 50);
        }
        let mut costs = costs.iter().cycle();
        for _ in 0..200 {
            for tenant in 0..weights.len() {
                // The more owners, the more lanes: they share what their tenant has.
                for owner in 0..=tenant {
                    let owner = format!("t{tenant}:{owner}");
                    while run.world.waiting(&owner) < 10 {
                        let cost = *costs.next().expect("a cycle") * SECOND.as_secs();
                        let cost = Duration::from_secs(cost);
                        run.world.submit(&owner, "x", Priority::Standard, cost);
                    }
                }
            }
            run.step();
            for a in 0..weights.len() {
                for b in 0..a {
                    let share = |at: usize| run.served(&format!("t{at}")) / f64::from(weights[at]);
                    let bound = 60.0 / f64::from(weights[a]) + 60.0 / f64::from(weights[b]);
                    let apart = (share(a) - share(b)).abs();
                    prop_assert!(apart <= bound + 1e-6, "{a} and {b}: {apart} > {bound}");
                }
            }
        }
    }
}

#[test]
fn a_light_tenant_waits_for_no_more_than_a_place_while_another_floods() {
    let mut run = Run::new(10, &["x"]);
    let mut worst = Duration::ZERO;
    for round in 0..500 {
        while run.world.waiting("heavy") < 100 {
            run.world
                .submit("heavy", "x", Priority::Standard, 30 * SECOND);
        }
        if round % 10 == 5 {
            let job = run
                .world
                .submit("light", "x", Priority::Standard, 30 * SECOND);
            let submitted = run.world.now;
            let mut started = submitted;
            while !run.step().contains(&job) {
                started = run.world.now;
            }
            worst = worst.max((started - submitted).to_std().expect("later"));
        } else {
            run.step();
        }
    }
    // All ten began together, so that a place may be a whole job away.
    assert!(worst <= 30 * SECOND, "{worst:?}");
}

#[test]
fn models_on_shared_workers_share_them_and_seldom_change_places() {
    let mut run = Run::new(100, &["x", "y"]);
    run.world.weights.insert("b".to_owned(), 300);
    let mut costs = (5..25).cycle();
    for _ in 0..2000 {
        for (owner, model) in [("a", "x"), ("b", "y")] {
            while run.world.waiting(owner) < 100 {
                let cost = Duration::from_secs(costs.next().expect("a cycle"));
                run.world.submit(owner, model, Priority::Standard, cost);
            }
        }
        run.step();
    }
    let ratio = run.served("b") / run.served("a");
    assert!((2.8..3.2).contains(&ratio), "{ratio}");
    assert!(run.loads < 400, "{} loads for 2000 jobs", run.loads);
}

#[test]
fn one_worker_serves_a_second_model_although_the_first_never_runs_dry() {
    let mut run = Run::new(1, &["x", "y"]);
    for _ in 0..20 {
        run.world.submit("a", "x", Priority::Standard, 30 * SECOND);
    }
    run.step();
    let y = run.world.submit("b", "y", Priority::Standard, 30 * SECOND);
    let steps = (0..20).find(|_| run.step().contains(&y));
    assert!(steps.expect("it is served") <= 1, "after {steps:?} others");
}

#[test]
fn a_new_queue_is_not_held_up_by_the_clock_of_other_workers() {
    let mut turns = Turns::default();
    let mut world = World::default();
    for (owner, model) in [("a", "x"), ("b", "z")] {
        for _ in 0..50 {
            world.submit(owner, model, Priority::Standard, 10 * SECOND);
        }
    }
    let models = ["x", "y", "z"].map(str::to_owned);
    let snapshot = world.snapshot(Bounds {
        jobs: 50,
        ..Bounds::default()
    });
    turns.see(&snapshot, &models, world.now);
    let of = |model: &str| {
        let mut lanes = snapshot.lanes.iter();
        let lane = lanes.find(|lane| lane.model == model).expect("a lane");
        lane.jobs.iter().map(|job| job.job).collect::<Vec<_>>()
    };
    turns.record(&snapshot, &of("z"), world.now);
    turns.record(&snapshot, &of("x")[..2], world.now);
    world.submit("c", "y", Priority::Standard, SECOND);
    turns.see(&world.snapshot(Bounds::default()), &models, world.now);
    let start = |model, tenant| turns.start(model, Priority::Standard, tenant);
    assert_eq!(
        start("y", "c"),
        start("x", "a"),
        "with those that wait, not with {}",
        start("z", "b")
    );
}

#[test]
fn aging_bounds_the_wait_of_every_class() {
    for class in [Priority::Standard, Priority::Batch] {
        let mut run = Run::new(2, &["x"]);
        let job = run.world.submit("b", "x", class, 10 * SECOND);
        let submitted = run.world.now;
        // Two minutes to become interactive, five before that for a batch job.
        let limit = if class == Priority::Batch {
            7 * MINUTE
        } else {
            2 * MINUTE
        };
        let started = loop {
            while run.world.waiting("a") < 10 {
                run.world
                    .submit("a", "x", Priority::Interactive, 10 * SECOND);
            }
            let now = run.world.now;
            if run.step().contains(&job) {
                break now - submitted;
            }
        };
        let started = started.to_std().expect("later");
        assert!(started >= limit, "{class:?} after {started:?}");
        assert!(
            started <= limit + 20 * SECOND,
            "{class:?} after {started:?}"
        );
    }
}

#[test]
fn age_lets_no_flood_pass_its_neighbours() {
    let mut world = World::default();
    for _ in 0..10 {
        world.submit("heavy", "x", Priority::Batch, 10 * SECOND);
    }
    let first = plan_once(&world, &[worker("w", 1, &["x"])], &[]);
    world.claim(&first.assignments);
    world.pass(30 * MINUTE);
    let light = world.submit("light", "x", Priority::Batch, 10 * SECOND);
    let plan = plan_once(&world, &[worker("w", 1, &["x"])], &[]);
    assert_eq!(pairs(&plan), [(light, "w")]);

    // Nor those who wait for another model.
    let mut run = Run::new(1, &["x", "y"]);
    for _ in 0..100 {
        run.world
            .submit("heavy", "x", Priority::Standard, 10 * SECOND);
    }
    run.step();
    run.world.pass(30 * MINUTE);
    let light = run
        .world
        .submit("light", "y", Priority::Standard, 10 * SECOND);
    let interactive = run
        .world
        .submit("other", "x", Priority::Interactive, 10 * SECOND);
    let next: Vec<JobId> = (0..3).flat_map(|_| run.step()).collect();
    assert!(
        next.contains(&light) && next.contains(&interactive),
        "{next:?}"
    );
}

#[test]
fn a_class_that_has_waited_long_claims_nothing_for_the_time_before() {
    let mut run = Run::new(4, &["x"]);
    for _ in 0..200 {
        run.world
            .submit("patient", "x", Priority::Batch, 10 * SECOND);
    }
    let mut since_raised = Vec::new();
    while since_raised.len() < 40 {
        while run.world.waiting("busy") < 10 {
            run.world
                .submit("busy", "x", Priority::Standard, 10 * SECOND);
        }
        let before = run.world.served.get("patient").copied();
        let leased = run.step().len();
        let gained = run.world.served.get("patient").copied().unwrap_or_default()
            - before.unwrap_or_default();
        let of_patient = usize::try_from(gained.as_secs() / 10).expect("few");
        if of_patient > 0 || !since_raised.is_empty() {
            since_raised.extend((0..leased).map(|at| at < of_patient));
        }
    }
    let of_patient = since_raised.iter().filter(|it| **it).count();
    assert!(
        (14..=26).contains(&of_patient),
        "{of_patient} of the first {} turns",
        since_raised.len()
    );
}

#[test]
fn who_comes_to_a_queue_does_not_pay_for_what_others_had_of_it() {
    let mut turns = Turns::default();
    let mut world = World::default();
    for tenant in ["a", "b", "c"] {
        world.submit(tenant, "y", Priority::Standard, 10 * SECOND);
        world.submit(tenant, "y", Priority::Standard, 10 * SECOND);
    }
    for _ in 0..20 {
        world.submit("heavy", "x", Priority::Standard, 10 * SECOND);
    }
    let models = ["x", "y"].map(str::to_owned);
    let snapshot = world.snapshot(Bounds::default());
    turns.see(&snapshot, &models, world.now);
    let lanes = snapshot.lanes.iter();
    let of_heavy = lanes.filter(|lane| lane.owner == "heavy");
    let mut leased: Vec<JobId> = of_heavy
        .flat_map(|lane| lane.jobs.iter().take(10).map(|job| job.job))
        .collect();
    leased.push(snapshot.lanes[1].jobs[0].job);
    turns.record(&snapshot, &leased, world.now);
    world.submit("light", "x", Priority::Standard, 10 * SECOND);
    turns.see(&world.snapshot(Bounds::default()), &models, world.now);
    let start = |model, tenant| turns.start(model, Priority::Standard, tenant);
    assert!(start("x", "light") <= start("y", "a"));
    assert!(start("x", "heavy") > start("x", "light"));
}
