//! What time it is.
//!
//! Replicas write times that others compare with theirs: when a worker was heard, when a job may run. So they all go by
//! the clock of the database server that they share, and what happens to a replica's own clock does not matter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use kinora_mesh::error::chain;
use kinora_store::{Database, StoreError};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::domain::job::Time;

/// How often the database is asked for the time: so long may replicas disagree after its clock has stepped.
pub const RESET_INTERVAL: Duration = Duration::from_secs(1);

/// A difference between clocks that neither drift nor the way of an answer makes.
pub const CLOCK_STEP: Duration = Duration::from_secs(1);

/// Tells the time. Passed in, so that tests can have their own.
pub trait Clock: Send + Sync {
    /// The present, to the microsecond that databases keep.
    fn now(&self) -> Time;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let now = Utc::now();
        Time::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}

/// The clock of the database server, carried on between looks by the steady clock of this machine. A database without a
/// clock belongs to one process, whose own clock serves.
pub struct DatabaseClock {
    own: Arc<dyn Clock>,
    anchor: RwLock<Option<Anchor>>,
}

/// What time it was when.
#[derive(Clone, Copy)]
struct Anchor {
    time: Time,
    at: Instant,
}

impl DatabaseClock {
    /// Asks for the time once.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn start(db: &Database, own: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let anchor = RwLock::new(look(db).await?);
        Ok(Self { own, anchor })
    }

    /// Asks again from time to time, until stopped.
    pub async fn keep(self: Arc<Self>, db: Database, stop: CancellationToken) {
        if self.anchor.read().is_none() {
            return;
        }
        let mut ticks = tokio::time::interval(RESET_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = async { ticks.tick().await; look(&db).await } => looked,
            };
            match looked {
                Ok(anchor) => *self.anchor.write() = anchor,
                // The steady clock goes on meanwhile.
                Err(error) => tracing::debug!(error = %chain(&error), "the time was not told"),
            }
        }
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Time {
        let Some(anchor) = *self.anchor.read() else {
            return self.own.now();
        };
        let now = TimeDelta::from_std(anchor.at.elapsed())
            .ok()
            .and_then(|passed| anchor.time.checked_add_signed(passed));
        let now = now.unwrap_or(anchor.time);
        Time::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}

/// The server read its clock some time between the question and the answer: half-way is the best guess.
async fn look(db: &Database) -> Result<Option<Anchor>, StoreError> {
    let asked = Instant::now();
    let time = db.server_time().await?;
    let at = asked + asked.elapsed() / 2;
    Ok(time.map(|time| Anchor { time, at }))
}

#[cfg(test)]
mod tests {
    use kinora_testkit::postgres::TestPostgres;

    use super::*;

    /// An hour ahead, as after a step.
    struct Ahead;

    impl Clock for Ahead {
        fn now(&self) -> Time {
            SystemClock.now() + TimeDelta::hours(1)
        }
    }

    async fn started(url: &str) -> DatabaseClock {
        let db = Database::connect(&url.parse().unwrap()).await.unwrap();
        DatabaseClock::start(&db, Arc::new(Ahead)).await.unwrap()
    }

    #[tokio::test]
    async fn replicas_on_one_server_ignore_their_own_clocks() {
        let url = TestPostgres::of_this_run().create_database().await;
        let clock = started(&url).await;
        let off = (clock.now() - SystemClock.now()).abs();
        assert!(off < TimeDelta::minutes(10), "the server runs here: {off}");
    }

    #[tokio::test]
    async fn an_embedded_database_goes_by_the_clock_of_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("db").display());
        let clock = started(&url).await;
        let off = clock.now() - SystemClock.now();
        assert!(off > TimeDelta::minutes(50), "{off}");
    }
}
