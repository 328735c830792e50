//! A backlog: some jobs through the store, and copies of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use kinora_scheduler::domain::job::Job;
use sea_orm::{ConnectionTrait as _, FromQueryResult, Statement};

use crate::fleet::crowd;
use crate::place::{Engine, Place};

/// What every job is expected to take.
pub const COST: Duration = Duration::from_secs(30);

/// Copies in one statement, for each user.
const STEP: u64 = 100;

/// All columns of a job but its id.
const COLUMNS: &str = "owner, tenant, model, class, lane, state, is_ready, ready_at, run_at, expire_at, purge_at, \
     deadline, worker_id, last_worker, lease, seq, attempt, failed_attempts, group_id, group_index, unmet, cost, \
     pixels, create_time, end_time, details";

/// Fills the queues of all users through the store, evenly, up to `backlog` jobs in all.
pub async fn spread(place: &Place, backlog: u64) -> Result<()> {
    let users: Vec<String> = crowd().collect();
    let each = usize::try_from(backlog)?.div_ceil(users.len());
    for user in users {
        place.submit(&user, each, COST).await?;
    }
    statistics(place).await
}

/// Submits as many jobs as these, of the same users.
pub async fn replace(place: &Place, ended: &[Job]) -> Result<()> {
    let mut jobs: BTreeMap<&str, usize> = BTreeMap::new();
    for job in ended {
        *jobs.entry(&job.owner).or_default() += 1;
    }
    for (owner, jobs) in jobs {
        place.submit(owner, jobs, COST).await?;
    }
    Ok(())
}

/// Adds copies of what is queued until `backlog` jobs are. Each user has at least one already.
pub async fn grow(place: &Place, backlog: u64) -> Result<()> {
    let bar = ProgressBar::new(backlog).with_style(ProgressStyle::with_template(
        "filling {bar:40} {human_pos} of {human_len} jobs, {eta} left",
    )?);
    let each = backlog.div_ceil(u64::try_from(crowd().count())?);
    let present = queued(place).await? / u64::try_from(crowd().count())?;
    let mut missing = each.saturating_sub(present);
    while missing > 0 {
        let step = missing.min(STEP);
        place
            .db
            .writer()
            .execute_unprepared(&copies(place.engine, step))
            .await?;
        missing -= step;
        bar.set_position(backlog - (missing * u64::try_from(crowd().count())?).min(backlog));
    }
    bar.finish_and_clear();
    place.db.writer().execute_unprepared(HISTORY).await?;
    statistics(place).await
}

/// One job of each lane, so many times. Ids begin as those of the copied jobs, as those of one burst do.
fn copies(engine: Engine, times: u64) -> String {
    let (id, numbers) = match engine {
        Engine::Postgres => (
            "(substr(id::text, 1, 18) || substr(gen_random_uuid()::text, 19))::uuid",
            format!("generate_series(1, {times}) AS number"),
        ),
        Engine::Sqlite => (
            "unhex(substr(hex(id), 1, 16) || hex(randomblob(8)))",
            format!(
                "(WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {times}) \
                 SELECT n FROM number) AS number"
            ),
        ),
    };
    format!(
        "INSERT INTO job (id, {COLUMNS}) SELECT {id}, {COLUMNS} FROM (SELECT * FROM job WHERE id IN (SELECT \
         (SELECT id FROM job WHERE is_ready AND job.lane = lane.id ORDER BY job.id LIMIT 1) FROM lane)) AS job, {numbers}"
    )
}

/// The events of the copies.
const HISTORY: &str = "INSERT INTO job_event (job_id, seq, time, state, attempt, details) \
     SELECT job.id, job.seq, job.create_time, job.state, job.attempt, event.details \
     FROM job CROSS JOIN (SELECT details FROM job_event LIMIT 1) AS event \
     WHERE NOT EXISTS (SELECT 1 FROM job_event WHERE job_event.job_id = job.id)";

async fn queued(place: &Place) -> Result<u64> {
    #[derive(FromQueryResult)]
    struct Count {
        n: i64,
    }
    let query = Statement::from_string(
        place.db.reader().get_database_backend(),
        "SELECT COUNT(*) AS n FROM job WHERE state = 'queued'",
    );
    let count = Count::find_by_statement(query)
        .one(place.db.reader())
        .await?;
    Ok(u64::try_from(count.map_or(0, |count| count.n))?)
}

/// What the server does by itself within a minute of such a change; SQLite does nothing of the kind.
async fn statistics(place: &Place) -> Result<()> {
    if place.engine == Engine::Postgres {
        place
            .db
            .writer()
            .execute_unprepared("VACUUM (ANALYZE)")
            .await?;
    }
    Ok(())
}
