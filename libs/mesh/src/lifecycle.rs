//! The life of a service, as whoever sends it calls sees it: not ready yet, ready, draining, gone.
//!
//! A service begins its [`Lifecycle`] before anything that may take long, such as bringing a schema up to date, and
//! says [`Lifecycle::serve`] once it can answer. A stop is asked for by one token; from then on the service says that it
//! is not ready, and the drain delay later it stops for good. That leaves balancers the time to notice, and on one
//! machine, where there are none, it is no time at all.

mod probes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::MeshError;
use crate::serve::bind;

/// Where a service says how it is, to who cannot speak the mesh's mutual TLS.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ProbeOptions {
    /// Address of a port for probes: plain HTTP/1.1, `GET /livez` and `GET /readyz`, and nothing else. None by default.
    #[arg(long, env = "KINORA_HEALTH_LISTEN")]
    pub health_listen: Option<SocketAddr>,
}

/// How a service leaves.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DrainOptions {
    /// How long calls are answered as before once a stop was asked for, while health says no: as long as balancers take
    /// to notice. 0s where nothing sends calls by health.
    #[arg(long, env = "KINORA_DRAIN_DELAY", default_value = "0s", value_parser = humantime::parse_duration)]
    pub drain_delay: Duration,
}

/// Where a service is in its life. Clones share it.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    readiness: Readiness,
    stopping: CancellationToken,
    _probes: Option<Arc<DropGuard>>,
}

/// Whether a service may be called now.
#[derive(Clone, Debug)]
struct Readiness {
    has_begun: Arc<AtomicBool>,
    draining: CancellationToken,
}

impl Lifecycle {
    /// Begins it. Probes are answered from now on, until the last clone is dropped.
    ///
    /// # Errors
    /// [`MeshError::Bind`] when the address for probes cannot be had.
    pub async fn begin(
        probes: ProbeOptions,
        drain: DrainOptions,
        shutdown: &CancellationToken,
    ) -> Result<Self, MeshError> {
        let readiness = Readiness::until(shutdown);
        let probes = match probes.health_listen {
            Some(address) => {
                let listener = bind(address).await?;
                Some(Arc::new(probes::start(listener, readiness.clone())))
            }
            None => None,
        };
        Ok(Self {
            stopping: after(drain.drain_delay, &readiness.draining),
            readiness,
            _probes: probes,
        })
    }

    /// One without probes and delay.
    #[must_use]
    pub fn until(shutdown: &CancellationToken) -> Self {
        let readiness = Readiness::until(shutdown);
        Self {
            stopping: readiness.draining.clone(),
            readiness,
            _probes: None,
        }
    }

    /// Says that calls can be answered.
    pub fn serve(&self) {
        self.readiness.has_begun.store(true, Ordering::Release);
    }

    /// Whether calls can be answered, and more may come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// Cancelled once nothing more should come.
    #[must_use]
    pub const fn draining(&self) -> &CancellationToken {
        &self.readiness.draining
    }

    /// Cancelled once what is open is to end: the drain delay after [`Self::draining`].
    #[must_use]
    pub const fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }
}

impl Readiness {
    /// Whoever lives this life may end it, and nothing but it.
    fn until(shutdown: &CancellationToken) -> Self {
        Self {
            has_begun: Arc::default(),
            draining: shutdown.child_token(),
        }
    }

    fn is_ready(&self) -> bool {
        self.has_begun.load(Ordering::Acquire) && !self.draining.is_cancelled()
    }
}

/// A token that is cancelled so long after another one.
fn after(delay: Duration, first: &CancellationToken) -> CancellationToken {
    if delay.is_zero() {
        return first.clone();
    }
    let (first, second) = (first.clone(), CancellationToken::new());
    let later = second.clone();
    tokio::spawn(async move {
        first.cancelled().await;
        tracing::info!(?delay, "not ready any more; stopping after the drain delay");
        tokio::time::sleep(delay).await;
        later.cancel();
    });
    second
}

#[cfg(test)]
mod tests;
