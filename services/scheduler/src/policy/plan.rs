//! The plan: which job goes to which worker, and whose lease is to be handed back.

use std::collections::HashSet;
use std::time::Duration;

use super::lines::{Caps, Line, lines, slack};
use super::pool::{Pool, Reach, Soon, fits, offers};
use super::preemption::{Preemptor, Wish};
use super::turns::Turns;
use super::{Assignment, Candidate, Plan, PolicyOptions, Raise, Snapshot, WorkerView, waited};
use crate::domain::job::{Priority, Time};

/// Classes, and those they come to by waiting.
const RAISES: [(Priority, Priority); 3] = [
    (Priority::Standard, Priority::Interactive),
    (Priority::Batch, Priority::Standard),
    (Priority::Batch, Priority::Interactive),
];

/// Everything a plan depends on, besides the options.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What waits.
    pub snapshot: &'a Snapshot,
    /// Workers with a free slot.
    pub idle: &'a [WorkerView],
    /// Workers without one. What they run tells whether it is worth to wait for them, or to pre-empt them; may be
    /// left out, or a little old.
    pub busy: &'a [WorkerView],
    /// What this process remembers.
    pub turns: &'a Turns,
    /// The present.
    pub now: Time,
}

/// Decides who gets what. Depends on nothing but its arguments, and not on the order of lanes and workers.
///
/// Assigns each job once, to a worker that offers its model and has memory and a free slot for it, and never more
/// jobs of an owner or a tenant than may run. The store checks all of it again when it leases.
#[must_use]
pub fn plan(situation: &Situation<'_>, options: &PolicyOptions) -> Plan {
    let mut planner = Planner::new(situation, options);
    planner.find_places();
    planner.raise_aged();
    planner.align_raised(situation.turns);
    for level in [Priority::Interactive, Priority::Standard, Priority::Batch] {
        planner.serve(level, Reach::Resident);
        planner.serve(level, Reach::Any);
    }
    planner.preempt(situation);
    planner.plan
}

struct Planner<'a> {
    options: &'a PolicyOptions,
    now: Time,
    lines: Vec<Line<'a>>,
    pool: Pool<'a>,
    caps: Caps<'a>,
    soon: Soon<'a>,
    /// Slots of the fleet, busy ones included.
    slots: u32,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn new(situation: &Situation<'a>, options: &'a PolicyOptions) -> Self {
        let lanes = situation.snapshot.lanes.iter();
        let wanted: HashSet<&str> = lanes.map(|lane| lane.model.as_str()).collect();
        let idle = situation.idle.iter();
        let running = |worker: &WorkerView| u32::try_from(worker.running.len()).unwrap_or(u32::MAX);
        let slots = idle
            .map(|worker| worker.free_slots.saturating_add(running(worker)))
            .chain(situation.busy.iter().map(running))
            .fold(0, u32::saturating_add);
        Self {
            options,
            now: situation.now,
            lines: lines(situation.snapshot, situation.turns),
            pool: Pool::new(situation.idle, &wanted),
            caps: Caps::new(situation.snapshot),
            soon: Soon::new(situation.busy, options.affinity_patience, situation.now),
            slots,
            plan: Plan::default(),
        }
    }

    fn find_places(&mut self) {
        let Self {
            lines, pool, caps, ..
        } = self;
        for line in lines {
            let model = line.model;
            line.find_places(|lane, jobs| {
                !caps.is_full(lane) && jobs.iter().any(|job| pool.has_place(model, job))
            });
        }
    }

    /// Raises classes to the ones that their longest waiting jobs count as.
    ///
    /// A whole class, on workers that such a job could have: age must not decide *within* a class, because there the
    /// oldest jobs are those of whoever floods it.
    fn raise_aged(&mut self) {
        for aged in 0..self.lines.len() {
            let Some((level, worker)) = self.oldest(aged) else {
                continue;
            };
            let class = self.lines[aged].priority;
            for line in &mut self.lines {
                if line.priority == class && level < line.level && offers(worker, line.model) {
                    line.level = level;
                }
            }
        }
    }

    /// Counts the turns of raised classes from where the class is that they have reached. What they could not have
    /// below gives them no claim above: they would take everything until they have caught up.
    fn align_raised(&mut self, turns: &Turns) {
        for (class, level) in RAISES {
            let is_raised = |line: &Line<'_>| line.priority == class && line.level == level;
            let Some(own) = earliest(&self.lines, is_raised) else {
                continue;
            };
            let above = earliest(&self.lines, |line| {
                line.level == level && line.priority < class
            });
            let lift = match above {
                Some(above) if !turns.is_raised(class, level, self.now) => {
                    above.saturating_sub(own).max(0)
                }
                _ => 0,
            };
            let of_class = self.lines.iter_mut().filter(|line| line.priority == class);
            of_class.for_each(|line| line.lift(lift));
            self.plan.raised.push(Raise { class, level, lift });
        }
    }

    /// The highest class that a job of the queue has come to by waiting, with a worker that is free for it: what
    /// nobody can take, or what may not run, must not lift the others for ever.
    fn oldest(&mut self, line_at: usize) -> Option<(Priority, &'a WorkerView)> {
        let line = &self.lines[line_at];
        let mut oldest = None;
        for at in line.in_order(usize::MAX) {
            let Some(head) = line.jobs(at).first() else {
                continue;
            };
            let level = self.options.aged(line.priority, waited(head, self.now));
            let best = oldest.map_or(line.priority, |(best, _)| best);
            if level < best && !self.caps.is_full(line.lane(at)) {
                let place = self.pool.find(line.model, head, Reach::Any);
                oldest = place.map(|worker| (level, worker)).or(oldest);
            }
        }
        oldest.map(|(level, worker)| (level, self.pool.worker(worker)))
    }

    /// Serves the queues of a level in turn, until nothing more can be placed.
    fn serve(&mut self, level: Priority, reach: Reach) {
        let of_level = |line: &Line<'_>| line.level == level;
        let weight = self
            .lines
            .iter()
            .filter(|line| of_level(line))
            .map(|line| line.weight);
        let slack = slack(self.options.affinity_patience, self.slots, weight.sum());
        let mut active: Vec<usize> = (0..self.lines.len())
            .filter(|&at| of_level(&self.lines[at]))
            .collect();
        while self.plan.assignments.len() < self.options.max_assignments {
            let next = active.iter().copied().min_by_key(|&at| {
                let line = &self.lines[at];
                (line.start, line.priority, line.model)
            });
            let Some(next) = next else { return };
            if !self.place_one(next, reach, slack) {
                active.retain(|&at| at != next);
            }
        }
    }

    /// Assigns one job of a queue, the first in its order that has a place.
    fn place_one(&mut self, line_at: usize, reach: Reach, slack: i64) -> bool {
        for at in self.lines[line_at].in_order(self.options.look_ahead) {
            if self.caps.is_full(self.lines[line_at].lane(at)) {
                self.lines[line_at].close(at);
                continue;
            }
            let jobs = self.lines[line_at].jobs(at).len();
            for job_at in 0..jobs {
                let line = &self.lines[line_at];
                let job = line.jobs(at)[job_at];
                let Some(worker) = self.pool.find(line.model, job, reach) else {
                    continue;
                };
                let is_left = match reach {
                    Reach::Resident => self.belongs_to_another(line_at, worker, slack),
                    Reach::Any => self.waits_for_weights(line_at, job),
                };
                if !is_left {
                    self.assign(line_at, (at, job_at), worker);
                    return true;
                }
            }
        }
        false
    }

    /// Whether a worker that has this queue's model in memory is due to one that is too far behind.
    fn belongs_to_another(&self, line_at: usize, worker: usize, slack: i64) -> bool {
        let own = &self.lines[line_at];
        let worker = self.pool.worker(worker);
        self.lines.iter().any(|other| {
            other.level == own.level
                && other.model != own.model
                && other.due.saturating_add(slack) < own.start
                && other.front().is_some_and(|front| {
                    waited(front, self.now) >= self.options.affinity_patience
                        && fits(worker, other.model, front.pixels)
                })
        })
    }

    /// Whether a young job does better to wait a moment than to have its weights loaded elsewhere.
    fn waits_for_weights(&mut self, line_at: usize, job: &Candidate) -> bool {
        let model = self.lines[line_at].model;
        let patience = self
            .options
            .affinity_patience
            .saturating_sub(waited(job, self.now));
        patience > Duration::ZERO
            && self.pool.find(model, job, Reach::Resident).is_none()
            && self.soon.is_worth_waiting(model, job, patience)
    }

    fn assign(&mut self, line_at: usize, (at, job_at): (usize, usize), worker: usize) {
        let line = &mut self.lines[line_at];
        let lane = line.lane(at);
        self.caps.add(lane);
        let job = line.take(at, job_at);
        let worker = self.pool.take(worker);
        self.plan.assignments.push(Assignment {
            job: job.job,
            owner: lane.owner.clone(),
            tenant: lane.tenant.clone(),
            worker: worker.worker.clone(),
            session: worker.session,
        });
    }

    /// Asks for the places of lower classes, for interactive jobs that found none.
    fn preempt(&mut self, situation: &Situation<'_>) {
        if self.plan.assignments.len() >= self.options.max_assignments {
            // Some have not been tried yet.
            return;
        }
        let mut preemptor = None;
        for line in &self.lines {
            if line.priority != Priority::Interactive {
                continue;
            }
            for at in line.in_order(self.options.look_ahead) {
                let lane = line.lane(at);
                let Some(job) = line.jobs(at).first() else {
                    continue;
                };
                // An idle worker that could take it is one that it has chosen not to wait for.
                if self.caps.is_full(lane) || self.pool.has_place(line.model, job) {
                    continue;
                }
                let wish = Wish {
                    model: line.model,
                    job,
                };
                let preemptor =
                    preemptor.get_or_insert_with(|| Preemptor::new(situation, self.options));
                if let Some(preemption) = preemptor.find(wish) {
                    self.caps.add(lane);
                    self.plan.preemptions.push(preemption);
                }
            }
        }
    }
}

fn earliest(lines: &[Line<'_>], keep: impl Fn(&Line<'_>) -> bool) -> Option<i64> {
    let kept = lines.iter().filter(|line| keep(line));
    kept.map(|line| line.start).min()
}
