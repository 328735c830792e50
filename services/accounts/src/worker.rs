//! Background loops. Each replica runs them all; rows are locked, so that they keep out of each other's way.

use std::sync::Arc;
use std::time::Duration;

use kinora_mesh::error::chain;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::app::mail_relay::{self, Pace};
use crate::clients::mail::Carrier;
use crate::store::sweep::Leftover;

/// Keys are turned over by the day.
const KEYS_INTERVAL: Duration = Duration::from_secs(60);

/// Whoever leaves does so by the day, too.
const ERASURE_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Accounts erased before others have their turn.
const ERASED_AT_ONCE: u64 = 100;

/// Nothing that is swept is in anybody's way.
const SWEEP_INTERVAL: Duration = Duration::from_secs(20 * 60);

/// Does what nobody calls for, until stopped.
pub async fn run(app: Arc<App>, carrier: Arc<Carrier>, stop: CancellationToken) {
    tokio::join!(
        mail_relay::run(Arc::clone(&app), carrier, Pace::default(), &stop),
        tend_keys(&app, &stop),
        erase(&app, &stop),
        sweep(&app, &stop),
    );
}

async fn tend_keys(app: &App, stop: &CancellationToken) {
    loop {
        if let Err(error) = app.tend_signing_keys().await {
            tracing::warn!(error = %chain(&error), "signing keys were not looked after");
        }
        if is_over_after(KEYS_INTERVAL, stop).await {
            return;
        }
    }
}

async fn erase(app: &App, stop: &CancellationToken) {
    loop {
        match app.erase_due(app.now(), ERASED_AT_ONCE).await {
            Ok(0) => {}
            Ok(erased) => tracing::info!(erased, "accounts were erased"),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "accounts were not erased; it is tried again");
            }
        }
        if is_over_after(ERASURE_INTERVAL, stop).await {
            return;
        }
    }
}

async fn sweep(app: &App, stop: &CancellationToken) {
    loop {
        for leftover in Leftover::ALL {
            let swept = stop.run_until_cancelled(app.sweep(leftover)).await;
            match swept {
                Some(Ok(0)) | None => {}
                Some(Ok(rows)) => tracing::debug!(?leftover, rows, "swept"),
                Some(Err(error)) => {
                    tracing::warn!(?leftover, error = %chain(&error), "not swept; it is tried again");
                }
            }
        }
        if is_over_after(SWEEP_INTERVAL, stop).await {
            return;
        }
    }
}

/// Waits for about that long: replicas that started at once do not stay together. True when it is time to stop.
async fn is_over_after(interval: Duration, stop: &CancellationToken) -> bool {
    let pause = sleep(interval.mul_f64(rand::random_range(0.8..1.2)));
    stop.run_until_cancelled(pause).await.is_none()
}

#[cfg(test)]
mod tests;
