//! Background loops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kinora_mesh::error::chain;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Months are not in a hurry.
const MONTHS_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// A database that takes longer than this to answer the reaper is away.
const REAP_TIMEOUT: Duration = Duration::from_secs(30);

/// Takes jobs from workers that fell silent, until stopped.
pub async fn reap(app: Arc<App>, stop: CancellationToken) {
    // Workers are only lost by silence while they could be heard.
    let mut listening_since = Instant::now();
    let mut last_tick = app.now();
    let mut ticks = interval(app.options().reap_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = app.now();
        let slept = (now - last_tick).to_std().unwrap_or_default();
        last_tick = now;
        if slept > app.options().reap_interval + app.options().worker_ttl {
            // The machine or the process stood still; the monotonic clock may not count that.
            tracing::warn!(?slept, "the clock jumped; workers get their time again");
            listening_since = Instant::now();
        }
        let reaped = tokio::select! {
            () = stop.cancelled() => return,
            reaped = timeout(REAP_TIMEOUT, app.reap(listening_since.elapsed())) => reaped,
        };
        match reaped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "lost workers were not looked for");
                listening_since = Instant::now();
            }
            Err(_) => {
                tracing::warn!("the database did not answer the reaper");
                listening_since = Instant::now();
            }
        }
    }
}

/// Removes objects that nobody needs any more, until stopped.
pub async fn sweep(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = interval(app.options().sweep_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // A removal that hangs must not keep the process from ending; it is tried again later.
        tokio::select! {
            () = stop.cancelled() => return,
            swept = app.sweep() => if let Err(error) = swept {
                tracing::warn!(error = %chain(&error), "objects were not swept");
            }
        }
    }
}

/// Expires and forgets jobs whose time is over, until stopped.
pub async fn upkeep(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = interval(app.options().upkeep_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            kept = app.upkeep() => if let Err(error) = kept {
                tracing::warn!(error = %chain(&error), "jobs whose time is over were not looked for");
            }
        }
    }
    // A database that is away must not keep the process from ending.
    let _ = timeout(REAP_TIMEOUT, app.hand_over_upkeep()).await;
}

/// Keeps tables for the months of ended jobs, until stopped.
pub async fn keep_months(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = interval(MONTHS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            kept = app.keep_months() => if let Err(error) = kept {
                tracing::warn!(error = %chain(&error), "tables of months were not looked after; trying again later");
            }
        }
    }
}

/// Acts on what other replicas say, until stopped.
pub async fn hear(app: Arc<App>, stop: CancellationToken) {
    app.hear(&stop).await;
}

/// Stores progress that no later report has stored, until stopped.
pub async fn store_progress(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = interval(app.options().progress_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            stored = app.store_late_progress() => if let Err(error) = stored {
                tracing::warn!(error = %chain(&error), "progress was not stored");
            }
        }
    }
}

/// Shows operators what waits, what runs and who works, until stopped.
pub async fn measure(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = interval(app.options().measure_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            measured = app.measure() => if let Err(error) = measured {
                tracing::warn!(error = %chain(&error), "the queue was not measured");
            }
        }
    }
}
