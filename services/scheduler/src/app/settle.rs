//! Telling billing what has become of holds, and seeing to it that every hold has a job and every end its settlement.

use std::time::Duration;

use chrono::TimeDelta;
use futures::{StreamExt, stream};
use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError, chain};

use super::App;
use super::billing::Billing;
use crate::clients::call::CallError;
use crate::domain::hold::{Due, OpenHold};
use crate::domain::job::Time;
use crate::error::Error;
use crate::metrics::Swept;
use crate::store::{Compared, DueSettlement};

/// The duty of comparing holds with jobs.
const HOLDS: &str = "holds";

/// Settlements taken in one go.
const BATCH: u64 = 64;

/// Settlements tried at a time.
const AT_ONCE: usize = 8;

/// A settlement that another replica began is tried here after this long.
const LEASE: Duration = Duration::from_secs(60);

const FIRST_BACKOFF: Duration = Duration::from_secs(1);

const LONGEST_BACKOFF: Duration = Duration::from_secs(120);

/// Younger holds may be of jobs that are about to be stored.
const LEAST_AGE: TimeDelta = TimeDelta::minutes(10);

/// What another replica noted just now may bear a time a little ahead of ours.
const CLOCK_SLACK: TimeDelta = TimeDelta::minutes(1);

/// Holds that end sooner are renewed.
const RENEW_BEFORE: TimeDelta = TimeDelta::hours(12);

/// What billing takes in one call.
const MOST_RENEWED: usize = 1000;

/// Forgotten jobs that are looked at in one go.
const FORGOTTEN_BATCH: u32 = 500;

/// What is done is remembered for this long, and what billing would not have.
const KEPT: TimeDelta = TimeDelta::days(7);
const KEPT_ASIDE: TimeDelta = TimeDelta::days(90);

const PURGE_BATCH: u64 = 1000;

impl App {
    /// Whether jobs cost anything.
    #[must_use]
    pub const fn has_billing(&self) -> bool {
        self.billing.is_some()
    }

    /// Tells billing what is due, until there is nothing more or billing is away.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn settle(&self) -> Result<(), Error> {
        let Some(billing) = &self.billing else {
            return Ok(());
        };
        while !billing.is_resting() && !self.shutdown.is_cancelled() {
            let now = self.now();
            let due = self.store.due_settlements(now, LEASE, BATCH).await?;
            if due.is_empty() {
                return Ok(());
            }
            let tries = due.into_iter().map(|one| self.settle_one(billing, one));
            let mut tries = stream::iter(tries).buffer_unordered(AT_ONCE);
            while let Some(tried) = tries.next().await {
                tried?;
            }
        }
        Ok(())
    }

    async fn settle_one(&self, billing: &Billing, one: DueSettlement) -> Result<(), Error> {
        let job = one.job;
        // Those that were taken together with one that found billing away need not find out again.
        let told = if billing.is_resting() {
            None
        } else {
            Some(billing.settle(job, one.due).await)
        };
        match told {
            Some(Ok(())) => {
                match one.due {
                    Due::Capture { .. } => self.metrics.hold_captured(),
                    Due::Release => self.metrics.hold_released(),
                }
                tracing::info!(job_id = %job, due = ?one.due, "a hold is settled");
                Ok(self.store.settled(job, self.now()).await?)
            }
            Some(Err(CallError::Refused(refused))) if is_final(&refused) => {
                // A contradiction between two services about money: somebody has to look.
                tracing::error!(job_id = %job, due = ?one.due, reason = refused.reason, "billing will not settle a hold");
                self.metrics.settlement_set_aside();
                let reason = &refused.reason;
                let aside = self.store.set_settlement_aside(job, reason, self.now());
                Ok(aside.await?)
            }
            Some(Err(error)) => {
                self.metrics.settlement_retried();
                tracing::warn!(job_id = %job, attempts = one.attempts, error = %chain(&error), "a hold is not settled yet");
                self.put_off(&one).await
            }
            None => self.put_off(&one).await,
        }
    }

    async fn put_off(&self, one: &DueSettlement) -> Result<(), Error> {
        let next_at = self.now() + backoff(one.attempts, rand::random());
        Ok(self.store.postpone_settlement(one.job, next_at).await?)
    }

    /// Compares the holds that are open with the jobs, if this replica has that duty: holds of jobs that go on are renewed,
    /// those without a job released, and ends that were not noted are noted.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::BillingUnavailable`].
    pub async fn sweep_holds(&self) -> Result<(), Error> {
        let Some(billing) = &self.billing else {
            return Ok(());
        };
        let now = self.now();
        // Others take over when this replica misses three rounds.
        let ttl = self.options.hold_sweep_interval * 3;
        if !self.store.duty(HOLDS, &self.replica, now, ttl).await? {
            return Ok(());
        }
        self.note_forgotten(now).await?;
        self.purge_settlements(now).await?;
        let mut page_token = String::new();
        while !self.shutdown.is_cancelled() {
            let page = billing.open_holds(now - LEAST_AGE, &page_token).await;
            let page = page.map_err(away)?;
            let compared = self
                .store
                .compare_holds(&page.holds, now - CLOCK_SLACK, now)
                .await?;
            self.note_swept(&compared);
            self.renew(billing, &page.holds, &compared.needed, now)
                .await?;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Lets another replica have the duty at once.
    pub async fn hand_over_holds(&self) {
        if let Err(error) = self.store.give_up_duty(HOLDS, &self.replica).await {
            tracing::debug!(error = %chain(&error), "the duty ends by itself");
        }
    }

    async fn renew(
        &self,
        billing: &Billing,
        holds: &[OpenHold],
        needed: &[JobId],
        now: Time,
    ) -> Result<(), Error> {
        let soon = now + RENEW_BEFORE;
        let ends_soon = |hold: &&OpenHold| hold.expire_time.is_none_or(|end| end < soon);
        let ending = holds.iter().filter(ends_soon).map(|hold| hold.job);
        let ending: Vec<JobId> = ending.filter(|job| needed.contains(job)).collect();
        for jobs in ending.chunks(MOST_RENEWED) {
            billing.renew(jobs).await.map_err(away)?;
        }
        Ok(())
    }

    async fn note_forgotten(&self, now: Time) -> Result<(), Error> {
        let mut after = None;
        loop {
            let noted = self.store.settle_forgotten(after, FORGOTTEN_BATCH, now);
            let (unsettled, next) = noted.await?;
            let compared = Compared {
                unsettled,
                ..Compared::default()
            };
            self.note_swept(&compared);
            after = next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn note_swept(&self, compared: &Compared) {
        let Compared {
            needed: _,
            orphaned,
            unsettled,
            reopened,
        } = *compared;
        for (found, holds) in [
            (Swept::Orphaned, orphaned),
            (Swept::Unsettled, unsettled),
            (Swept::Reopened, reopened),
        ] {
            if holds > 0 {
                tracing::warn!(?found, holds, "holds are put right");
                self.metrics.holds_swept(found, holds);
            }
        }
    }

    async fn purge_settlements(&self, now: Time) -> Result<(), Error> {
        loop {
            let purged = self
                .store
                .purge_settlements(now - KEPT, now - KEPT_ASIDE, PURGE_BATCH);
            if purged.await? < PURGE_BATCH {
                return Ok(());
            }
        }
    }
}

/// Whether the same words will never be taken: the hold was settled otherwise, is not there, or is less.
fn is_final(refused: &PublicError) -> bool {
    match refused.kind {
        Kind::NotFound | Kind::InvalidArgument | Kind::AlreadyExists => true,
        Kind::FailedPrecondition => refused.reason == "HOLD_SETTLED",
        Kind::Aborted
        | Kind::Unauthenticated
        | Kind::PermissionDenied
        | Kind::ResourceExhausted
        | Kind::Cancelled
        | Kind::DeadlineExceeded
        | Kind::Unavailable
        | Kind::Unimplemented
        | Kind::Internal => false,
    }
}

fn away(error: CallError) -> Error {
    tracing::debug!(error = %chain(&error), "holds are not compared now");
    Error::BillingUnavailable
}

/// Doubles with every try, and is spread over its upper half. `chance` is from 0 to 1.
fn backoff(attempts: u32, chance: f64) -> Duration {
    let bound = (FIRST_BACKOFF * 2_u32.pow(attempts.min(16))).min(LONGEST_BACKOFF);
    bound.mul_f64(f64::midpoint(1.0, chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_two_minutes_and_is_spread() {
        assert_eq!(backoff(0, 1.0), FIRST_BACKOFF);
        assert_eq!(backoff(0, 0.0), FIRST_BACKOFF / 2);
        assert_eq!(backoff(3, 1.0), Duration::from_secs(8));
        assert_eq!(backoff(u32::MAX, 1.0), LONGEST_BACKOFF);
        assert_eq!(backoff(u32::MAX, 0.0), LONGEST_BACKOFF / 2);
    }

    #[test]
    fn contradictions_are_final_and_trouble_is_not() {
        let refused = |kind, reason| PublicError::new(kind, reason, "no");
        for (kind, reason, expected) in [
            (Kind::FailedPrecondition, "HOLD_SETTLED", true),
            (Kind::NotFound, "HOLD_NOT_FOUND", true),
            (Kind::InvalidArgument, "CAPTURE_EXCEEDS_HOLD", true),
            (Kind::FailedPrecondition, "PAYER_FROZEN", false),
            (Kind::PermissionDenied, "WORKLOAD_REFUSED", false),
            (Kind::Unavailable, "DATABASE_UNAVAILABLE", false),
        ] {
            assert_eq!(is_final(&refused(kind, reason)), expected, "{reason}");
        }
    }
}
