//! What holds for every snapshot and every fleet.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::pool::fits;
use super::*;

const MODELS: [&str; 4] = ["", "x", "y", "z"];
const CLASSES: [Priority; 3] = [Priority::Interactive, Priority::Standard, Priority::Batch];

/// Model, class, owner, start tag, and of each job cost, age and size.
type DrawnLane = (usize, usize, u8, i64, Vec<(u64, u64, u64)>);

fn lane() -> impl Strategy<Value = DrawnLane> {
    let jobs = prop::collection::vec((1_u64..100, 0_u64..600, 1_u64..40), 0..5);
    (0..4_usize, 0..3_usize, 0_u8..8, 0_i64..1000, jobs)
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let lanes = prop::collection::vec(lane(), 0..12);
    let usage = (0_u32..4, 0_u32..5).prop_map(|(running, max_running)| Usage {
        running,
        max_running,
    });
    let usages = prop::collection::vec(usage, 12);
    (lanes, usages).prop_map(|(lanes, usages)| {
        let mut snapshot = Snapshot::default();
        let mut id = 0;
        for (model, class, owner, start_tag, jobs) in lanes {
            let owner = format!("t{}:{owner}", owner % 3);
            let tenant = owner[..2].to_owned();
            snapshot.lanes.push(Lane {
                model: MODELS[model].to_owned(),
                priority: CLASSES[class],
                owner,
                tenant,
                start_tag,
                weight: 100,
                jobs: jobs
                    .into_iter()
                    .map(|job| candidate(&mut id, job))
                    .collect(),
                has_more: false,
            });
        }
        let mut usages = usages.into_iter();
        for tenant in 0..3 {
            snapshot
                .tenants
                .extend(usages.next().map(|it| (format!("t{tenant}"), it)));
        }
        for owner in 0..8 {
            let name = format!("t{}:{owner}", owner % 3);
            snapshot.owners.extend(usages.next().map(|it| (name, it)));
        }
        snapshot
    })
}

fn candidate(id: &mut u128, (cost, age, pixels): (u64, u64, u64)) -> Candidate {
    *id += 1;
    Candidate {
        job: JobId::from_uuid(Uuid::from_u128(*id)),
        ready_since: now() - Duration::from_secs(age),
        estimated_cost: Duration::from_secs(cost),
        pixels,
        last_worker: None,
    }
}

fn now() -> Time {
    Time::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn workers(prefix: &'static str, slots: u32) -> impl Strategy<Value = Vec<WorkerView>> {
    let models = subsequence(MODELS[1..].to_vec(), 0..=3);
    let resident = prop::option::of(select(MODELS[1..].to_vec()));
    let memory = prop::option::of(1_u64..40);
    let attempt = prop::option::of((select(CLASSES.to_vec()), 0.0..1.0_f64, 0_u32..4));
    let traits = (0..=slots, models, resident, memory, any::<bool>(), attempt);
    prop::collection::vec(traits, 0..6).prop_map(move |all| {
        let mut views = Vec::new();
        for (at, (slots, models, resident, memory, can_stitch, attempt)) in
            all.into_iter().enumerate()
        {
            let mut view = worker(&format!("{prefix}{at}"), slots, &models);
            if let Some(bytes) = memory {
                view = sized(view, bytes);
            }
            view.resident = resident
                .filter(|model| models.contains(model))
                .map(str::to_owned)
                .into_iter()
                .collect();
            view.can_stitch = can_stitch;
            if let Some((class, fraction, preemptions)) = attempt {
                let mut attempt = running(1000 + at as u128, class, fraction, (now(), MINUTE));
                attempt.preemptions = preemptions;
                view.running.push(attempt);
            }
            views.push(view);
        }
        views
    })
}

fn jobs(snapshot: &Snapshot) -> HashMap<JobId, (&Lane, &Candidate)> {
    let lanes = snapshot.lanes.iter();
    lanes
        .flat_map(|lane| lane.jobs.iter().map(move |job| (job.job, (lane, job))))
        .collect()
}

fn has_room(usage: Option<&Usage>, planned: usize) -> bool {
    usage.is_none_or(|it| {
        it.max_running == 0 || it.running as usize + planned < it.max_running as usize
    })
}

struct Counted<'a> {
    slots: HashMap<&'a str, u32>,
    tenants: HashMap<&'a str, usize>,
    owners: HashMap<&'a str, usize>,
}

/// Checks an assignment after the other, and counts.
fn check<'a>(snapshot: &'a Snapshot, idle: &'a [WorkerView], plan: &'a Plan) -> Counted<'a> {
    let jobs = jobs(snapshot);
    let mut seen = HashSet::new();
    let mut counted = Counted {
        slots: idle.iter().map(|it| (&*it.worker, it.free_slots)).collect(),
        tenants: HashMap::new(),
        owners: HashMap::new(),
    };
    for assignment in &plan.assignments {
        assert!(seen.insert(assignment.job), "assigned twice");
        let (lane, job) = jobs[&assignment.job];
        let mut workers = idle.iter();
        let worker = workers
            .find(|it| it.worker == assignment.worker)
            .expect("an idle worker");
        assert!(fits(worker, &lane.model, job.pixels), "cannot run it");
        assert_eq!(worker.session, assignment.session);
        let slots = counted.slots.get_mut(&*worker.worker).expect("counted");
        *slots = slots.checked_sub(1).expect("more than the free slots");
        let tenant = counted.tenants.entry(&lane.tenant).or_default();
        assert!(
            has_room(snapshot.tenants.get(&lane.tenant), *tenant),
            "tenant's limit"
        );
        *tenant += 1;
        let owner = counted.owners.entry(&lane.owner).or_default();
        assert!(
            has_room(snapshot.owners.get(&lane.owner), *owner),
            "owner's limit"
        );
        *owner += 1;
    }
    counted
}

proptest! {
    #[test]
    fn nothing_is_assigned_that_may_not_be(
        snapshot in snapshots(), idle in workers("idle", 3), busy in workers("busy", 0),
    ) {
        let plan = plan_for(&snapshot, &idle, &busy, now());
        check(&snapshot, &idle, &plan);
    }

    #[test]
    fn no_worker_is_left_free_that_some_job_could_have(
        snapshot in snapshots(), idle in workers("idle", 3),
    ) {
        let plan = plan_for(&snapshot, &idle, &[], now());
        let counted = check(&snapshot, &idle, &plan);
        let assigned: HashSet<JobId> = plan.assignments.iter().map(|it| it.job).collect();
        for (id, (lane, job)) in jobs(&snapshot) {
            let planned = |all: &HashMap<&str, usize>, name: &str| all.get(name).copied().unwrap_or(0);
            let may_run = has_room(snapshot.tenants.get(&lane.tenant), planned(&counted.tenants, &lane.tenant))
                && has_room(snapshot.owners.get(&lane.owner), planned(&counted.owners, &lane.owner));
            let mut free = idle.iter().filter(|it| counted.slots[&*it.worker] > 0);
            let has_place = free.any(|it| fits(it, &lane.model, job.pixels));
            prop_assert!(assigned.contains(&id) || !may_run || !has_place, "{id} was left out");
        }
    }

    #[test]
    fn a_job_alone_in_the_world_is_assigned_if_a_worker_fits(
        snapshot in snapshots(), idle in workers("idle", 1),
    ) {
        for (id, (lane, job)) in jobs(&snapshot) {
            let mut alone = Snapshot::default();
            alone.lanes.push(Lane { jobs: vec![job.clone()], ..lane.clone() });
            let plan = plan_for(&alone, &idle, &[], now());
            let mut free = idle.iter().filter(|it| it.free_slots > 0);
            let expected = free.any(|it| fits(it, &lane.model, job.pixels));
            prop_assert_eq!(plan.assignments.iter().any(|it| it.job == id), expected);
        }
    }

    #[test]
    fn the_order_of_lanes_and_workers_means_nothing(
        snapshot in snapshots(), idle in workers("idle", 3), busy in workers("busy", 0),
    ) {
        // Two lanes of one owner in a queue are none that a store would give.
        let mut snapshot = snapshot;
        let mut seen = HashSet::new();
        snapshot.lanes.retain(|it| seen.insert((it.model.clone(), it.priority, it.owner.clone())));
        let one = plan_for(&snapshot, &idle, &busy, now());
        let mut turned = snapshot.clone();
        turned.lanes.reverse();
        let backwards = |all: &[WorkerView]| all.iter().rev().cloned().collect::<Vec<_>>();
        let other = plan_for(&turned, &backwards(&idle), &backwards(&busy), now());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn only_lower_classes_that_may_be_are_preempted_and_one_of_a_worker(
        snapshot in snapshots(), idle in workers("idle", 2), busy in workers("busy", 0),
    ) {
        let plan = plan_for(&snapshot, &idle, &busy, now());
        let jobs = jobs(&snapshot);
        let (mut victims, mut helped) = (HashSet::new(), HashSet::new());
        for preemption in &plan.preemptions {
            prop_assert!(victims.insert(&preemption.worker) && helped.insert(preemption.waiting));
            let (lane, job) = jobs[&preemption.waiting];
            prop_assert_eq!(lane.priority, Priority::Interactive);
            let worker = busy.iter().find(|it| it.worker == preemption.worker).expect("busy");
            prop_assert!(fits(worker, &lane.model, job.pixels));
            let lease = worker.running.iter().find(|it| it.lease == preemption.lease);
            let lease = lease.expect("a lease of the worker");
            prop_assert!(lease.priority > Priority::Interactive && lease.fraction < 0.8);
            prop_assert!(lease.preemptions < 2);
            prop_assert!(plan.assignments.iter().all(|it| it.job != preemption.waiting));
        }
    }
}
