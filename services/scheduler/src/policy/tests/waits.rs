//! Estimates of waits.

use super::*;

fn asked<'a>(owner: &'a str, class: Priority, ahead: u64) -> Asked<'a> {
    Asked {
        model: "x",
        priority: class,
        tenant: crate::domain::job::tenant_of(owner),
        owner,
        estimated_cost: 10 * SECOND,
        weight: 100,
        ahead_in_lane: ahead,
    }
}

fn load(class: Priority, jobs: u64) -> QueueLoad {
    QueueLoad {
        model: "x".to_owned(),
        priority: class,
        jobs,
        cost: Duration::from_secs(10 * jobs),
    }
}

const TWO_BUSY: Capacity = Capacity { slots: 2, free: 0 };

fn flooded(jobs: u64) -> Snapshot {
    let mut world = World::default();
    for _ in 0..jobs {
        world.submit("heavy", "x", Priority::Standard, 10 * SECOND);
    }
    world.snapshot(Bounds::default())
}

#[test]
fn a_free_worker_means_no_wait() {
    let capacity = Capacity { slots: 2, free: 1 };
    let asked = asked("a", Priority::Standard, 0);
    let estimate = estimate_wait(&asked, &Snapshot::default(), &[], capacity);
    assert_eq!(
        estimate,
        Estimate {
            jobs_ahead: 0,
            wait: Some(Duration::ZERO)
        }
    );
}

#[test]
fn without_a_worker_nobody_can_tell() {
    let asked = asked("a", Priority::Standard, 0);
    let estimate = estimate_wait(&asked, &Snapshot::default(), &[], Capacity::default());
    assert_eq!(estimate.wait, None);
}

#[test]
fn a_light_owner_is_told_of_a_place_and_a_heavy_one_of_the_whole_queue() {
    let snapshot = flooded(1000);
    let loads = [load(Priority::Standard, 1000)];
    let light = asked("light", Priority::Standard, 0);
    let light = estimate_wait(&light, &snapshot, &loads, TWO_BUSY);
    assert_eq!(light.jobs_ahead, 0);
    assert_eq!(light.wait, Some(5 * SECOND), "half a job of two workers");
    let heavy = asked("heavy", Priority::Standard, 999);
    let heavy = estimate_wait(&heavy, &snapshot, &loads, TWO_BUSY);
    assert_eq!(heavy.jobs_ahead, 999);
    assert_eq!(heavy.wait, Some(5000 * SECOND));
}

#[test]
fn rivals_count_as_far_as_their_share_and_their_jobs_go() {
    let snapshot = flooded(4);
    let loads = [load(Priority::Standard, 13)];
    let ninth = asked("light", Priority::Standard, 8);
    let estimate = estimate_wait(&ninth, &snapshot, &loads, TWO_BUSY);
    // Eight of its own; the four of the other tenant, and nobody knows whose the ninth is.
    assert_eq!(estimate.jobs_ahead, 13);
}

#[test]
fn higher_classes_come_first_and_lower_ones_do_not_count() {
    let loads = [
        load(Priority::Interactive, 6),
        load(Priority::Standard, 0),
        load(Priority::Batch, 100),
    ];
    let asked = asked("a", Priority::Standard, 0);
    let estimate = estimate_wait(&asked, &Snapshot::default(), &loads, TWO_BUSY);
    assert_eq!(estimate.jobs_ahead, 6);
    assert_eq!(estimate.wait, Some(35 * SECOND));
}

#[test]
fn at_its_limit_an_owner_waits_for_itself() {
    let mut snapshot = Snapshot::default();
    let full = Usage {
        running: 1,
        max_running: 1,
    };
    snapshot.owners.insert("a".to_owned(), full);
    let capacity = Capacity { slots: 10, free: 9 };
    let asked = asked("a", Priority::Standard, 2);
    let estimate = estimate_wait(&asked, &snapshot, &[load(Priority::Standard, 3)], capacity);
    assert_eq!(estimate.wait, Some(30 * SECOND));
}
