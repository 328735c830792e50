//! Background loops. Each replica runs them all; payers are locked, so that they keep out of each other's way.

use std::sync::Arc;
use std::time::Duration;

use kinora_mesh::error::chain;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::{App, BATCH};
use crate::domain::Time;
use crate::error::Error;

/// Holds live for hours.
const LAPSE_INTERVAL: Duration = Duration::from_secs(30);

/// What has ended is not spent, also before it is moved.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(60);

/// What is swept is in nobody's way.
const SWEEP_INTERVAL: Duration = Duration::from_secs(20 * 60);

/// The ledger is proved at this time of day, in seconds after midnight (UTC), give or take.
const CHECK_SECOND: i64 = 3 * 60 * 60;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Does what nobody calls for, until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    tokio::join!(
        lapse_holds(&app, &stop),
        expire_grants(&app, &stop),
        check_ledger(&app, &stop),
        sweep_voucher_tries(&app, &stop),
    );
}

async fn lapse_holds(app: &App, stop: &CancellationToken) {
    loop {
        match until_done(stop, || app.lapse_overdue()).await {
            Ok(0) => {}
            Ok(lapsed) => tracing::warn!(lapsed, "holds lapsed"),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "lapsed holds were not looked for; it is tried again");
            }
        }
        if is_over_after(LAPSE_INTERVAL, stop).await {
            return;
        }
    }
}

async fn expire_grants(app: &App, stop: &CancellationToken) {
    loop {
        match until_done(stop, || app.expire_grants()).await {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "grants ended"),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "ended grants were not looked for; it is tried again");
            }
        }
        if is_over_after(EXPIRE_INTERVAL, stop).await {
            return;
        }
    }
}

async fn sweep_voucher_tries(app: &App, stop: &CancellationToken) {
    loop {
        if let Err(error) = app.sweep_voucher_tries().await {
            tracing::warn!(error = %chain(&error), "counters of wrong codes were not swept; it is tried again");
        }
        if is_over_after(SWEEP_INTERVAL, stop).await {
            return;
        }
    }
}

async fn check_ledger(app: &App, stop: &CancellationToken) {
    loop {
        let pause = until_next_check(app.now());
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        match stop.run_until_cancelled(app.check_ledger()).await {
            None => return,
            Some(Ok(findings)) => {
                let problems = findings.problems.len();
                tracing::info!(
                    problems,
                    transfers = findings.transfers,
                    "the ledger was checked"
                );
            }
            Some(Err(error)) => {
                tracing::error!(error = %chain(&error), "the ledger was not checked");
            }
        }
    }
}

/// Takes batch after batch while they are full, and answers how much was done.
async fn until_done<F>(stop: &CancellationToken, batch: impl Fn() -> F) -> Result<u64, Error>
where
    F: Future<Output = Result<u64, Error>>,
{
    let mut done = 0;
    loop {
        // Each of a batch is a transaction of its own, which is not broken off.
        let of_batch = batch().await?;
        done += of_batch;
        if of_batch < BATCH || stop.is_cancelled() {
            return Ok(done);
        }
    }
}

/// At least a minute, so that a clock that is set back does not have the ledger checked twice.
fn until_next_check(now: Time) -> Duration {
    let second = now.timestamp().rem_euclid(DAY_SECONDS);
    let wait = (CHECK_SECOND - second).rem_euclid(DAY_SECONDS);
    let wait = if wait < 60 { wait + DAY_SECONDS } else { wait };
    // Replicas do not read all of it at the same moment.
    let wait = Duration::from_secs(wait.unsigned_abs());
    wait + Duration::from_secs(rand::random_range(0..600))
}

/// Waits for about that long: replicas that started at once do not stay together. True when it is time to stop.
async fn is_over_after(interval: Duration, stop: &CancellationToken) -> bool {
    let pause = sleep(interval.mul_f64(rand::random_range(0.8..1.2)));
    stop.run_until_cancelled(pause).await.is_none()
}

#[cfg(test)]
mod tests;
