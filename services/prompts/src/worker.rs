//! What nobody calls for.

use std::sync::Arc;
use std::time::Duration;

use kinora_mesh::error::chain;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// What is swept is in nobody's way.
const SWEEP_INTERVAL: Duration = Duration::from_secs(20 * 60);

/// Removes reviews whose time is over, until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        match app.sweep().await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "reviews removed"),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "reviews were not swept; it is tried again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}
