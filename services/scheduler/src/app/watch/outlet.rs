//! The way to one watcher.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{App, Sighting};
use crate::error::Error;
use crate::metrics::Metrics;

/// Where sightings go; an error is the last item.
pub type Out = mpsc::Sender<Result<Sighting, Error>>;

/// Sends to a watcher and gives up on one that does not read.
pub struct Outlet<'a> {
    out: &'a Out,
    patience: Duration,
    shutdown: &'a CancellationToken,
    metrics: &'a Metrics,
}

impl<'a> Outlet<'a> {
    pub const fn new(app: &'a App, out: &'a Out) -> Self {
        Self {
            out,
            patience: app.options.watcher_patience,
            shutdown: &app.shutdown,
            metrics: &app.metrics,
        }
    }

    /// Ends when the watcher leaves.
    pub async fn closed(&self) {
        self.out.closed().await;
    }

    /// The end of a watcher that was sent `after_seq` last.
    pub fn too_slow(&self, after_seq: u64) -> Error {
        self.metrics.watcher_dropped();
        Error::WatcherTooSlow { after_seq }
    }

    /// False when the watcher left. `before` is the number it was sent last.
    pub async fn send(&self, sighting: Sighting, before: u64) -> Result<bool, Error> {
        tokio::select! {
            sent = timeout(self.patience, self.out.send(Ok(sighting))) => match sent {
                Ok(sent) => Ok(sent.is_ok()),
                Err(_) => Err(self.too_slow(before)),
            },
            () = self.shutdown.cancelled() => Err(Error::ShuttingDown),
        }
    }
}
