//! Background loops of who takes money.

use std::time::Duration;

use kinora_mesh::error::chain;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{is_over_after, until_next};
use crate::app::App;

/// Payments are compared at this time of day, in seconds after midnight (UTC), give or take: after the ledger was checked.
const COMPARE_SECOND: i64 = 3 * 60 * 60 + 30 * 60;

/// How often it is counted what waits.
const COUNT_INTERVAL: Duration = Duration::from_secs(30);

/// Does what nobody calls for, until stopped. Nothing where no money is taken.
pub(super) async fn run(app: &App, stop: &CancellationToken) {
    if app.payments.is_some() {
        tokio::join!(
            catch_up(app, stop),
            count_waiting(app, stop),
            compare(app, stop)
        );
    }
}

async fn catch_up(app: &App, stop: &CancellationToken) {
    let interval = app.options.payments.poll_interval();
    loop {
        // What was kept of a list that is broken off stays.
        match stop.run_until_cancelled(app.catch_up()).await {
            None => return,
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::warn!(error = %chain(&error), "stripe was not asked what happened; it is tried again");
            }
        }
        if is_over_after(interval, stop).await {
            return;
        }
    }
}

async fn count_waiting(app: &App, stop: &CancellationToken) {
    loop {
        if let Err(error) = app.count_waiting_events().await {
            tracing::warn!(error = %chain(&error), "waiting events were not counted; it is tried again");
        }
        if is_over_after(COUNT_INTERVAL, stop).await {
            return;
        }
    }
}

async fn compare(app: &App, stop: &CancellationToken) {
    loop {
        let pause = until_next(COMPARE_SECOND, app.now());
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        match stop.run_until_cancelled(app.reconcile_payments()).await {
            None => return,
            Some(Ok(comparison)) => {
                tracing::info!(
                    problems = comparison.problems.len(),
                    movements = comparison.movements,
                    missed_events = comparison.missed_events,
                    waiting_events = comparison.waiting_events,
                    "payments were compared"
                );
            }
            Some(Err(error)) => {
                tracing::error!(error = %chain(&error), "payments were not compared");
            }
        }
    }
}
