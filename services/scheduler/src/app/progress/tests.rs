use chrono::DateTime;

use super::*;
use crate::domain::job::{Stage, VideoSpec};

const LONG: Duration = Duration::from_secs(3600);

fn now() -> Time {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

fn running() -> Job {
    let spec = VideoSpec {
        model: "tiny".to_owned(),
        prompt: "a ball".to_owned(),
        negative_prompt: String::new(),
        width: 64,
        height: 64,
        frames: 5,
        steps: 100,
        guidance: 1.0,
        seed: 7,
        fps: 8,
        image: None,
        last_image: None,
    };
    let mut job = Job::queued(JobId::generate(), "anna".to_owned(), spec, now());
    transition::claim(&mut job, "w", now(), LONG).expect("claims");
    let lease = job.newest_lease();
    transition::advance(&mut job, Reporter { worker: "w", lease }, at(1), now()).expect("stands");
    job
}

fn at(step: u32) -> Progress {
    Progress {
        step,
        fraction: f64::from(step) / 100.0,
        ..Progress::at(Stage::Denoising, 100)
    }
}

fn picture() -> Preview {
    Preview::new(b"RIFF\0\0\0\0WEBP").expect("a WebP")
}

/// A board that has stored the first step, with a report on it that carries a picture.
fn check(worker: &str, lease: u64, progress: &Progress, interval: Duration) -> Noted {
    let (board, job) = (ProgressBoard::default(), running());
    let from = Reporter {
        worker: "w",
        lease: job.newest_lease(),
    };
    let lease = LeaseRef {
        lease,
        ..from.lease
    };
    board.stored(from, job);
    board.note(
        Reporter { worker, lease },
        progress,
        Some(&picture()),
        now(),
        interval,
    )
}

#[test]
fn report_is_stored_when_it_is_due_or_not_sure() {
    let later_stage = Progress::at(Stage::Decoding, 100);
    assert!(matches!(check("w", 1, &at(2), LONG), Noted::Announce(_)));
    assert!(matches!(
        check("w", 1, &at(2), Duration::ZERO),
        Noted::Store
    ));
    assert!(matches!(check("w", 1, &later_stage, LONG), Noted::Store));
    assert!(matches!(check("w", 2, &at(2), LONG), Noted::Store));
    assert!(matches!(check("thief", 1, &at(2), LONG), Noted::Store));
    let fresh = ProgressBoard::default();
    let lease = running().newest_lease();
    let noted = fresh.note(Reporter { worker: "w", lease }, &at(2), None, now(), LONG);
    assert!(
        matches!(noted, Noted::Store),
        "another process may have given numbers out"
    );
}

#[test]
fn numbers_in_between_grow_and_stay_below_the_next_stored_one() {
    let (board, mut job) = (ProgressBoard::default(), running());
    let from = Reporter {
        worker: "w",
        lease: job.newest_lease(),
    };
    board.stored(from, job.clone());
    let mut numbers = vec![job.seq];
    for step in 2..=9 {
        match board.note(from, &at(step), Some(&picture()), now(), LONG) {
            Noted::Announce(event) => numbers.push(event.seq),
            other => panic!("{other:?}"),
        }
    }
    // Whoever knows the row alone, perhaps another replica, goes beyond them.
    let cancelled = transition::cancel(&mut job, now()).expect("was running");
    numbers.push(cancelled.seq);
    assert_eq!(numbers.len(), 10);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn progress_never_falls_and_is_late_until_it_is_stored() {
    let (board, job) = (ProgressBoard::default(), running());
    let from = Reporter {
        worker: "w",
        lease: job.newest_lease(),
    };
    board.stored(from, job.clone());
    assert_eq!(board.late(Duration::ZERO), []);
    board.note(from, &at(50), Some(&picture()), now(), LONG);
    let Noted::Announce(event) = board.note(from, &at(20), Some(&picture()), now(), LONG) else {
        panic!("it is told");
    };
    assert!((event.progress.fraction - 0.5).abs() < 1e-9);
    assert!((board.fraction(from.lease) - 0.5).abs() < 1e-9);
    assert_eq!(board.late(Duration::ZERO), [from.lease]);
    let late = board.late_of(from.lease, Duration::ZERO).expect("late");
    assert_eq!((late.0.as_str(), late.1.step), ("w", 20));
    assert_eq!(board.late(LONG), []);
    board.stored(from, job.clone());
    assert_eq!(board.late(Duration::ZERO), []);
    board.forget(job.id);
    assert!(board.fraction(from.lease) == 0.0);
}

#[test]
fn readers_see_what_is_not_stored_yet_of_the_same_attempt_alone() {
    let (board, job) = (ProgressBoard::default(), running());
    let from = Reporter {
        worker: "w",
        lease: job.newest_lease(),
    };
    board.stored(from, job.clone());
    board.note(from, &at(50), None, now(), LONG);
    let shown = |mut job: Job| {
        board.freshen(&mut job);
        job.progress.step
    };
    assert_eq!(shown(job.clone()), 50);
    let mut changed = job.clone();
    changed.seq += SEQ_STRIDE;
    let mut later = job.clone();
    later.lease += 1;
    let mut ended = job;
    ended.state = State::Cancelled;
    assert_eq!([changed, later, ended].map(shown), [1, 1, 1]);
}

#[test]
fn quick_steps_without_a_picture_are_told_together() {
    let (board, job) = (ProgressBoard::default(), running());
    let from = Reporter {
        worker: "w",
        lease: job.newest_lease(),
    };
    board.stored(from, job);
    assert!(matches!(
        board.note(from, &at(2), None, now(), LONG),
        Noted::Keep
    ));
    let Noted::Announce(event) = board.note(from, &at(3), Some(&picture()), now(), LONG) else {
        panic!("a picture is told at once");
    };
    assert_eq!(event.progress.step, 3);
}
