//! Background loops. Each replica runs them all; payers are locked, so that they keep out of each other's way.

mod payments;

use std::sync::Arc;
use std::time::Duration;

use kinora_mesh::error::chain;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::{App, BATCH};
use crate::clients::Notices;
use crate::domain::Time;
use crate::error::Error;
use crate::metrics::Telling;

/// Holds live for hours.
const LAPSE_INTERVAL: Duration = Duration::from_secs(30);

/// What has ended is not spent, also before it is moved.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(60);

/// Events of Stripe's are handled when they come; this often those that failed, or that another replica took in.
const EVENTS_INTERVAL: Duration = Duration::from_secs(5);

/// A mail takes longer.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// What is swept is in nobody's way.
const SWEEP_INTERVAL: Duration = Duration::from_secs(20 * 60);

/// The ledger is proved at this time of day, in seconds after midnight (UTC), give or take.
const CHECK_SECOND: i64 = 3 * 60 * 60;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Does what nobody calls for, until stopped.
pub async fn run(app: Arc<App>, notices: Notices, stop: CancellationToken) {
    tokio::join!(
        lapse_holds(&app, &stop),
        expire_grants(&app, &stop),
        check_ledger(&app, &stop),
        sweep_voucher_tries(&app, &stop),
        handle_events(&app, &stop),
        sweep_events(&app, &stop),
        payments::run(&app, &stop),
        tell_alerts(&app, &notices, &stop),
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

async fn handle_events(app: &App, stop: &CancellationToken) {
    if app.payments.is_none() {
        return;
    }
    loop {
        // Broken off anywhere, what was not committed is done again.
        match stop.run_until_cancelled(app.handle_events()).await {
            None => return,
            Some(Ok(0)) => {}
            // There may be more.
            Some(Ok(_)) => continue,
            Some(Err(error)) => {
                tracing::warn!(error = %chain(&error), "events of Stripe's were not handled; it is tried again");
            }
        }
        let woken = timeout(EVENTS_INTERVAL, app.payment_wake.notified());
        if stop.run_until_cancelled(woken).await.is_none() {
            return;
        }
    }
}

async fn tell_alerts(app: &App, notices: &Notices, stop: &CancellationToken) {
    loop {
        match tell_due_alerts(app, notices, stop).await {
            Ok(0) => {}
            Ok(told) => tracing::info!(told, "spend alerts were told"),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "spend alerts were not told; it is tried again");
            }
        }
        if is_over_after(TELL_INTERVAL, stop).await {
            return;
        }
    }
}

async fn sweep_events(app: &App, stop: &CancellationToken) {
    loop {
        if let Err(error) = app.sweep_events().await {
            tracing::warn!(error = %chain(&error), "handled events of Stripe's were not swept; it is tried again");
        }
        if is_over_after(SWEEP_INTERVAL, stop).await {
            return;
        }
    }
}

/// Tells alerts while they are due and accounts takes them: where it does not take one it is likely away.
async fn tell_due_alerts(
    app: &App,
    notices: &Notices,
    stop: &CancellationToken,
) -> Result<u64, Error> {
    let mut told = 0;
    while !stop.is_cancelled() && app.tell_next_alert(notices).await? == Some(Telling::Told) {
        told += 1;
    }
    Ok(told)
}

async fn check_ledger(app: &App, stop: &CancellationToken) {
    loop {
        let pause = until_next(CHECK_SECOND, app.now());
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

/// Until so many seconds after midnight. At least a minute, so that a clock that is set back does not have it done twice.
fn until_next(second_of_day: i64, now: Time) -> Duration {
    let second = now.timestamp().rem_euclid(DAY_SECONDS);
    let wait = (second_of_day - second).rem_euclid(DAY_SECONDS);
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
