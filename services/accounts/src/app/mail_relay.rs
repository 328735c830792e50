//! Sends the mails of the outbox: at least once each, most often once.
//!
//! A mail is claimed in a transaction, sent without one, and then forgotten. Who dies in between leaves a claim that runs
//! out, and the mail is sent again. How a mail server behaves is of no concern to any call: calls only write rows.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use kinora_mesh::error::chain;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::App;
use crate::clients::mail::{Carrier, CarryError};
use crate::error::Error;
use crate::store::entity::people::mail;
use crate::store::outbox;

/// A claim lasts longer than any try.
const CLAIM: TimeDelta = TimeDelta::minutes(2);

/// After the first failure, and twice as long after each further one.
const FIRST_DELAY: TimeDelta = TimeDelta::seconds(5);

/// No mail rests for longer than this, give or take a quarter.
const LONGEST_DELAY: TimeDelta = TimeDelta::minutes(10);

/// How the relay goes about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two looks into the outbox.
    pub(crate) poll: Duration,
    /// So many mails are sent at a time.
    pub(crate) at_once: usize,
    /// How long one may take, connection and all. A server that hangs costs the others no more.
    pub(crate) patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            at_once: 8,
            patience: Duration::from_secs(30),
        }
    }
}

/// Sends mails until stopped. Any number of these may run on one database. Mails on their way at the end get a moment more;
/// what is not sent by then is sent after the next start.
pub(crate) async fn run(
    app: Arc<App>,
    carrier: Arc<Carrier>,
    pace: Pace,
    stop: &CancellationToken,
) {
    let mut sending = JoinSet::new();
    let mut ticks = interval(pace.poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = sending.join_next() => note(ended),
            _ = ticks.tick() => {}
        }
        let room = pace.at_once.saturating_sub(sending.len());
        match app.claim_mails(room).await {
            Ok(mails) => {
                for mail in mails {
                    let (app, carrier) = (Arc::clone(&app), Arc::clone(&carrier));
                    sending.spawn(async move { app.send(&carrier, mail, pace.patience).await });
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the outbox was not read; it is tried again");
                // Not at once, as an end of a sending would have it.
                ticks.tick().await;
            }
        }
    }
    let last = async {
        while let Some(ended) = sending.join_next().await {
            note(ended);
        }
    };
    if timeout(GRACE, last).await.is_err() {
        tracing::info!("mails on their way are sent again after the next start");
    }
}

/// For mails that are on their way at the end.
const GRACE: Duration = Duration::from_secs(5);

fn note(ended: Result<Result<(), Error>, tokio::task::JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = %chain(&error), "what became of a mail was not noted; it is sent again");
        }
        Err(error) => tracing::error!(%error, "the sending of a mail broke"),
    }
}

impl App {
    /// Takes up to `most` mails that are due.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn claim_mails(&self, most: usize) -> Result<Vec<mail::Model>, Error> {
        let now = self.now();
        // Most looks find nothing, and need no transaction that writes.
        if most == 0 || !outbox::is_any_due(self.store.reader(), now).await? {
            return Ok(Vec::new());
        }
        let tx = self.store.begin().await?;
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let mails = outbox::claim(&tx, now, now + CLAIM, most).await?;
        tx.commit().await?;
        Ok(mails)
    }

    /// Tries to send a mail that was claimed, and notes what became of it.
    ///
    /// # Errors
    /// [`Error::Database`]: the mail stays, and is sent again when the claim has run out.
    pub(crate) async fn send(
        &self,
        carrier: &Carrier,
        mail: mail::Model,
        patience: Duration,
    ) -> Result<(), Error> {
        let carried = timeout(patience, carrier.carry(&mail, self.now())).await;
        let carried = carried.unwrap_or(Err(CarryError::TimedOut));
        let next = self.now() + delay(mail.attempts, rand::random_range(-0.25..0.25));
        let tx = self.store.begin().await?;
        match carried {
            Ok(()) => outbox::remove(&tx, mail.id).await?,
            Err(failure) if failure.is_final() || next >= mail.give_up_time => {
                outbox::remove(&tx, mail.id).await?;
                warn_of(&mail, &failure, "a mail is given up");
            }
            Err(failure) => {
                outbox::put_off(&tx, &mail, next).await?;
                warn_of(&mail, &failure, "a mail was not sent; it is tried again");
            }
        }
        Ok(tx.commit().await?)
    }
}

/// Says neither to whom nor what.
fn warn_of(mail: &mail::Model, failure: &CarryError, what: &str) {
    tracing::warn!(mail = %mail.id, attempts = mail.attempts, failure = %chain(failure), "{what}");
}

/// How long a mail rests after its `attempts`th failure. `jitter` is a part of that.
fn delay(attempts: i32, jitter: f64) -> TimeDelta {
    let doublings = u32::try_from(attempts.saturating_sub(1))
        .unwrap_or(0)
        .min(16);
    let delay = (FIRST_DELAY * (1_i32 << doublings)).min(LONGEST_DELAY);
    let delay = delay.to_std().unwrap_or_default().mul_f64(1.0 + jitter);
    TimeDelta::from_std(delay).unwrap_or(LONGEST_DELAY)
}

#[cfg(test)]
mod tests;
