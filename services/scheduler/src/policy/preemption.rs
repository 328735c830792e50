//! Whose lease is handed back for a job of a higher class.

use std::time::Duration;

use super::pool::fits;
use super::{Candidate, PolicyOptions, Preemption, Running, Situation, WorkerView};
use crate::domain::job::{Priority, Time};

/// Chooses victims.
pub(super) struct Preemptor<'a> {
    situation: &'a Situation<'a>,
    options: &'a PolicyOptions,
    /// The best first: the lowest class, then the attempt that has got least far.
    victims: Vec<(&'a WorkerView, &'a Running)>,
    found: usize,
}

/// A job that found no place.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub model: &'a str,
    pub job: &'a Candidate,
}

impl<'a> Preemptor<'a> {
    pub fn new(situation: &'a Situation<'a>, options: &'a PolicyOptions) -> Self {
        let mut victims: Vec<_> = situation
            .busy
            .iter()
            .filter(|worker| {
                let latest = situation.turns.preempted(&worker.worker);
                !is_recent(latest, options.preemption_pause, situation.now)
            })
            .flat_map(|worker| worker.running.iter().map(move |it| (worker, it)))
            .filter(|(_, running)| {
                running.priority > Priority::Interactive
                    && running.fraction < options.preemption_below
                    && running.preemptions < options.preemptions_of_a_job
            })
            .collect();
        victims.sort_by(|(_, a), (_, b)| {
            let by_class = b.priority.cmp(&a.priority);
            let by_loss = a.fraction.total_cmp(&b.fraction);
            by_class.then(by_loss).then(a.lease.job.cmp(&b.lease.job))
        });
        Self {
            situation,
            options,
            victims,
            found: 0,
        }
    }

    /// A lease to take back for a job, at most one of each worker.
    pub fn find(&mut self, wish: Wish<'_>) -> Option<Preemption> {
        let helped = self.situation.turns.helped(wish.job.job);
        let pause = self.options.preemption_pause;
        let is_enough = self.found >= self.options.max_preemptions;
        if is_enough || is_recent(helped, pause, self.situation.now) {
            return None;
        }
        let can_run = |worker: &WorkerView| fits(worker, wish.model, wish.job.pixels);
        let first = self
            .victims
            .iter()
            .position(|(worker, _)| can_run(worker))?;
        let class = self.victims[first].1.priority;
        // Of the same class rather one that need not load weights.
        let resident = self.victims.iter().position(|(worker, running)| {
            running.priority == class
                && worker.resident.iter().any(|it| it == wish.model)
                && can_run(worker)
        });
        let (worker, running) = self.victims[resident.unwrap_or(first)];
        self.victims
            .retain(|(other, _)| other.worker != worker.worker);
        self.found += 1;
        Some(Preemption {
            lease: running.lease,
            worker: worker.worker.clone(),
            waiting: wish.job.job,
        })
    }
}

fn is_recent(latest: Option<Time>, pause: Duration, now: Time) -> bool {
    latest.is_some_and(|latest| (now - latest).to_std().unwrap_or_default() < pause)
}
