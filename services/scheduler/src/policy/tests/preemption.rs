//! Leases taken back for interactive jobs.

use super::*;

fn busy(name: &str, id: u128, class: Priority, fraction: f64) -> WorkerView {
    let mut worker = worker(name, 0, &["x"]);
    worker.running = vec![running(id, class, fraction, (Time::default(), MINUTE))];
    worker
}

fn interactive() -> World {
    let mut world = World::default();
    world.submit("a", "x", Priority::Interactive, SECOND);
    world
}

fn victims(world: &World, busy: &[WorkerView]) -> Vec<String> {
    let plan = plan_once(world, &[], busy);
    plan.preemptions.into_iter().map(|it| it.worker).collect()
}

#[test]
fn the_lowest_class_and_the_least_work_is_given_up() {
    let fleet = [
        busy("standard", 91, Priority::Standard, 0.1),
        busy("far", 92, Priority::Batch, 0.7),
        busy("near", 93, Priority::Batch, 0.3),
    ];
    assert_eq!(victims(&interactive(), &fleet), ["near"]);
    assert_eq!(victims(&interactive(), &fleet[..1]), ["standard"]);
}

#[test]
fn of_equal_classes_one_with_the_weights_is_given_up() {
    let mut warm = busy("warm", 91, Priority::Batch, 0.5);
    warm.resident = vec!["x".to_owned()];
    let fleet = [busy("cold", 92, Priority::Batch, 0.1), warm];
    assert_eq!(victims(&interactive(), &fleet), ["warm"]);
}

#[test]
fn some_attempts_are_never_given_up() {
    let mut weary = busy("weary", 91, Priority::Batch, 0.1);
    weary.running[0].preemptions = 2;
    let mut unable = busy("unable", 92, Priority::Batch, 0.1);
    unable.models = Default::default();
    let fleet = [
        weary,
        unable,
        busy("done", 93, Priority::Batch, 0.8),
        busy("equal", 94, Priority::Interactive, 0.1),
    ];
    assert!(victims(&interactive(), &fleet).is_empty());
}

#[test]
fn only_interactive_jobs_preempt_and_only_without_a_place() {
    let fleet = [busy("w", 91, Priority::Batch, 0.1)];
    let mut world = World::default();
    world.submit("a", "x", Priority::Standard, SECOND);
    world.pass(MINUTE);
    assert!(victims(&world, &fleet).is_empty());
    world.pass(10 * MINUTE);
    assert!(
        victims(&world, &fleet).is_empty(),
        "age makes no interactive job"
    );

    let idle = [worker("idle", 1, &["x"])];
    assert!(
        plan_once(&interactive(), &idle, &fleet)
            .preemptions
            .is_empty()
    );
    let mut capped = interactive();
    let first = plan_once(&capped, &idle, &[]);
    capped.claim(&first.assignments);
    capped.submit("a", "x", Priority::Interactive, SECOND);
    capped.caps.insert("a".to_owned(), 1);
    assert!(
        victims(&capped, &fleet).is_empty(),
        "it could not run anyway"
    );
}

#[test]
fn a_worker_and_a_job_have_a_pause_after_a_preemption() {
    let mut world = interactive();
    let fleet = [
        busy("a", 91, Priority::Batch, 0.1),
        busy("b", 92, Priority::Batch, 0.2),
    ];
    let mut turns = Turns::default();
    let options = PolicyOptions::default();
    let mut round = |world: &World| {
        let snapshot = world.snapshot(Bounds::default());
        let situation = Situation {
            snapshot: &snapshot,
            idle: &[],
            busy: &fleet,
            turns: &turns,
            now: world.now,
        };
        let plan = plan(&situation, &options);
        turns.record_preemptions(&plan, options.preemption_pause, world.now);
        let asked = plan.preemptions.into_iter();
        asked.map(|it| it.worker).collect::<Vec<_>>()
    };
    assert_eq!(round(&world), ["a"]);
    assert!(round(&world).is_empty(), "the place is on its way");
    world.submit("c", "x", Priority::Interactive, SECOND);
    assert_eq!(round(&world), ["b"], "a has its pause");
    world.pass(31 * SECOND);
    assert_eq!(round(&world).len(), 2);
}
