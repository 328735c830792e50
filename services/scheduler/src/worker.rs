//! Background loops.

use std::sync::Arc;
use std::time::Instant;

use kinora_mesh::error::chain;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Takes jobs from workers that fell silent, until stopped.
pub async fn reap(app: Arc<App>, stop: CancellationToken) {
    let started = Instant::now();
    let mut ticks = interval(app.options().reap_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = app.reap(started.elapsed()).await {
            tracing::warn!(error = %chain(&error), "lost workers were not looked for");
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
