//! What a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use kinora_scheduler::domain::job::{Priority, Time};

use crate::queue::Timings;
use crate::workload::{Kind, Tenant};

/// Everything that was measured between the warm-up and the end.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub tenants: Vec<TenantOutcome>,
    /// From submission to the first lease, or to the cancel of what was never leased.
    pub waits: Vec<Wait>,
    /// State of the fleet over time.
    pub samples: Vec<Sample>,
    pub submitted: u64,
    pub completed: u64,
    /// Failed for good.
    pub failed: u64,
    /// Taken out of circulation because they cost workers.
    pub quarantined: u64,
    pub cancelled: u64,
    /// Attempts that were recorded, of all jobs.
    pub attempts: u64,
    /// Attempts that failed and were not the last.
    pub failures: u64,
    /// Workers that vanished or fell silent.
    pub vanished: u64,
    /// Leases that these had.
    pub lost_leases: u64,
    /// From the loss of a worker until its job has another one.
    pub re_leases: Vec<Duration>,
    /// Reports under lost leases, all refused.
    pub stale_reports: u64,
    /// Steps that were done, lost and done again.
    pub steps_recomputed: u64,
    /// Leases within the window.
    pub leases: u64,
    /// Leases whose worker had to load weights.
    pub loads: u64,
    pub preemptions: u64,
    /// Device time within the window.
    pub working: Duration,
    pub loading: Duration,
    pub capacity: Duration,
    pub rounds: u64,
    /// What rounds took besides the store.
    pub plans: Vec<Duration>,
    pub timings: Timings,
    /// What submissions took.
    pub submits: Vec<Duration>,
    /// What reports and cancels took.
    pub changes: Vec<Duration>,
    /// Jobs that waited at each claim, jobs that it leased, and how long it took.
    pub claims_by_depth: Vec<(u64, usize, Duration)>,
    /// The length of the run, by its own clock.
    pub simulated: Duration,
    /// And by this machine's.
    pub took: Duration,
}

#[derive(Clone, Debug)]
pub struct TenantOutcome {
    pub tenant: Tenant,
    pub submitted: u64,
    /// Device time within the window, loading included.
    pub served: Duration,
    /// Whether it had jobs waiting throughout the window, and no limit of its own.
    pub is_backlogged: bool,
    /// Jobs that ran at a time.
    pub most_running: u32,
}

impl TenantOutcome {
    pub fn new(tenant: Tenant) -> Self {
        Self {
            is_backlogged: tenant.max_running == 0,
            tenant,
            submitted: 0,
            served: Duration::ZERO,
            most_running: 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Wait {
    pub tenant: usize,
    pub class: Priority,
    pub time: Duration,
}

#[derive(Clone, Debug)]
pub struct Sample {
    /// Since the beginning of the run.
    pub at: Duration,
    pub busy: u64,
    pub queued: u64,
    /// Device time by weight, by tenant, in seconds for a weight of 100.
    pub shares: Vec<f64>,
}

/// The part of a run that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub begin: Time,
    pub end: Time,
}

impl Window {
    /// How much of a stretch of time lies within.
    pub fn overlap(&self, from: Time, to: Time) -> Duration {
        let (from, to) = (from.max(self.begin), to.min(self.end));
        (to - from).to_std().unwrap_or_default()
    }
}

impl Outcome {
    /// Waits that pass, in order.
    pub fn waits(&self, keep: impl Fn(&Wait) -> bool) -> Vec<Duration> {
        let kept = self.waits.iter().filter(|it| keep(it));
        let mut times: Vec<Duration> = kept.map(|it| it.time).collect();
        times.sort_unstable();
        times
    }

    pub fn waits_of_kind(&self, kind: Kind) -> Vec<Duration> {
        self.waits(|wait| self.tenants[wait.tenant].tenant.kind == kind)
    }

    /// Device time by weight of the tenants that always had jobs waiting, relative to their mean.
    pub fn shares(&self) -> BTreeMap<String, f64> {
        let waiting = self.tenants.iter().filter(|it| it.is_backlogged);
        let shares = waiting.map(|it| {
            let share = it.served.as_secs_f64() / f64::from(it.tenant.weight);
            (it.tenant.name.clone(), share)
        });
        let mut shares: BTreeMap<String, f64> = shares.collect();
        let mean = shares.values().sum::<f64>() / shares.len().max(1) as f64;
        for share in shares.values_mut() {
            *share /= mean.max(f64::MIN_POSITIVE);
        }
        shares
    }

    /// Jain's index of those shares: 1 when they are equal, 1/n when one has all.
    pub fn jain_index(&self) -> Option<f64> {
        let shares = self.shares();
        let sum: f64 = shares.values().sum();
        let squares: f64 = shares.values().map(|it| it * it).sum();
        (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
    }
}

/// The value below which a share of the sorted values lies.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}
