//! Keeps a bundle fresh.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kinora_mesh::error::chain;
use kinora_proto::accounts::v1 as pb;
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{CALL_TIMEOUT, TrustBundle, TrustSource};
use crate::error::Refusal;

/// How often the source is asked.
pub const POLL_INTERVAL: Duration = Duration::from_secs(3);

/// How long a bundle is gone by while the source does not answer.
pub const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// The shortest time between two questions, however many unknown keys turn up.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// How long a call waits for a bundle, or for one that has its key.
const PATIENCE: Duration = Duration::from_secs(4);

/// Asks a source for its bundle every few seconds, and sooner when a token comes under a key that is not known.
///
/// While the source is away, tokens are checked against what it said last, for [`MAX_AGE`].
pub struct TrustKeeper {
    source: Arc<dyn TrustSource>,
    held: RwLock<Option<Held>>,
    demand: Notify,
    rounds: watch::Sender<Rounds>,
    news: watch::Sender<Option<News>>,
}

#[derive(Clone)]
struct Held {
    news: News,
    /// When the source last said that this is its newest.
    confirmed: Instant,
}

/// A bundle, as what is open learns of it.
#[derive(Clone)]
pub(crate) struct News {
    pub(crate) bundle: Arc<TrustBundle>,
    /// Since when the source has not been away for [`MAX_AGE`] or longer. What has ended before may be forgotten already.
    pub(crate) known_since: Instant,
}

/// How many questions have been asked, and how many of them have come to an end.
#[derive(Clone, Copy, Default)]
struct Rounds {
    begun: u64,
    ended: u64,
}

impl TrustKeeper {
    /// Knows nothing until [`Self::run`] runs.
    #[must_use]
    pub fn new(source: Arc<dyn TrustSource>) -> Self {
        Self {
            source,
            held: RwLock::new(None),
            demand: Notify::new(),
            rounds: watch::Sender::default(),
            news: watch::Sender::new(None),
        }
    }

    /// Makes a keeper and runs it until `shutdown`.
    #[must_use]
    pub fn start(source: Arc<dyn TrustSource>, shutdown: CancellationToken) -> Arc<Self> {
        let keeper = Arc::new(Self::new(source));
        let running = Arc::clone(&keeper);
        tokio::spawn(async move { running.run(shutdown).await });
        keeper
    }

    /// Keeps the bundle fresh until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut is_away = false;
        loop {
            let asked = Instant::now();
            let answered = tokio::select! {
                answered = self.ask() => answered,
                () = shutdown.cancelled() => return,
            };
            if let Err(problem) = &answered
                && !is_away
            {
                tracing::warn!(%problem, "the accounts service gives no trust bundle; going on with the last one");
            }
            if answered.is_ok() && is_away {
                tracing::info!("the accounts service gives a trust bundle again");
            }
            is_away = answered.is_err();
            tokio::select! {
                () = sleep_until(asked + POLL_INTERVAL) => {}
                () = self.demand.notified() => sleep_until(asked + MIN_INTERVAL).await,
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// The present bundle. Waits a moment for the very first one.
    ///
    /// # Errors
    /// [`Refusal::TrustUnavailable`] when there is none, or none that is younger than [`MAX_AGE`].
    pub async fn bundle(&self) -> Result<Arc<TrustBundle>, Refusal> {
        if self.held.read().is_none() {
            self.until(|_| true).await;
        }
        self.present().ok_or(Refusal::TrustUnavailable)
    }

    /// A bundle that has this key, if the source knows it now. Asks the source when the present one has not, at most once
    /// a second for all calls together.
    ///
    /// # Errors
    /// As [`Self::bundle`].
    pub async fn bundle_with_key(&self, id: &str) -> Result<Arc<TrustBundle>, Refusal> {
        let bundle = self.bundle().await?;
        if bundle.key(id).is_some() {
            return Ok(bundle);
        }
        self.until(|bundle| bundle.key(id).is_some()).await;
        self.present().ok_or(Refusal::TrustUnavailable)
    }

    fn present(&self) -> Option<Arc<TrustBundle>> {
        let held = self.held.read();
        let fresh = held
            .as_ref()
            .filter(|held| held.confirmed.elapsed() < MAX_AGE);
        fresh.map(|held| Arc::clone(&held.news.bundle))
    }

    /// What the source says from now on, whenever that changes. None until it has said anything.
    pub(crate) fn news(&self) -> watch::Receiver<Option<News>> {
        self.news.subscribe()
    }

    /// Waits for a bundle that will do, or for the end of a question that was asked after this was called.
    async fn until(&self, is_enough: impl Fn(&TrustBundle) -> bool) {
        let mut rounds = self.rounds.subscribe();
        let last = rounds.borrow_and_update().begun + 1;
        self.demand.notify_one();
        let waiting = async {
            loop {
                let is_over = rounds.borrow_and_update().ended >= last;
                if is_over || self.present().is_some_and(|bundle| is_enough(&bundle)) {
                    return;
                }
                if rounds.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whatever it was, the caller looks once more.
        let _ = timeout(PATIENCE, waiting).await;
    }

    /// Asks once.
    async fn ask(&self) -> Result<(), String> {
        self.rounds.send_modify(|rounds| rounds.begun += 1);
        let known = self
            .held
            .read()
            .as_ref()
            .map(|held| held.news.bundle.revision().to_owned());
        let request = pb::GetTrustRequest {
            known_revision: known.unwrap_or_default(),
        };
        let answered = match timeout(CALL_TIMEOUT, self.source.get_trust(request)).await {
            Ok(Ok(answer)) => self.take(answer),
            Ok(Err(status)) => Err(chain(&status)),
            Err(_) => Err("no answer in time".to_owned()),
        };
        self.rounds
            .send_modify(|rounds| rounds.ended = rounds.begun);
        answered
    }

    fn take(&self, answer: pb::GetTrustResponse) -> Result<(), String> {
        let pb::GetTrustResponse { revision, trust } = answer;
        let read = trust
            .map(|trust| TrustBundle::read(revision.clone(), trust))
            .transpose();
        let new = read.map_err(|error| error.to_string())?;
        let now = Instant::now();
        let mut held = self.held.write();
        let bundle = match (new, held.as_ref()) {
            (Some(bundle), _) => Arc::new(bundle),
            (None, Some(held)) if held.news.bundle.revision() == revision => {
                Arc::clone(&held.news.bundle)
            }
            (None, _) => return Err("an answer without a bundle".to_owned()),
        };
        let before = held.as_ref().filter(|held| now - held.confirmed < MAX_AGE);
        let is_same = before.is_some_and(|held| Arc::ptr_eq(&held.news.bundle, &bundle));
        let news = News {
            bundle,
            known_since: before.map_or(now, |held| held.news.known_since),
        };
        if !is_same {
            self.news.send_replace(Some(news.clone()));
        }
        *held = Some(Held {
            news,
            confirmed: now,
        });
        Ok(())
    }
}

impl fmt::Debug for TrustKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.read();
        f.debug_struct("TrustKeeper")
            .field("bundle", &held.as_ref().map(|held| &held.news.bundle))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
