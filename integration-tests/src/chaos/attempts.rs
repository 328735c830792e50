//! Attempts as the scheduler wrote them down: how they ended, and how long a lost one's job had no lease.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use sqlx::Row;

use super::postgres::PostgresServer;

/// An attempt that is over. Times are micro-seconds since 1970.
pub(super) struct Attempt {
    pub(super) job: String,
    pub(super) worker: String,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) outcome: String,
    pub(super) message: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            job,
            worker,
            outcome,
            message,
            ..
        } = self;
        let millis = (self.end - self.start) / 1000;
        write!(
            f,
            "{job} at {worker}, {outcome} after {millis} ms: {message}"
        )
    }
}

/// How long it took after faults of workers, both sorted.
#[derive(Clone, Debug, Default)]
pub struct Pauses {
    /// From the fault to the end of the lease.
    pub noticed: Vec<Duration>,
    /// From the fault to the next lease of the same job, with its wait for a free worker.
    pub leased_again: Vec<Duration>,
}

/// All attempts, of each job in their order.
pub(super) async fn read(database: &PostgresServer) -> Vec<Attempt> {
    let query = "SELECT job_id::text AS job, worker_id, outcome, message, \
           (extract(epoch FROM start_time) * 1000000)::bigint AS start, \
           (extract(epoch FROM end_time) * 1000000)::bigint AS stop \
         FROM attempt ORDER BY job_id, lease";
    let mut connection = database.connect().await.unwrap();
    let rows = sqlx::query(query).fetch_all(&mut connection).await;
    let attempts = rows.unwrap().into_iter().map(|row| Attempt {
        job: row.get("job"),
        worker: row.get("worker_id"),
        start: row.get::<i64, _>("start").try_into().unwrap(),
        end: row.get::<i64, _>("stop").try_into().unwrap(),
        outcome: row.get("outcome"),
        message: row.get("message"),
    });
    attempts.collect()
}

/// How many ended how.
pub(super) fn by_outcome(attempts: &[Attempt]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for attempt in attempts {
        *counts.entry(attempt.outcome.clone()).or_default() += 1;
    }
    counts
}

/// The pauses of jobs whose worker was killed or frozen during an attempt that did not complete. `faults` has for each
/// worker when that was.
pub(super) fn pauses(attempts: &[Attempt], faults: &HashMap<String, Vec<u64>>) -> Pauses {
    let mut pauses = Pauses::default();
    for pair in attempts.windows(2) {
        let [lost, next] = pair else { continue };
        if lost.job != next.job || lost.outcome == "COMPLETED" {
            continue;
        }
        let of_worker = faults.get(&lost.worker).map_or(&[][..], Vec::as_slice);
        let in_time = of_worker
            .iter()
            .filter(|at| (lost.start..=lost.end).contains(*at));
        if let Some(fault) = in_time.min() {
            let since = |at: u64| Duration::from_micros(at.saturating_sub(*fault));
            pauses.noticed.push(since(lost.end));
            pauses.leased_again.push(since(next.start));
        }
    }
    pauses.noticed.sort();
    pauses.leased_again.sort();
    pauses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(job: &str, worker: &str, (start, end): (u64, u64), outcome: &str) -> Attempt {
        Attempt {
            job: job.to_owned(),
            worker: worker.to_owned(),
            start,
            end,
            outcome: outcome.to_owned(),
            message: String::new(),
        }
    }

    #[test]
    fn pauses_are_of_attempts_that_a_fault_cut_off() {
        let attempts = [
            attempt("a", "w0", (100, 300), "WORKER_LOST"),
            attempt("a", "w1", (350, 400), "COMPLETED"),
            attempt("b", "w0", (500, 600), "PREEMPTED"),
            attempt("b", "w0", (610, 700), "WORKER_LOST"),
            attempt("c", "w1", (710, 800), "COMPLETED"),
        ];
        let faults = HashMap::from([("w0".to_owned(), vec![50, 200, 650])]);
        let pauses = pauses(&attempts, &faults);
        assert_eq!(pauses.noticed, [Duration::from_micros(100)]);
        assert_eq!(pauses.leased_again, [Duration::from_micros(150)]);
    }
}
