//! Background loops.

use std::sync::Arc;
use std::time::Duration;

use kinora_mesh::error::chain;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Keys are turned over by the day.
const KEYS_INTERVAL: Duration = Duration::from_secs(60);

/// Does what nobody calls for, until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    tokio::join!(tend_keys(&app, &stop));
}

async fn tend_keys(app: &App, stop: &CancellationToken) {
    let mut ticks = interval(KEYS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = app.tend_signing_keys().await {
            tracing::warn!(error = %chain(&error), "signing keys were not looked after");
        }
    }
}
