//! Every history of a small world: a few jobs, two workers, a network that delays, repeats and loses messages.
//!
//! The search applies the real rules in every order that the world allows, from the submission to where nothing new
//! happens, and checks the [`invariants`] on every step. A worker may crash or go on as a zombie at any moment, since the
//! scheduler may believe it lost at any moment; reports arrive late, twice or never; receipts are lost; owners cancel
//! and approve whenever they like. What bounds the world is in [`world::Shape`].
//!
//! That the search finds anything is shown by rules that are broken on purpose.

mod invariants;
mod search;
mod world;

use super::{Reporter, StaleLease, claim, complete};
use crate::domain::job::{Event, Job, Outputs, State, Time};
use search::{Found, explore};
use world::{LIMIT, Rules, Shape};

fn proven(shape: Shape, fewest_states: usize) {
    let found = match explore(shape, &Rules::real()) {
        Ok(found) => found,
        Err(broken) => panic!("{broken}"),
    };
    let Found {
        states,
        steps,
        ends,
    } = found;
    println!("{shape:?}: {states} states, {steps} steps, {ends} of them ends");
    assert!(
        states >= fewest_states,
        "{states} states only: the world does nothing"
    );
    assert!(ends > 0, "nothing ever ends");
}

fn refuted(shape: Shape, rules: &Rules, expected: &str) {
    let broken = explore(shape, rules).expect_err("a broken rule must be found");
    assert!(broken.contains(expected), "{broken}");
}

#[test]
fn one_job_has_one_outcome_in_every_history() {
    proven(Shape::single(), 10_000);
}

#[test]
#[ignore = "two minutes without optimisation; `make chaos` runs it"]
fn reports_that_overtake_each_other_change_no_outcome() {
    proven(Shape::crowded(), 200_000);
}

#[test]
fn preview_approval_and_clip_keep_their_promises_in_every_history() {
    proven(Shape::preview(), 8_000);
}

#[test]
fn job_that_needs_another_ends_with_it_in_every_history() {
    proven(Shape::chain(), 2_000);
}

#[test]
fn search_finds_a_completion_that_ignores_the_fence() {
    fn unfenced(
        job: &mut Job,
        _: Reporter<'_>,
        outputs: Outputs,
        now: Time,
    ) -> Result<Option<Event>, StaleLease> {
        let holder = job.worker.clone().unwrap_or_default();
        let newest = Reporter {
            worker: &holder,
            lease: job.newest_lease(),
        };
        complete(job, newest, outputs, None, now)
    }
    let rules = Rules {
        complete: unfenced,
        ..Rules::real()
    };
    refuted(Shape::single(), &rules, "a stale report changed the job");
}

#[test]
fn search_finds_a_lease_number_that_is_used_twice() {
    fn reused(job: &mut Job, worker: &str, now: Time) -> Option<Event> {
        let event = claim(job, worker, now, LIMIT);
        job.lease = job.lease.min(1);
        event
    }
    let rules = Rules {
        claim: reused,
        ..Rules::real()
    };
    refuted(Shape::single(), &rules, "a claim did not raise the lease");
}

#[test]
fn search_finds_a_repeated_preview_report_that_is_refused() {
    fn forgetful(
        job: &mut Job,
        reporter: Reporter<'_>,
        outputs: Outputs,
        now: Time,
    ) -> Result<Option<Event>, StaleLease> {
        if job.state != State::Running {
            return Err(StaleLease);
        }
        complete(job, reporter, outputs, None, now)
    }
    let rules = Rules {
        complete: forgetful,
        ..Rules::real()
    };
    refuted(
        Shape::preview(),
        &rules,
        "objects that the job names are gone",
    );
}

#[test]
fn search_finds_a_job_that_waits_for_ever() {
    let rules = Rules {
        need_lost: |_, _, _, _| None,
        ..Rules::real()
    };
    refuted(Shape::chain(), &rules, "can never end");
}
