//! Jobs of the older layout, carried over by either engine's JSON functions.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// Makes room for the new tables of the same names.
pub async fn set_aside(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    for index in ["job_queued", "job_running", "job_owner", "submission_job"] {
        // A repeated attempt finds them gone.
        run(manager, &format!("DROP INDEX IF EXISTS {index}")).await?;
    }
    for table in ["job", "job_event"] {
        run(
            manager,
            &format!("ALTER TABLE {table} RENAME TO old_{table}"),
        )
        .await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            let rename = format!("ALTER INDEX {table}_pkey RENAME TO old_{table}_pkey");
            run(manager, &rename).await?;
        }
    }
    Ok(())
}

/// Fills the new tables and drops the old ones. Lanes are opened by the scheduler's own upkeep when it starts.
pub async fn over(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let dialect = match manager.get_database_backend() {
        DbBackend::Postgres => POSTGRES,
        _ => SQLITE,
    };
    run(manager, &copy_jobs("job", "NOT IN", &dialect)).await?;
    run(manager, &copy_jobs("finished_job", "IN", &dialect)).await?;
    run(manager, &copy_events(&dialect)).await?;
    let keys = "INSERT INTO request_key (owner, request, fingerprint, job_id) \
                SELECT owner, 'id:' || request_id, fingerprint, job_id FROM submission";
    run(manager, keys).await?;
    for table in ["submission", "old_job_event", "old_job"] {
        run(manager, &format!("DROP TABLE {table}")).await?;
    }
    Ok(())
}

struct Dialect {
    object: &'static str,
    /// Around a JSON column, so that it is a value and not a string.
    json: (&'static str, &'static str),
    /// Around an object, so that it becomes text.
    text: (&'static str, &'static str),
    tenant: &'static str,
    lane: &'static str,
    /// When an ended job is forgotten: after the default retention.
    purge_at: &'static str,
}

const POSTGRES: Dialect = Dialect {
    object: "jsonb_build_object",
    json: ("", ""),
    text: ("(", ")::text"),
    tenant: "split_part(owner, ':', 1)",
    lane: "'00000000-0000-0000-0000-000000000000'::uuid",
    purge_at: "COALESCE(end_time, create_time) + INTERVAL '30 days'",
};

const SQLITE: Dialect = Dialect {
    object: "json_object",
    json: ("json(", ")"),
    text: ("", ""),
    tenant: "CASE instr(owner, ':') WHEN 0 THEN owner ELSE substr(owner, 1, instr(owner, ':') - 1) END",
    lane: "zeroblob(16)",
    purge_at: "strftime('%Y-%m-%dT%H:%M:%f+00:00', COALESCE(end_time, create_time), '+30 days')",
};

impl Dialect {
    fn object(&self, columns: &[&str]) -> String {
        let json = |column: &&str| {
            let (open, close) = self.json;
            match *column {
                "traceparent" | "start_time" | "end_time" => format!("'{column}', {column}"),
                _ => format!("'{column}', {open}{column}{close}"),
            }
        };
        let fields: Vec<String> = columns.iter().map(json).collect();
        let (open, close) = self.text;
        format!("{open}{}({}){close}", self.object, fields.join(", "))
    }
}

/// Jobs that have ended or not (`IN` the terminal states or not).
fn copy_jobs(table: &str, membership: &str, dialect: &Dialect) -> String {
    let purge_at = match membership {
        "IN" => dialect.purge_at,
        _ => "NULL",
    };
    let details = dialect.object(&[
        "spec",
        "progress",
        "notes",
        "outputs",
        "failure",
        "checkpoint",
        "traceparent",
        "start_time",
    ]);
    let (tenant, lane) = (dialect.tenant, dialect.lane);
    format!(
        "INSERT INTO {table} (id, owner, tenant, model, class, lane, state, is_ready, ready_at, run_at, deadline, \
         worker_id, lease, seq, attempt, failed_attempts, unmet, cost, pixels, create_time, end_time, purge_at, details) \
         SELECT id, owner, {tenant}, model, 1, {lane}, state, FALSE, run_at, run_at, deadline, \
         worker_id, lease, seq, attempt, failed_attempts, 0, 0, 0, create_time, end_time, {purge_at}, {details} \
         FROM old_job WHERE state {membership} ('completed', 'failed', 'cancelled', 'expired')"
    )
}

fn copy_events(dialect: &Dialect) -> String {
    let details = dialect.object(&["progress", "outputs", "failure"]);
    format!(
        "INSERT INTO job_event (job_id, seq, time, state, attempt, details) \
         SELECT job_id, seq, time, state, attempt, {details} FROM old_job_event"
    )
}

async fn run(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    manager.get_connection().execute_unprepared(sql).await?;
    Ok(())
}
