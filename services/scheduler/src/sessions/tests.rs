use kinora_ids::JobId;

use super::*;
use crate::domain::job::{Progress, Stage, VideoSpec};

const LONG: Duration = Duration::from_secs(600);

fn offer(worker: &str, instance: &str, slots: u32) -> Offer {
    Offer {
        worker: worker.to_owned(),
        instance: instance.to_owned(),
        protocol: NEWEST_PROTOCOL,
        slots,
        models: Arc::new([("m".to_owned(), None)].into()),
        device: DeviceState {
            memory_free_bytes: 7,
            ..DeviceState::default()
        },
    }
}

fn job() -> Job {
    let spec = VideoSpec {
        model: "m".to_owned(),
        prompt: "a ball".to_owned(),
        negative_prompt: String::new(),
        width: 16,
        height: 16,
        frames: 5,
        steps: 9,
        guidance: 1.0,
        seed: 1,
        fps: 8,
        image: None,
        last_image: None,
    };
    let mut job = Job::queued(
        JobId::generate(),
        "anna".to_owned(),
        spec,
        chrono::Utc::now(),
    );
    job.lease = 1;
    job.attempt = 1;
    job
}

/// An open seat of a new worker.
fn attach(sessions: &Sessions, worker: &str, slots: u32) -> Registration {
    let registration = sessions.register(offer(worker, "i", slots), LONG).unwrap();
    registration.seat.open(Vec::new());
    registration
}

fn at(stage: Stage, step: u32) -> Progress {
    Progress {
        step,
        ..Progress::at(stage, 9)
    }
}

#[test]
fn newer_stream_replaces_the_older() {
    let sessions = Sessions::default();
    let older = attach(&sessions, "w", 1);
    let mut newer = attach(&sessions, "w", 1);
    assert!(older.seat.superseded.is_cancelled() && !newer.seat.superseded.is_cancelled());
    drop(older);
    let lease = job().newest_lease();
    sessions.revoke("w", lease);
    assert_eq!(newer.orders.try_recv(), Ok(Order::Revoke(lease)));
    drop(newer);
    assert!(sessions.seats.lock().is_empty());
}

#[test]
fn a_name_is_taken_while_another_instance_is_heard() {
    let sessions = Sessions::default();
    let first = attach(&sessions, "w", 1);
    let other = || offer("w", "other", 1);
    assert_eq!(sessions.register(other(), LONG).unwrap_err(), NameTaken);
    assert!(!first.seat.superseded.is_cancelled());
    // Silence, an end, or no name of its own.
    drop(sessions.register(other(), Duration::ZERO).unwrap());
    let mut unnamed = other();
    unnamed.instance.clear();
    let unnamed = sessions.register(unnamed, LONG).unwrap();
    let named = sessions.register(other(), LONG).unwrap();
    assert!(unnamed.seat.superseded.is_cancelled());
    drop(named);
    drop(sessions.register(offer("w", "third", 1), LONG).unwrap());
}

#[test]
fn silent_worker_gets_nothing() {
    let sessions = Sessions::default();
    let stream = sessions.register(offer("w", "i", 1), Duration::ZERO);
    let stream = stream.unwrap();
    stream.seat.open(Vec::new());
    assert!(sessions.idle().is_empty());
    assert!(sessions.busy().is_empty());
}

#[test]
fn a_slot_is_taken_from_the_grant_on_and_free_after_the_end() {
    let sessions = Sessions::default();
    let unopened = sessions.register(offer("new", "i", 1), LONG).unwrap();
    let mut stream = attach(&sessions, "w", 1);
    let view = sessions.idle().pop().unwrap();
    assert_eq!((view.worker.as_str(), view.free_slots), ("w", 1));
    assert_eq!((view.memory_bytes, view.can_stitch), (Some(7), true));
    assert!(
        sessions.busy().is_empty(),
        "one that is not open takes no part"
    );
    drop(unopened);
    let job = job();
    let lease = job.newest_lease();
    let other = sessions.grant("w", Uuid::now_v7(), job.clone());
    assert_eq!(other, Err(Box::new(job.clone())), "another stream's lease");
    assert_eq!(sessions.idle().len(), 1);
    assert_eq!(sessions.grant("w", view.session, job.clone()), Ok(()));
    assert_eq!(stream.orders.try_recv(), Ok(Order::Grant(Box::new(job))));
    assert!(sessions.idle().is_empty());
    let busy = sessions.busy().pop().unwrap();
    assert_eq!((busy.running[0].lease, busy.free_slots), (lease, 0));
    stream.seat.settle(lease);
    assert_eq!(sessions.idle().len(), 1);
    stream.seat.close();
    assert!(sessions.idle().is_empty());
    let unseen = sessions.grant("w", view.session, super::tests::job());
    assert!(unseen.is_err(), "the stream is ending");
}

#[test]
fn a_revoked_lease_keeps_its_slot_until_the_worker_stops_naming_it() {
    let sessions = Sessions::default();
    let stream = attach(&sessions, "w", 1);
    let job = job();
    let lease = job.newest_lease();
    assert!(stream.seat.grant(job).is_ok());
    assert!(stream.seat.stop(lease, false));
    assert!(!stream.seat.stands(lease));
    assert_eq!(stream.seat.free_slots(), 0);
    assert_eq!(stream.seat.beat(&[lease], false, None), [lease]);
    assert_eq!(stream.seat.free_slots(), 0);
    assert!(stream.seat.beat(&[], false, None).is_empty());
    assert_eq!(stream.seat.free_slots(), 1);
    assert!(!stream.seat.stop(lease, false), "nobody has it any more");
    assert_eq!(stream.seat.free_slots(), 1);
}

#[test]
fn draining_and_cordoned_workers_take_no_part() {
    let sessions = Sessions::default();
    let mut stream = attach(&sessions, "w", 1);
    let cordoned = |is_cordoned| Wishes {
        is_cordoned,
        is_drained: false,
    };
    sessions.heed("w", cordoned(true));
    assert!(sessions.idle().is_empty() && sessions.busy().is_empty());
    sessions.heed("w", cordoned(false));
    assert_eq!(sessions.idle().len(), 1);
    stream.seat.beat(&[], true, None);
    assert!(sessions.idle().is_empty());
    stream.seat.beat(&[], false, None);
    let drained = Wishes {
        is_cordoned: true,
        is_drained: true,
    };
    sessions.heed("w", drained);
    sessions.heed("w", drained);
    sessions.heed("nobody", drained);
    assert!(sessions.idle().is_empty());
    assert_eq!(stream.orders.try_recv(), Ok(Order::Drain));
    assert!(stream.orders.try_recv().is_err(), "it is told once");
}

#[test]
fn orders_go_to_who_understands_them() {
    let sessions = Sessions::default();
    let mut old = offer("old", "", 1);
    old.protocol = 1;
    let mut old = sessions.register(old, LONG).unwrap();
    old.seat.open(Vec::new());
    let mut new = attach(&sessions, "new", 1);
    let (first, second) = (job(), job());
    let leases = [first.newest_lease(), second.newest_lease()];
    assert!(old.seat.grant(first).is_ok() && new.seat.grant(second).is_ok());
    for lease in leases {
        assert!(sessions.preempt(lease));
    }
    assert!(!sessions.preempt(job().newest_lease()), "nobody has it");
    let told = |it: &mut Registration| {
        let mut all = std::iter::from_fn(|| it.orders.try_recv().ok());
        all.find(|order| !matches!(order, Order::Grant(_)))
    };
    assert_eq!(told(&mut old), None);
    assert_eq!(told(&mut new), Some(Order::Preempt(leases[1])));
    let wishes = Wishes {
        is_cordoned: false,
        is_drained: true,
    };
    let views: HashMap<String, WorkerView> = sessions
        .busy()
        .into_iter()
        .map(|view| (view.worker.clone(), view))
        .collect();
    assert!(!views["old"].can_stitch && views["old"].running.is_empty());
    assert!(views["new"].can_stitch && !views["new"].running.is_empty());
    sessions.heed("old", wishes);
    assert_eq!(told(&mut old), None);
}

#[test]
fn progress_never_goes_back_within_an_attempt() {
    let sessions = Sessions::default();
    let stream = attach(&sessions, "w", 1);
    let job = job();
    let lease = job.newest_lease();
    assert!(stream.seat.grant(job).is_ok());
    for (said, kept) in [
        (at(Stage::Denoising, 4), at(Stage::Denoising, 4)),
        (at(Stage::Denoising, 2), at(Stage::Denoising, 4)),
        (at(Stage::Loading, 9), at(Stage::Denoising, 4)),
        (at(Stage::Decoding, 0), at(Stage::Decoding, 0)),
    ] {
        let advanced = stream.seat.advance(lease, said);
        assert_eq!((advanced.stage, advanced.step), (kept.stage, kept.step));
    }
    for (said, kept) in [(0.5, 0.5), (0.2, 0.5), (f64::NAN, 0.5), (7.0, 1.0)] {
        let mut progress = at(Stage::Decoding, 1);
        progress.fraction = said;
        stream.seat.advance(lease, progress);
        let fraction = sessions.busy()[0].running[0].fraction;
        assert!((fraction - kept).abs() < 1e-9, "{said} made it {fraction}");
    }
}

#[test]
fn kept_leases_take_their_slots_again() {
    let sessions = Sessions::default();
    let stream = sessions.register(offer("w", "i", 2), LONG).unwrap();
    let mut interrupted = job();
    (interrupted.attempt, interrupted.failed_attempts) = (4, 1);
    let standing = [Some(interrupted), None].map(|job| Standing {
        lease: job
            .as_ref()
            .map_or_else(|| self::job().newest_lease(), Job::newest_lease),
        job,
    });
    stream.seat.open(standing.into());
    let view = sessions.busy().pop().unwrap();
    assert_eq!((view.running.len(), view.running[0].preemptions), (1, 2));
}
