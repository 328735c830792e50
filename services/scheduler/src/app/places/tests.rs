use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::domain::job::{Need, NeedRole, VideoSpec};
use crate::policy::{Candidate, Lane};

const MINUTE: Duration = Duration::from_secs(60);
const ONE_BUSY: Capacity = Capacity { slots: 1, free: 0 };

impl Places {
    /// What took longer to read is used for longer.
    pub fn pretend_look_took(&self, model: &str, took: Duration) {
        let queue = self.queue(model);
        let mut newest = queue.newest.lock();
        newest.as_mut().expect("a look").took = took;
    }
}

fn now() -> Time {
    Time::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn job(owner: &str) -> Job {
    let spec = VideoSpec {
        model: "tiny".to_owned(),
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
    Job {
        estimated_cost: MINUTE,
        ..Job::queued(JobId::generate(), owner.to_owned(), spec, now())
    }
}

fn ready(job: &Job) -> ReadyJob {
    ReadyJob {
        id: job.id,
        owner: job.owner.clone(),
        estimated_cost: job.estimated_cost,
    }
}

/// A look at the jobs of one class, of which the first eight of each owner are in the snapshot.
fn board(jobs: &[Job], summed_up: Option<&QueueLoad>) -> Board {
    let mut lanes: Vec<Lane> = Vec::new();
    for job in jobs {
        let lane = match lanes.iter_mut().find(|lane| lane.owner == job.owner) {
            Some(lane) => lane,
            None => {
                lanes.push(Lane {
                    model: "tiny".to_owned(),
                    priority: job.priority,
                    owner: job.owner.clone(),
                    tenant: job.tenant.clone(),
                    start_tag: 0,
                    weight: 100,
                    jobs: Vec::new(),
                    has_more: false,
                });
                lanes.last_mut().expect("one")
            }
        };
        if lane.jobs.len() < 8 {
            lane.jobs.push(Candidate {
                job: job.id,
                ready_since: job.run_at,
                estimated_cost: job.estimated_cost,
                pixels: 1,
                last_worker: None,
            });
        }
    }
    let snapshot = Snapshot {
        lanes,
        ..Snapshot::default()
    };
    let mut board = Board {
        began: Instant::now(),
        took: Duration::ZERO,
        snapshot,
        capacity: ONE_BUSY,
        loads: Vec::new(),
        lines: HashMap::new(),
        cuts: Vec::new(),
    };
    let read = jobs.iter().map(ready).collect();
    board.add_class("tiny", Priority::Standard, read, summed_up);
    board
}

fn place(ahead: u64, minutes: u32) -> QueuePlace {
    QueuePlace {
        ahead,
        wait: Some(MINUTE * minutes),
    }
}

#[test]
fn jobs_of_one_owner_are_told_their_turns_and_waits() {
    let jobs: Vec<Job> = (0..3).map(|_| job("anna")).collect();
    let mut board = board(&jobs, None);
    let places: Vec<_> = jobs
        .iter()
        .map(|job| board.place(job, true, now()))
        .collect();
    assert_eq!(places, [place(0, 1), place(1, 2), place(2, 3)]);
}

#[test]
fn job_that_came_after_the_look_stands_behind_those_before_it() {
    let first = job("anna");
    let mut board = board(std::slice::from_ref(&first), None);
    let later: Vec<Job> = (0..3).map(|_| job("anna")).collect();
    for (ahead, job) in (1..).zip(&later) {
        assert_eq!(board.place(job, true, now()).ahead, ahead);
    }
    assert_eq!(board.place(&later[0], true, now()).ahead, 1, "asked again");
    // One that is asked about before it is submitted is not in anybody's way.
    let asked = job("anna");
    assert_eq!(board.place(&asked, false, now()).ahead, 4);
    assert_eq!(board.place(&asked, false, now()).ahead, 4);
}

#[test]
fn light_owner_stands_before_the_backlog_of_a_heavy_one() {
    let mut jobs: Vec<Job> = (0..50).map(|_| job("heavy")).collect();
    jobs.push(job("light"));
    let mut board = board(&jobs, None);
    assert!(board.place(&jobs[50], true, now()).ahead <= 1);
    assert!(board.place(&jobs[49], true, now()).ahead >= 49);
}

#[test]
fn job_beyond_what_was_read_is_told_of_all_that_waits() {
    let jobs: Vec<Job> = (0..MOST_READ).map(|_| job("heavy")).collect();
    let summed_up = QueueLoad {
        model: "tiny".to_owned(),
        priority: Priority::Standard,
        jobs: 1_000_000,
        cost: MINUTE * 1_000_000,
    };
    let mut board = board(&jobs, Some(&summed_up));
    assert_eq!(board.place(&job("heavy"), true, now()).ahead, 1_000_000);
    assert!(board.place(&job("light"), true, now()).ahead <= 1);
    assert_eq!(board.place(&jobs[7], true, now()).ahead, 7);
}

#[test]
fn job_that_may_not_be_leased_yet_waits_for_its_time_or_nobody_knows() {
    let mut board = board(&[], None);
    let hour = Duration::from_secs(3600);
    let scheduled = Job {
        run_at: now() + hour,
        ..job("anna")
    };
    assert_eq!(board.place(&scheduled, true, now()).wait, Some(hour));
    let mut waiting = job("anna");
    waiting.needs.push(Need {
        job: JobId::generate(),
        role: NeedRole::Part,
        is_met: false,
        part: None,
    });
    assert_eq!(board.place(&waiting, true, now()).wait, None);
    assert_eq!(
        board.place(&job("anna"), true, now()).ahead,
        0,
        "neither stands in its way"
    );
}

#[test]
fn waits_are_rounded_up_to_steps_that_matter() {
    let waits = [
        (0, 0),
        (1, 1),
        (59_001, 60),
        (61_000, 70),
        (601_000, 660),
        (7_201_000, 7_800),
    ];
    for (millis, seconds) in waits {
        let wait = rounded(Duration::from_millis(millis));
        assert_eq!(wait, Duration::from_secs(seconds), "{millis} ms");
    }
}
