//! The soak: callers work while random processes of the mesh are killed, frozen and asked to end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::attempts::{self, Pauses};
use super::judge::{Verdict, judge};
use super::killer::{Killer, Kind, Role};
use super::load::{Habits, Load};
use super::mesh::{ChaosMesh, MeshOptions};
use super::table::{quantile, row};

/// How much is done to the mesh.
#[derive(Clone, Debug)]
pub struct SoakOptions {
    /// Faults in all.
    pub kills: u32,
    /// Decides which process is struck, how and when; what the mesh makes of it is up to the machine.
    pub seed: u64,
    /// Over how long the faults are spread; it takes longer where processes do not come back fast enough.
    pub length: Duration,
    /// Replicas.
    pub schedulers: usize,
    /// Workers.
    pub workers: usize,
    /// Jobs under way at a time.
    pub users: usize,
    /// Further arguments of every scheduler.
    pub scheduler_arguments: Vec<String>,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There were so many faults so far, and so many jobs have ended.
    Striking(u32, u64),
    /// Everything is up again and the last jobs go to their end.
    Ending,
    /// Every job is looked at.
    Judging,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct SoakReport {
    /// Faults by what was struck and how.
    pub faults: BTreeMap<(Role, Kind), u32>,
    /// Processes that did not end when asked to.
    pub deaf: u32,
    /// From the first fault to the last.
    pub length: Duration,
    /// Steps that workers computed.
    pub computed: u64,
    /// Steps that workers computed again.
    pub recomputed: u64,
    /// Attempts by how they ended.
    pub attempts: BTreeMap<String, usize>,
    /// How long leases outlived their workers, and jobs were without one.
    pub pauses: Pauses,
    /// From the fault of a worker to the next begin of its job, sorted.
    pub times_to_begin: Vec<Duration>,
    /// Submissions that nobody answered.
    pub unanswered: u64,
    /// What became of the jobs.
    pub verdict: Verdict,
}

impl SoakReport {
    /// Whether nothing was lost, done twice or wrongly paid.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.verdict.is_clean() && self.unanswered == 0
    }
}

/// Runs it. `tell` hears how far it has come.
pub async fn soak(options: SoakOptions, tell: impl Fn(Phase)) -> SoakReport {
    let mut mesh = ChaosMesh::start(MeshOptions {
        schedulers: options.schedulers,
        workers: options.workers,
        callers: 3,
        // Longer than a frozen worker sleeps before it uploads what nobody wants.
        late_sweep: Duration::from_secs(30),
        scheduler_arguments: options.scheduler_arguments.clone(),
        ..MeshOptions::default()
    })
    .await;
    let habits = Habits {
        users: options.users,
        steps: (4, 24),
        cancelled: 16,
        seed: options.seed,
    };
    let load = Load::start(&mesh.clients, habits);
    let begun = Instant::now();
    let mut killer = Killer::new(options.seed, options.length / options.kills.max(1));
    while killer.struck() < options.kills {
        killer.turn(&mut mesh).await;
        let ended = load.ended.load(Ordering::Relaxed);
        tell(Phase::Striking(killer.struck(), ended));
    }
    let length = begun.elapsed();
    tell(Phase::Ending);
    killer.make_whole(&mut mesh).await;
    let seen = load.finish().await;
    tell(Phase::Judging);
    let mut verdict = judge(&mesh, &seen.accepted).await;
    verdict.disorder.extend(seen.disorder);
    let steps = mesh.steps();
    let attempts = attempts::read(&mesh.database).await;
    SoakReport {
        length,
        computed: steps.computed,
        recomputed: steps.recomputed,
        attempts: attempts::by_outcome(&attempts),
        pauses: attempts::pauses(&attempts, &killer.worker_faults),
        times_to_begin: steps.times_to_begin(&killer.worker_faults),
        faults: killer.counts,
        deaf: killer.deaf,
        unanswered: seen.unanswered,
        verdict,
    }
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| soak | |\n| --- | --- |\n")?;
        let faults: u32 = self.faults.values().sum();
        let seconds = self.length.as_secs();
        f.write_str(&row("faults", format!("{faults} in {seconds} s")))?;
        for ((role, kind), count) in &self.faults {
            f.write_str(&row(&format!("- {role}, {kind}"), count))?;
        }
        f.write_str(&row("processes that did not end when asked", self.deaf))?;
        f.write_str(&row("jobs accepted", self.verdict.accepted))?;
        f.write_str(&row("submissions never answered", self.unanswered))?;
        f.write_str(&self.verdict.rows())?;
        let share = 100 * self.recomputed / self.computed.max(1);
        let steps = format!("{} of {} ({share} %)", self.recomputed, self.computed);
        f.write_str(&row("steps computed again", steps))?;
        for (outcome, count) in &self.attempts {
            f.write_str(&row(&format!("attempts that ended as {outcome}"), count))?;
        }
        let Pauses {
            noticed,
            leased_again,
        } = &self.pauses;
        f.write_str(&spread("worker's fault to end of its lease", noticed))?;
        f.write_str(&spread("worker's fault to next lease", leased_again))?;
        f.write_str(&spread("worker's fault to next step", &self.times_to_begin))?;
        f.write_str(&self.verdict.details())
    }
}

fn spread(what: &str, times: &[Duration]) -> String {
    let [median, p95, longest] = [0.5, 0.95, 1.0].map(|share| quantile(times, share));
    let count = times.len();
    let text = format!("{median} / {p95} / {longest} of {count}");
    row(&format!("{what}, p50 / p95 / max"), text)
}
