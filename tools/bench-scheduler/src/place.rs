//! A database with the scheduler's schema, and jobs for it.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::{SubsecRound as _, Utc};
use clap::ValueEnum;
use kinora_ids::JobId;
use kinora_migrations::scheduler::migrate;
use kinora_scheduler::domain::job::{Job, Outputs, Time, VideoSpec};
use kinora_scheduler::domain::transition::{self, Reporter, StaleLease};
use kinora_scheduler::store::{Caps, Change, JobStore, Limits, Request, Submitted};
use kinora_store::{Database, DatabaseUrl};
use kinora_testkit::postgres::TestPostgres;
use tempfile::TempDir;

/// The model of all jobs.
pub const MODEL: &str = "bench";

/// Caps are always on. Some tenants are at their own, see [`crate::fleet`].
const CAPS: Caps = Caps {
    max_running_per_owner: 64,
    max_running_per_tenant: 256,
};

/// Limits of submissions are always on as well; none is reached, so that all of them count as far as they ever do.
const LIMITS: Limits = Limits {
    max_active_per_owner: 10_000,
    max_queued_per_tenant: 50_000,
    max_queued_per_queue: 10_000_000,
};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The server that scripts/with-postgres starts.
    Postgres,
    /// A file.
    Sqlite,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        })
    }
}

/// An empty store of its own.
#[derive(Debug)]
pub struct Place {
    pub store: JobStore,
    pub db: Database,
    pub engine: Engine,
    /// Of the file, which goes with it.
    _folder: Option<TempDir>,
}

impl Place {
    /// Opens a new one.
    pub async fn open(engine: Engine) -> Result<Self> {
        let (url, folder) = match engine {
            Engine::Postgres => (TestPostgres::of_this_run().create_database().await, None),
            Engine::Sqlite => {
                let folder = TempDir::new()?;
                let file = folder.path().join("scheduler.db");
                (format!("sqlite://{}", file.display()), Some(folder))
            }
        };
        let url: DatabaseUrl = url.parse()?;
        let db = Database::connect(&url).await?;
        db.migrate(migrate).await?;
        let store = JobStore::new(db.clone()).with_caps(CAPS);
        store.prepare(now()).await?;
        Ok(Self {
            store,
            db,
            engine,
            _folder: folder,
        })
    }

    /// Closes all connections, so that the next measurement has the machine to itself.
    pub async fn close(&self) -> Result<()> {
        Ok(self.db.close().await?)
    }

    /// Submits jobs of one owner, as one request with a key of its own.
    pub async fn submit(&self, owner: &str, jobs: usize, cost: Duration) -> Result<Vec<JobId>> {
        let new: Vec<Job> = (0..jobs).map(|_| new_job(owner, cost)).collect();
        let Some(first) = new.first() else {
            return Ok(Vec::new());
        };
        let request = Request {
            key: format!("id:{}", first.id),
            fingerprint: String::new(),
            expires_at: None,
        };
        let submitted = self.store.submit(&new, None, Some(&request), &LIMITS, &[]);
        match submitted.await? {
            Submitted::Accepted(jobs) => Ok(jobs.into_iter().map(|job| job.id).collect()),
            other => bail!("not accepted: {other:?}"),
        }
    }

    /// Completes a leased job as its worker's last report does.
    pub async fn complete(&self, job: &Job) -> Result<()> {
        let worker = job.worker.clone().context("a leased job has a worker")?;
        let lease = job.newest_lease();
        let device_time = Some(job.estimated_cost);
        let changed = self.store.change(job.id, None, |job| {
            let reporter = Reporter {
                worker: &worker,
                lease,
            };
            let event = transition::complete(job, reporter, outputs(), device_time, now())?;
            Ok::<_, StaleLease>(Change {
                event,
                removals: Vec::new(),
            })
        });
        changed.await?.context("the job is gone")??;
        Ok(())
    }
}

/// The present, as exact as databases keep it.
pub fn now() -> Time {
    Utc::now().trunc_subsecs(6)
}

pub fn new_job(owner: &str, cost: Duration) -> Job {
    let spec = VideoSpec {
        model: MODEL.to_owned(),
        prompt: "a small ball rolls slowly over a wooden table beside an open window in the rain"
            .to_owned(),
        negative_prompt: "blurred, shaking".to_owned(),
        width: 832,
        height: 480,
        frames: 81,
        steps: 30,
        guidance: 5.0,
        seed: 7,
        fps: 16,
        image: None,
        last_image: None,
    };
    let mut job = Job::queued(JobId::generate(), owner.to_owned(), spec, now());
    job.estimated_cost = cost;
    job
}

fn outputs() -> Outputs {
    Outputs {
        video_key: "jobs/0/1/clip.mp4".to_owned(),
        thumbnail_key: "jobs/0/1/middle.jpg".to_owned(),
        manifest_key: "jobs/0/1/manifest.json".to_owned(),
        video_bytes: 1 << 20,
        width: 832,
        height: 480,
        frames: 81,
        fps: 16,
        duration: Duration::from_millis(5062),
        video_sha256: "0".repeat(64),
        ..Outputs::default()
    }
}
