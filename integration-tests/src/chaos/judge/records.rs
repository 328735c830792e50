//! What is in the database: one end of every job's history, and nothing that still waits, runs or is held.

use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::time::Instant;

use super::{PAUSE, Verdict};
use crate::chaos::postgres::PostgresServer;

/// The states that a job stays in.
const ENDS: &str = "('completed', 'failed', 'cancelled', 'expired')";

/// What nobody may find twice.
const DOUBLES: [(&str, &str); 2] = [
    (
        "jobs are both under way and over",
        "SELECT count(*) FROM job JOIN finished_job USING (id)",
    ),
    (
        "jobs have several attempts that completed",
        "SELECT count(*) FROM (SELECT job_id FROM attempt WHERE outcome = 'COMPLETED' \
         GROUP BY job_id HAVING count(*) > 1) AS doubled",
    ),
];

/// What must be gone, now or soon.
const RESTS: [(&str, &str); 6] = [
    ("jobs that wait or run", "SELECT count(*) FROM job"),
    (
        "lanes without jobs that take part",
        "SELECT count(*) FROM lane WHERE is_open OR is_blocked",
    ),
    (
        "needs of jobs that are over",
        "SELECT count(*) FROM job_need",
    ),
    (
        "attempts of unknown jobs",
        "SELECT count(*) FROM attempt WHERE job_id NOT IN (SELECT id FROM finished_job)",
    ),
    (
        "events of unknown jobs",
        "SELECT count(*) FROM job_event WHERE job_id NOT IN (SELECT id FROM finished_job)",
    ),
    (
        "objects due for removal",
        "SELECT count(*) FROM object_deletion",
    ),
];

/// Looks at all jobs. What is to be removed has until `deadline`.
pub(super) async fn judge(database: &PostgresServer, deadline: Instant) -> Verdict {
    let mut verdict = Verdict::default();
    let mut connection = database.connect().await.unwrap();
    judge_history(&mut verdict, &mut connection).await;
    judge_doubles(&mut verdict, &mut connection, &DOUBLES).await;
    judge_rests(&mut verdict, &mut connection, &RESTS, deadline).await;
    verdict
}

/// Counts, by queries, what must not be there.
pub(super) async fn judge_doubles(
    verdict: &mut Verdict,
    connection: &mut PgConnection,
    doubles: &[(&str, &'static str)],
) {
    for &(what, query) in doubles {
        let count = count(connection, query).await;
        if count != 0 {
            verdict.duplicated.push(format!("{count} {what}"));
        }
    }
}

/// Waits until `deadline` for what must go.
pub(super) async fn judge_rests(
    verdict: &mut Verdict,
    connection: &mut PgConnection,
    rests: &[(&str, &'static str)],
    deadline: Instant,
) {
    for &(what, query) in rests {
        let mut left = count(connection, query).await;
        while left != 0 && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
            left = count(connection, query).await;
        }
        if left != 0 {
            verdict.left_over.push(format!("{left} {what}"));
        }
    }
}

/// Whether the stored history of any job has not exactly one end, or goes on after it.
async fn judge_history(verdict: &mut Verdict, connection: &mut PgConnection) {
    let query = AssertSqlSafe(format!(
        "SELECT job_id::text AS id, count(*) FILTER (WHERE state IN {ENDS}) AS ends, \
           max(seq) = max(seq) FILTER (WHERE state IN {ENDS}) AS is_last \
         FROM job_event GROUP BY job_id"
    ));
    for row in sqlx::query(query).fetch_all(connection).await.unwrap() {
        let (id, ends): (String, i64) = (row.get("id"), row.get("ends"));
        let is_last = row.get::<Option<bool>, _>("is_last");
        if ends > 1 || is_last == Some(false) {
            verdict.duplicated.push(format!("{id} has {ends} ends"));
        }
        if ends == 0 {
            verdict.lost.push(format!("{id} has no end"));
        }
    }
}

pub(super) async fn count(connection: &mut PgConnection, query: &'static str) -> i64 {
    let count = sqlx::query_scalar(query).fetch_one(connection);
    count.await.unwrap()
}
