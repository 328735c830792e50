//! Telling payers that they reached a part of their soft cap: each alert once, as accounts takes each id once.
//!
//! An alert is claimed in a transaction, handed over without one, and then noted as told. Who dies in between leaves a claim
//! that runs out, and it is handed over again. No hold waits for any of it.

use chrono::TimeDelta;
use kinora_mesh::error::chain;
use tonic::Status;

use super::App;
use crate::clients::Notices;
use crate::domain::Time;
use crate::error::Error;
use crate::metrics::Telling;
use crate::store::alerts::{self, Untold};
use crate::store::payers;

/// A claim lasts longer than any try.
const CLAIM: TimeDelta = TimeDelta::minutes(2);

/// After the first failure, and twice as long after each further one.
const FIRST_DELAY: TimeDelta = TimeDelta::seconds(5);

/// No alert rests for longer than this, give or take a quarter.
const LONGEST_DELAY: TimeDelta = TimeDelta::hours(1);

/// Nobody needs to hear it later.
const GIVE_UP: TimeDelta = TimeDelta::days(3);

impl App {
    /// Has the alert told that waits longest, and answers what became of it. None when none is due. Any number of replicas
    /// may do so at once.
    ///
    /// # Errors
    /// [`Error::Database`]: the alert stays, and is told when the claim has run out.
    pub(crate) async fn tell_next_alert(
        &self,
        notices: &Notices,
    ) -> Result<Option<Telling>, Error> {
        let Some(untold) = self.claim_alert().await? else {
            return Ok(None);
        };
        let reset_time = self.reset_time_of(&untold).await?;
        let answer = notices.tell(&untold, reset_time).await;
        let telling = self.note_telling(&untold, answer).await?;
        self.metrics.alert_told(telling);
        Ok(Some(telling))
    }

    async fn claim_alert(&self) -> Result<Option<Untold>, Error> {
        let now = self.now();
        // Most looks find nothing, and need no transaction that writes.
        if !alerts::is_any_due(self.store.reader(), now).await? {
            return Ok(None);
        }
        let tx = self.store.begin().await?;
        let claimed = alerts::claim(&tx, now, now + CLAIM).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// When the window of an alert ends. None when another one counts by now.
    async fn reset_time_of(&self, untold: &Untold) -> Result<Option<Time>, Error> {
        let reader = self.store.reader();
        let Some(row) = payers::find(reader, &untold.payer).await? else {
            return Ok(None);
        };
        let window = self.in_force(reader).await?.window_of(&row);
        Ok((window.start == untold.window_start).then_some(window.end))
    }

    async fn note_telling(
        &self,
        untold: &Untold,
        answer: Result<(), Status>,
    ) -> Result<Telling, Error> {
        let now = self.now();
        let next = now + delay(untold.attempts, rand::random_range(-0.25..0.25));
        let is_over = next >= untold.alert.create_time + GIVE_UP;
        let tx = self.store.begin().await?;
        let telling = match &answer {
            Ok(()) => {
                alerts::set_told(&tx, untold, now).await?;
                Telling::Told
            }
            Err(_) if is_over => {
                alerts::put_off(&tx, untold, None).await?;
                Telling::GivenUp
            }
            Err(_) => {
                alerts::put_off(&tx, untold, Some(next)).await?;
                Telling::PutOff
            }
        };
        tx.commit().await?;
        if let Err(status) = answer {
            log(untold, telling, &status);
        }
        Ok(telling)
    }
}

fn log(untold: &Untold, telling: Telling, status: &Status) {
    let (payer, percent, attempts) = (&untold.payer, untold.alert.percent, untold.attempts);
    let error = chain(status);
    if telling == Telling::GivenUp {
        tracing::error!(%payer, percent, attempts, %error, "a spend alert is given up: nobody is told");
    } else {
        tracing::warn!(%payer, percent, attempts, %error, "a spend alert was not told; it is tried again");
    }
}

/// How long an alert rests after its `attempts`th failure. `jitter` is a part of that.
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
