//! A rolling restart: every scheduler is replaced, one after the other, while jobs run.

use std::fmt;
use std::time::Duration;

use super::attempts;
use super::judge::{Verdict, judge};
use super::load::{Habits, Load};
use super::mesh::{ChaosMesh, MeshOptions};
use super::table::row;

/// How long a scheduler may take to end in order.
const END: Duration = Duration::from_secs(60);

/// What is restarted, under what load.
#[derive(Clone, Debug)]
pub struct RollingOptions {
    /// How often all schedulers are replaced.
    pub rounds: u32,
    /// Workers, each with a job at all times.
    pub workers: usize,
    /// Replicas.
    pub schedulers: usize,
    /// Steps of 20 ms of a job.
    pub steps: u32,
}

impl Default for RollingOptions {
    fn default() -> Self {
        Self {
            rounds: 3,
            workers: 4,
            schedulers: 2,
            steps: 100,
        }
    }
}

/// What it did.
#[derive(Clone, Debug)]
pub struct RollingReport {
    /// Schedulers that were replaced.
    pub restarts: u32,
    /// Attempts that did not live through it.
    pub interrupted: Vec<String>,
    /// The usual.
    pub verdict: Verdict,
}

impl RollingReport {
    /// Whether nothing was lost, doubled or interrupted.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.interrupted.is_empty() && self.verdict.is_clean()
    }
}

impl fmt::Display for RollingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| rolling restart | |\n| --- | --- |\n")?;
        f.write_str(&row("schedulers replaced", self.restarts))?;
        f.write_str(&row("jobs", self.verdict.accepted))?;
        f.write_str(&row("attempts interrupted", self.interrupted.len()))?;
        f.write_str(&self.verdict.rows())?;
        for attempt in &self.interrupted {
            write!(f, "\ninterrupted: {attempt}\n")?;
        }
        f.write_str(&self.verdict.details())
    }
}

/// Replaces all schedulers under load and tells what became of the jobs.
pub async fn rolling_restart(options: RollingOptions) -> RollingReport {
    let mut mesh = ChaosMesh::start(MeshOptions {
        schedulers: options.schedulers,
        workers: options.workers,
        // As people run it, and more on a machine that is busy: a lapse here would be the machine's.
        worker_ttl: Duration::from_secs(10),
        ..MeshOptions::default()
    })
    .await;
    let habits = Habits {
        users: options.workers + options.workers / 2,
        steps: (options.steps / 2, options.steps),
        cancelled: 0,
        seed: 1,
    };
    let load = Load::start(&mesh.clients, habits);
    let mut restarts = 0;
    for _ in 0..options.rounds {
        for index in 0..options.schedulers {
            all_workers_busy(&mesh).await;
            replace(&mut mesh, index).await;
            restarts += 1;
        }
    }
    let seen = load.finish().await;
    let mut verdict = judge(&mesh, &seen.accepted).await;
    verdict.disorder.extend(seen.disorder);
    let attempts = attempts::read(&mesh.database).await;
    let cut_off = attempts.iter().filter(|it| it.outcome != "COMPLETED");
    let interrupted = cut_off.map(ToString::to_string).collect();
    RollingReport {
        restarts,
        interrupted,
        verdict,
    }
}

async fn replace(mesh: &mut ChaosMesh, index: usize) {
    mesh.schedulers[index].terminate();
    let scheduler = &mut mesh.schedulers[index];
    kinora_testkit::wait::until("a scheduler has ended", END, || {
        let is_running = scheduler.is_running();
        std::future::ready(if is_running { Err("it runs") } else { Ok(()) })
    })
    .await;
    mesh.schedulers[index].restart();
    mesh.scheduler_listens(index).await;
}

/// Waits until as many jobs run as there are workers.
async fn all_workers_busy(mesh: &ChaosMesh) {
    let workers = i64::try_from(mesh.workers.len()).unwrap();
    kinora_testkit::wait::until("all workers are busy", END, || async {
        let query = "SELECT count(*) FROM job WHERE state = 'running'";
        let mut connection = mesh.database.connect().await.map_err(|_| -1)?;
        let running = sqlx::query_scalar(query).fetch_one(&mut connection);
        let running: i64 = running.await.map_err(|_| -1)?;
        if running >= workers {
            Ok(())
        } else {
            Err(running)
        }
    })
    .await;
}
