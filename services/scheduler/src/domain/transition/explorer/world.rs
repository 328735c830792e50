//! The small world: what is in it, and what can happen next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use kinora_ids::{JobId, LeaseRef};

use crate::domain::job::{
    Checkpoint, Event, Failure, Job, Need, NeedRole, Outputs, State, Time, VideoSpec,
};
use crate::domain::retry::{PREEMPTED, RetryPolicy, WORKER_LOST};
use crate::domain::transition::tests::{failure, outputs, queued, start};
use crate::domain::transition::{
    Reporter, StaleLease, approve, cancel, checkpoint, claim, complete, expire, fail, lose,
    need_lost, need_met,
};

pub const LIMIT: Duration = Duration::from_secs(60);

const WORKERS: [&str; 2] = ["w0", "w1"];

/// How large the world is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Jobs; the second one needs the first.
    pub jobs: usize,
    /// Whether the job makes a preview first.
    pub has_preview: bool,
    /// Denoising steps of an attempt; each stores a checkpoint.
    pub steps: u32,
    /// Attempts that may fail.
    pub max_attempts: u32,
    /// Times that a worker gives a job back.
    pub hand_backs: u32,
    /// Reports under way at a time.
    pub messages: usize,
    /// Leases that a worker believes to hold at a time.
    pub tasks: usize,
}

impl Shape {
    pub const fn single() -> Self {
        Self {
            jobs: 1,
            has_preview: false,
            steps: 1,
            max_attempts: 2,
            hand_backs: 1,
            messages: 1,
            tasks: 1,
        }
    }

    /// Two reports under way at a time, so that they overtake each other.
    pub const fn crowded() -> Self {
        Self {
            messages: 2,
            ..Self::single()
        }
    }

    pub const fn preview() -> Self {
        Self {
            has_preview: true,
            steps: 0,
            max_attempts: 2,
            hand_backs: 0,
            ..Self::single()
        }
    }

    pub const fn chain() -> Self {
        Self {
            jobs: 2,
            steps: 0,
            max_attempts: 2,
            hand_backs: 0,
            ..Self::single()
        }
    }

    const fn policy(self) -> RetryPolicy {
        RetryPolicy {
            max_attempts: self.max_attempts,
            base_delay: Duration::ZERO,
        }
    }
}

type Complete = fn(&mut Job, Reporter<'_>, Outputs, Time) -> Result<Option<Event>, StaleLease>;

/// The rules under test. Some tests break one.
pub struct Rules {
    pub claim: fn(&mut Job, &str, Time) -> Option<Event>,
    pub complete: Complete,
    pub need_lost: fn(&mut Job, JobId, State, Time) -> Option<Event>,
}

impl Rules {
    pub fn real() -> Self {
        Self {
            claim: |job, worker, now| claim(job, worker, now, LIMIT),
            complete: |job, from, outputs, now| complete(job, from, outputs, None, now),
            need_lost,
        }
    }
}

/// A lease that a worker believes to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task {
    pub job: usize,
    pub lease: u64,
    pub step: u32,
    /// The work is done and stored; its report may have to be repeated.
    pub is_done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Report {
    Checkpoint(u32),
    Completed,
    Failed,
    HandedBack,
}

/// A report under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    pub worker: usize,
    pub job: usize,
    pub lease: u64,
    pub report: Report,
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Claim {
        job: usize,
        worker: usize,
    },
    /// The worker finishes a step, or the whole attempt.
    Work {
        worker: usize,
        task: Task,
    },
    Repeat {
        worker: usize,
        task: Task,
    },
    Fail {
        worker: usize,
        task: Task,
    },
    HandBack {
        worker: usize,
        task: Task,
    },
    Crash {
        worker: usize,
    },
    /// `again`: it will arrive once more. `heard`: the worker gets the receipt.
    Deliver {
        message: Message,
        again: bool,
        heard: bool,
    },
    Drop {
        message: Message,
    },
    /// The scheduler believes the worker lost, rightly or not.
    Lapse {
        job: usize,
    },
    Cancel {
        job: usize,
    },
    Approve {
        job: usize,
    },
    TimePasses,
    Expire {
        job: usize,
    },
}

#[derive(Clone, Debug)]
pub struct World {
    pub shape: Shape,
    /// Shared between worlds until one changes.
    pub jobs: Vec<Arc<Job>>,
    pub tasks: [BTreeSet<Task>; 2],
    pub network: BTreeSet<Message>,
    /// Stored objects, by job and lease.
    pub objects: BTreeSet<(usize, u64)>,
    pub is_late: bool,
    pub hand_backs: u32,
}

impl World {
    pub fn new(shape: Shape) -> Self {
        let mut jobs: Vec<Job> = (0..shape.jobs).map(|_| queued()).collect();
        for job in &mut jobs {
            job.spec.steps = shape.steps;
            job.preview_spec = shape.has_preview.then(|| VideoSpec { ..job.spec.clone() });
            job.expire_at = Some(start() + TimeDelta::days(1));
        }
        if let [first, second] = &mut jobs[..] {
            second.expire_at = None;
            second.needs = vec![Need {
                job: first.id,
                role: NeedRole::Part,
                is_met: false,
                part: None,
            }];
        }
        Self {
            shape,
            jobs: jobs.into_iter().map(Arc::new).collect(),
            tasks: [BTreeSet::new(), BTreeSet::new()],
            network: BTreeSet::new(),
            objects: BTreeSet::new(),
            is_late: false,
            hand_backs: 0,
        }
    }

    pub fn now(&self) -> Time {
        // The retention ends long after.
        start() + TimeDelta::days(if self.is_late { 2 } else { 0 })
    }

    /// All that can happen next.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for job in 0..self.jobs.len() {
            self.actions_on(job, &mut actions);
        }
        for worker in 0..WORKERS.len() {
            self.actions_of(worker, &mut actions);
        }
        for &message in &self.network {
            let is_end = message.report == Report::Completed;
            for (again, heard) in [(false, true), (true, true), (false, false)] {
                if heard || is_end {
                    actions.push(Action::Deliver {
                        message,
                        again,
                        heard,
                    });
                }
            }
            actions.push(Action::Drop { message });
        }
        if !self.is_late {
            actions.push(Action::TimePasses);
        }
        actions
    }

    fn actions_on(&self, job: usize, actions: &mut Vec<Action>) {
        match self.jobs[job].state {
            State::Queued => {
                let free = |worker: &usize| self.tasks[*worker].len() < self.shape.tasks;
                let free = (0..WORKERS.len()).filter(free);
                actions.extend(free.map(|worker| Action::Claim { job, worker }));
                actions.push(Action::Expire { job });
            }
            State::AwaitingApproval => {
                actions.extend([Action::Approve { job }, Action::Expire { job }]);
            }
            State::Running => actions.push(Action::Lapse { job }),
            _ => {}
        }
        // On jobs that have ended as well: it must change nothing.
        actions.push(Action::Cancel { job });
    }

    fn actions_of(&self, worker: usize, actions: &mut Vec<Action>) {
        if !self.tasks[worker].is_empty() {
            actions.push(Action::Crash { worker });
        }
        if self.network.len() >= self.shape.messages {
            return;
        }
        for &task in &self.tasks[worker] {
            if task.is_done {
                actions.push(Action::Repeat { worker, task });
                continue;
            }
            actions.extend([Action::Work { worker, task }, Action::Fail { worker, task }]);
            if self.hand_backs < self.shape.hand_backs {
                actions.push(Action::HandBack { worker, task });
            }
        }
    }

    /// The world after `action`.
    pub fn after(&self, action: Action, rules: &Rules) -> Self {
        let mut next = self.clone();
        let now = next.now();
        match action {
            Action::Claim { job, worker } => next.claim(job, worker, rules),
            Action::Work { worker, task } => next.work(worker, task),
            Action::Repeat { worker, task } => next.send(worker, task, Report::Completed),
            Action::Fail { worker, task } => next.give_up(worker, task, Report::Failed),
            Action::HandBack { worker, task } => {
                next.hand_backs += 1;
                next.give_up(worker, task, Report::HandedBack);
            }
            Action::Crash { worker } => next.tasks[worker].clear(),
            Action::Drop { message } => {
                next.network.remove(&message);
            }
            Action::Deliver {
                message,
                again,
                heard,
            } => {
                if !again {
                    next.network.remove(&message);
                }
                next.deliver(message, heard, rules);
            }
            Action::Lapse { job } => {
                let policy = next.shape.policy();
                lose(next.job(job), failure(WORKER_LOST), now, &policy);
            }
            Action::Cancel { job } => drop(cancel(next.job(job), now)),
            Action::Approve { job } => drop(approve(next.job(job), LIMIT, now)),
            Action::TimePasses => next.is_late = true,
            Action::Expire { job } => drop(expire(next.job(job), now)),
        }
        next.settle(self, rules);
        next
    }

    fn job(&mut self, job: usize) -> &mut Job {
        Arc::make_mut(&mut self.jobs[job])
    }

    fn claim(&mut self, job: usize, worker: usize, rules: &Rules) {
        let now = self.now();
        let leased = self.job(job);
        if (rules.claim)(leased, WORKERS[worker], now).is_some() {
            let task = Task {
                job,
                lease: leased.lease,
                step: leased.checkpoint.as_ref().map_or(0, |granted| granted.step),
                is_done: false,
            };
            self.tasks[worker].insert(task);
        }
    }

    fn work(&mut self, worker: usize, task: Task) {
        self.tasks[worker].remove(&task);
        if task.step < self.shape.steps {
            let step = task.step + 1;
            self.tasks[worker].insert(Task { step, ..task });
            self.send(worker, task, Report::Checkpoint(step));
        } else {
            self.objects.insert((task.job, task.lease));
            self.tasks[worker].insert(Task {
                is_done: true,
                ..task
            });
            self.send(worker, task, Report::Completed);
        }
    }

    fn give_up(&mut self, worker: usize, task: Task, report: Report) {
        self.tasks[worker].remove(&task);
        self.send(worker, task, report);
    }

    fn send(&mut self, worker: usize, task: Task, report: Report) {
        let Task { job, lease, .. } = task;
        self.network.insert(Message {
            worker,
            job,
            lease,
            report,
        });
    }

    fn deliver(&mut self, message: Message, heard: bool, rules: &Rules) {
        let (now, policy) = (self.now(), self.shape.policy());
        let job = self.job(message.job);
        let lease = LeaseRef {
            job: job.id,
            lease: message.lease,
        };
        let from = Reporter {
            worker: WORKERS[message.worker],
            lease,
        };
        match message.report {
            Report::Checkpoint(step) => drop(checkpoint(job, from, stored(lease, step))),
            Report::Failed => drop(fail(job, from, failure("X"), None, now, (&policy, 0.0))),
            Report::HandedBack => {
                let given_back = Failure {
                    ..failure(PREEMPTED)
                };
                drop(fail(job, from, given_back, None, now, (&policy, 0.0)));
            }
            Report::Completed => {
                let is_accepted = (rules.complete)(job, from, made(lease), now).is_ok();
                if heard {
                    self.receive_receipt(message, is_accepted);
                }
            }
        }
    }

    /// A worker whose report is refused removes what it stored; one that is not waiting for a receipt ignores it.
    fn receive_receipt(&mut self, message: Message, is_accepted: bool) {
        let is_meant =
            |task: &Task| task.is_done && (task.job, task.lease) == (message.job, message.lease);
        let waiting = self.tasks[message.worker].iter().copied().find(is_meant);
        if let Some(task) = waiting {
            self.tasks[message.worker].remove(&task);
            if !is_accepted {
                self.objects.remove(&(task.job, task.lease));
            }
        }
    }

    /// What is done in the transaction of an end: objects that nobody needs go, and jobs that wait are told.
    fn settle(&mut self, before: &Self, rules: &Rules) {
        let now = self.now();
        for index in 0..self.jobs.len() {
            let job = Arc::clone(&self.jobs[index]);
            if job.state == before.jobs[index].state || !job.state.is_terminal() {
                continue;
            }
            let is_kept = |lease: u64| {
                let lease = LeaseRef { job: job.id, lease };
                lease.lease == job.lease || job.has_preview_of(lease)
            };
            let is_completed = job.state == State::Completed;
            self.objects
                .retain(|(at, lease)| *at != index || (is_completed && is_kept(*lease)));
            for waiting in index + 1..self.jobs.len() {
                if is_completed {
                    need_met(self.job(waiting), &job, now);
                } else {
                    (rules.need_lost)(self.job(waiting), job.id, job.state, now);
                }
            }
        }
    }
}

pub fn made(lease: LeaseRef) -> Outputs {
    Outputs {
        video_key: format!("{}v", lease.object_prefix()),
        ..outputs()
    }
}

fn stored(lease: LeaseRef, step: u32) -> Checkpoint {
    Checkpoint {
        key: lease.checkpoint_key(step),
        step,
        sha256: String::new(),
        bytes: 1,
        lease: 0,
        granted_step: 0,
    }
}
