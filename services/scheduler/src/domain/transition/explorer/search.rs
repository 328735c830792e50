//! Breadth-first through all states, with the way to each.

use std::collections::HashMap;
use std::fmt::Write;

use super::invariants::check;
use super::world::{Action, Message, Rules, Shape, Task, World};
use crate::domain::job::{Job, State};

/// A larger world is a mistake in its shape: nobody waits for it.
const MOST_STATES: usize = 400_000;

/// What the search has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub states: usize,
    pub steps: usize,
    /// States in which every job has ended.
    pub ends: usize,
}

/// What tells two states apart. Numbers that only count up, and times, are left out: no rule decides by them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    jobs: Vec<JobKey>,
    tasks: Vec<(usize, Task)>,
    network: Vec<Message>,
    objects: Vec<(usize, u64)>,
    is_late: bool,
    hand_backs: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct JobKey {
    state: &'static str,
    lease: u64,
    worker: Option<bool>,
    counts: [u32; 3],
    checkpoint: Option<(u64, u32, u32)>,
    preview: Option<String>,
    flags: [bool; 3],
}

/// Where a state was first seen from, and by what.
struct Origin {
    from: usize,
    action: Option<Action>,
}

/// Visits every state of the world.
///
/// # Errors
/// The first broken invariant, with the way there.
pub fn explore(shape: Shape, rules: &Rules) -> Result<Found, String> {
    let first = World::new(shape);
    let mut known = HashMap::from([(key(&first), 0)]);
    let mut origins = vec![Origin {
        from: 0,
        action: None,
    }];
    let mut has_ended = vec![false];
    // Steps that need nobody's mercy, by where they lead to.
    let mut into: Vec<Vec<u32>> = vec![Vec::new()];
    let mut frontier = vec![(0, first)];
    let mut steps = 0;
    while !frontier.is_empty() {
        let mut next_frontier = Vec::new();
        for (at, world) in frontier {
            for action in world.actions() {
                let next = world.after(action, rules);
                steps += 1;
                check(&world, action, &next)
                    .map_err(|broken| story(broken, &origins, at, Some(action)))?;
                let new = known.len();
                let to = *known.entry(key(&next)).or_insert(new);
                if to == new {
                    origins.push(Origin {
                        from: at,
                        action: Some(action),
                    });
                    has_ended.push(next.jobs.iter().all(|job| job.state.is_terminal()));
                    into.push(Vec::new());
                    next_frontier.push((to, next));
                }
                if to != at && !matches!(action, Action::Cancel { .. }) {
                    into[to].push(u32::try_from(at).expect("a small world"));
                }
            }
        }
        frontier = next_frontier;
        if known.len() > MOST_STATES {
            return Err(format!("more than {MOST_STATES} states"));
        }
    }
    if let Some(stuck) = first_stuck(&into, &has_ended) {
        return Err(story("this job can never end", &origins, stuck, None));
    }
    let ends = has_ended.iter().filter(|ended| **ended).count();
    Ok(Found {
        states: known.len(),
        steps,
        ends,
    })
}

/// The first state from which no way leads to an end.
fn first_stuck(into: &[Vec<u32>], has_ended: &[bool]) -> Option<usize> {
    let mut reaches_end = has_ended.to_vec();
    let mut open: Vec<usize> = (0..into.len()).filter(|at| has_ended[*at]).collect();
    while let Some(at) = open.pop() {
        for from in into[at].iter().map(|from| *from as usize) {
            if !reaches_end[from] {
                reaches_end[from] = true;
                open.push(from);
            }
        }
    }
    reaches_end.iter().position(|reaches| !reaches)
}

fn story(broken: &str, origins: &[Origin], at: usize, last: Option<Action>) -> String {
    let mut actions: Vec<Action> = last.into_iter().collect();
    let mut at = at;
    while let Some(action) = origins[at].action {
        actions.push(action);
        at = origins[at].from;
    }
    let mut text = format!("{broken}, after:\n");
    for action in actions.into_iter().rev() {
        let _ = writeln!(text, "  {action:?}");
    }
    text
}

fn key(world: &World) -> Key {
    let tasks = world.tasks.iter().enumerate();
    Key {
        jobs: world.jobs.iter().map(|job| job_key(job)).collect(),
        tasks: tasks
            .flat_map(|(worker, tasks)| tasks.iter().map(move |task| (worker, *task)))
            .collect(),
        network: world.network.iter().copied().collect(),
        objects: world.objects.iter().copied().collect(),
        is_late: world.is_late,
        hand_backs: world.hand_backs,
    }
}

fn job_key(job: &Job) -> JobKey {
    JobKey {
        state: match job.state {
            State::AwaitingApproval => "awaiting",
            State::Queued => "queued",
            State::Running => "running",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Expired => "expired",
        },
        lease: job.lease,
        worker: job.worker.as_deref().map(|worker| worker == "w0"),
        counts: [job.failed_attempts, job.lost_workers, job.hand_backs],
        checkpoint: job
            .checkpoint
            .as_ref()
            .map(|newest| (newest.lease, newest.step, newest.granted_step)),
        preview: job
            .preview_outputs
            .as_ref()
            .map(|made| made.video_key.clone()),
        flags: [
            job.is_approved,
            job.has_what_it_needs(),
            job.expire_at.is_some(),
        ],
    }
}
