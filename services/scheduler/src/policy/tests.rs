mod fairness;
mod preemption;
mod properties;
mod waits;
pub(crate) mod world;

use std::time::Duration;

use self::world::{World, running, sized, worker};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Plans without memory of earlier rounds.
fn plan_once(world: &World, idle: &[WorkerView], busy: &[WorkerView]) -> Plan {
    let snapshot = world.snapshot(Bounds::default());
    plan_for(&snapshot, idle, busy, world.now)
}

fn plan_for(snapshot: &Snapshot, idle: &[WorkerView], busy: &[WorkerView], now: Time) -> Plan {
    let turns = Turns::default();
    let situation = Situation {
        snapshot,
        idle,
        busy,
        turns: &turns,
        now,
    };
    plan(&situation, &PolicyOptions::default())
}

/// Who got which job.
fn pairs(plan: &Plan) -> Vec<(JobId, &str)> {
    let assignments = plan.assignments.iter();
    assignments.map(|it| (it.job, it.worker.as_str())).collect()
}

#[test]
fn a_job_goes_to_the_worker_that_has_its_model_in_memory() {
    let mut world = World::default();
    let job = world.submit("a", "x", Priority::Standard, SECOND);
    let mut warm = worker("warm", 1, &["x"]);
    warm.resident = vec!["x".to_owned()];
    let plan = plan_once(&world, &[worker("cold", 1, &["x"]), warm], &[]);
    assert_eq!(pairs(&plan), [(job, "warm")]);
}

#[test]
fn weights_that_others_wait_for_stay_in_memory() {
    let mut world = World::default();
    let y = world.submit("a", "y", Priority::Standard, SECOND);
    world.pass(SECOND);
    let x = world.submit("a", "x", Priority::Standard, SECOND);
    let mut warm = worker("a-warm", 1, &["x", "y"]);
    warm.resident = vec!["x".to_owned()];
    let plan = plan_once(&world, &[warm, worker("b-cold", 1, &["x", "y"])], &[]);
    let mut given = pairs(&plan);
    given.sort_unstable();
    assert_eq!(given, [(y, "b-cold"), (x, "a-warm")]);
}

#[test]
fn a_young_job_waits_for_weights_that_are_free_soon_and_an_older_one_does_not() {
    let mut world = World::default();
    let job = world.submit("a", "x", Priority::Standard, SECOND);
    let mut warm = worker("warm", 0, &["x"]);
    warm.resident = vec!["x".to_owned()];
    let almost = running(99, Priority::Standard, 0.99, (world.now, 60 * SECOND));
    warm.running = vec![almost];
    let cold = [worker("cold", 1, &["x"])];
    let busy = [warm.clone()];
    assert!(plan_once(&world, &cold, &busy).assignments.is_empty());
    world.pass(3 * SECOND);
    assert_eq!(pairs(&plan_once(&world, &cold, &busy)), [(job, "cold")]);

    let mut world = World::default();
    let job = world.submit("a", "x", Priority::Standard, SECOND);
    warm.running[0].fraction = 0.5;
    assert_eq!(
        pairs(&plan_once(&world, &cold, &[warm])),
        [(job, "cold")],
        "not soon"
    );
}

#[test]
fn the_smallest_memory_that_fits_is_used() {
    let mut world = World::default();
    let job = world.submit("a", "x", Priority::Standard, SECOND);
    let mut snapshot = world.snapshot(Bounds::default());
    snapshot.lanes[0].jobs[0].pixels = 50;
    let sizes = [("a-large", 100), ("b-fits", 50), ("c-small", 49)];
    let idle = sizes.map(|(name, bytes)| sized(worker(name, 1, &["x"]), bytes));
    assert_eq!(
        pairs(&plan_for(&snapshot, &idle, &[], world.now)),
        [(job, "b-fits")]
    );
    assert!(
        plan_for(&snapshot, &idle[2..], &[], world.now)
            .assignments
            .is_empty()
    );
}

#[test]
fn a_job_that_fits_nowhere_holds_up_neither_its_lane_nor_others() {
    let mut world = World::default();
    let large = world.submit("a", "x", Priority::Standard, SECOND);
    let behind = world.submit("a", "x", Priority::Standard, SECOND);
    let other = world.submit("b", "x", Priority::Standard, SECOND);
    let mut snapshot = world.snapshot(Bounds::default());
    snapshot.lanes[0].jobs[0].pixels = 1000;
    assert_eq!(snapshot.lanes[0].jobs[0].job, large);
    let idle = [sized(worker("w", 3, &["x"]), 10)];
    let plan = plan_for(&snapshot, &idle, &[], world.now);
    assert_eq!(pairs(&plan), [(behind, "w"), (other, "w")]);
}

#[test]
fn looking_past_what_fits_nowhere_has_a_bound() {
    let mut world = World::default();
    let look_ahead = PolicyOptions::default().look_ahead;
    for owner in 0..=look_ahead {
        world.submit(&format!("o{owner:03}"), "x", Priority::Standard, SECOND);
    }
    let mut snapshot = world.snapshot(Bounds::default());
    for lane in snapshot.lanes.iter_mut().take(look_ahead) {
        lane.jobs[0].pixels = 1000;
    }
    let idle = [sized(worker("w", 1, &["x"]), 10)];
    assert!(
        plan_for(&snapshot, &idle, &[], world.now)
            .assignments
            .is_empty()
    );
    snapshot.lanes.remove(0);
    assert_eq!(
        plan_for(&snapshot, &idle, &[], world.now).assignments.len(),
        1
    );
}

#[test]
fn a_job_that_comes_back_goes_to_another_worker_if_there_is_one() {
    let mut world = World::default();
    let job = world.submit("a", "x", Priority::Standard, SECOND);
    let mut snapshot = world.snapshot(Bounds::default());
    snapshot.lanes[0].jobs[0].last_worker = Some("a".to_owned());
    let both = [worker("a", 1, &["x"]), worker("b", 1, &["x"])];
    assert_eq!(
        pairs(&plan_for(&snapshot, &both, &[], world.now)),
        [(job, "b")]
    );
    assert_eq!(
        pairs(&plan_for(&snapshot, &both[..1], &[], world.now)),
        [(job, "a")]
    );
}

#[test]
fn work_without_a_model_goes_to_any_worker_that_says_it_can() {
    let mut world = World::default();
    let job = world.submit("a", "", Priority::Standard, SECOND);
    let mut old = worker("a-old", 1, &["x"]);
    old.can_stitch = false;
    let plan = plan_once(&world, &[old, worker("b-new", 1, &[])], &[]);
    assert_eq!(pairs(&plan), [(job, "b-new")]);
}

#[test]
fn limits_count_what_the_plan_itself_adds() {
    let mut world = World::default();
    for owner in ["t:a", "t:a", "t:a", "t:b", "t:b", "u:c"] {
        world.submit(owner, "x", Priority::Standard, SECOND);
    }
    world.caps = [("t".to_owned(), 3), ("t:a".to_owned(), 2)].into();
    let idle = [worker("w", 9, &["x"])];
    let first = plan_once(&world, &idle, &[]);
    assert_eq!(
        first.assignments.len(),
        4,
        "two of t:a, one of t:b, one of u:c"
    );
    world.claim(&first.assignments);
    assert!(plan_once(&world, &idle, &[]).assignments.is_empty());
    world.end(first.assignments[0].job);
    assert_eq!(plan_once(&world, &idle, &[]).assignments.len(), 1);
}
