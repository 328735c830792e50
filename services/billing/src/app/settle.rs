//! What becomes of holds: a clip is paid, or the credits go back.

mod round;

use std::sync::Arc;

use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use super::together::told;
use crate::domain::Time;
use crate::domain::credits::Credits;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::metrics::Ending;
use crate::store::payers::PayerRow;
use crate::store::{holds, payers};

use round::Round;

/// A call that settles a job's hold.
#[derive(Debug)]
pub(super) struct SettleCall {
    pub(super) job: Uuid,
    pub(super) how: How,
}

/// How a hold is settled.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    /// A clip was delivered under `lease`; it takes `credits`, all that is held when none are named.
    Capture {
        lease: u64,
        credits: Option<Credits>,
    },
    /// The job ended without one.
    Release,
}

/// What became of a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settlement {
    pub(super) hold: Hold,
    /// How it ended, if it was this call that ended it.
    ending: Option<Ending>,
    /// What the platform paid because the hold had lapsed. None when it had not.
    lost: Option<Credits>,
}

/// The settlement that a call asked for.
pub(super) type Settled = Result<Settlement, Refusal>;

impl App {
    /// Takes `credits` of a job's hold, all of it when none are named, for a clip that was delivered under `lease`.
    ///
    /// # Errors
    /// [`Error::Field`]; [`Refusal::HoldNotFound`], [`Refusal::HoldSettled`], [`Refusal::CaptureExceedsHold`];
    /// [`Error::Database`].
    pub(crate) async fn capture(
        &self,
        job: Uuid,
        lease: u64,
        credits: Option<Credits>,
    ) -> Result<Hold, Error> {
        check_capture(lease, credits)?;
        let payer = self.payer_of(job).await?.ok_or(Refusal::HoldNotFound)?;
        let how = How::Capture { lease, credits };
        self.settle(payer, SettleCall { job, how }).await
    }

    /// Gives back all of a job's hold. None when it has none.
    ///
    /// # Errors
    /// [`Refusal::HoldSettled`] when it was captured; [`Error::Database`].
    pub(crate) async fn release(&self, job: Uuid) -> Result<Option<Hold>, Error> {
        let Some(payer) = self.payer_of(job).await? else {
            return Ok(None);
        };
        let how = How::Release;
        let hold = self.settle(payer, SettleCall { job, how }).await?;
        Ok(Some(hold))
    }

    async fn settle(&self, payer: Payer, call: SettleCall) -> Result<Hold, Error> {
        let work = |calls| self.settle_together(payer, calls);
        let settled = self.settle_line.call(payer, call, 1, work).await??;
        if let Some(ending) = settled.ending {
            self.metrics.hold_ended(ending);
        }
        let hold = settled.hold;
        if let Some(lost) = settled.lost {
            self.metrics.captured_late(lost);
            let (job, captured) = (hold.job, hold.captured);
            tracing::warn!(%job, %payer, %captured, %lost, "a clip was paid after its hold had lapsed");
        }
        Ok(hold)
    }

    /// Does calls about holds of one payer in one transaction, as if each had come after the one before it.
    pub(super) async fn settle_together(
        &self,
        payer: Payer,
        calls: Vec<Arc<SettleCall>>,
    ) -> Result<Vec<Settled>, Error> {
        let tx = self.store.begin().await?;
        let jobs = calls.iter().map(|call| call.job);
        let mut round = Round::begin(&tx, &payer, jobs, self.now()).await?;
        let mut answers = Vec::with_capacity(calls.len());
        for call in &calls {
            answers.push(told(round.settle(&tx, call).await)?);
        }
        round.write(&tx).await?;
        tx.commit().await?;
        Ok(answers)
    }

    /// Gives back all of a hold that nobody settled or renewed, and answers whether it was overdue.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn lapse(&self, payer: &Payer, job: Uuid) -> Result<bool, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let mut round = Round::begin(&tx, payer, [job].into_iter(), now).await?;
        let hold = round.hold(job)?;
        if !hold.is_overdue(now) {
            return Ok(false);
        }
        let credits = hold.credits;
        round.end(&tx, hold, HoldState::Expired).await?;
        round.write(&tx).await?;
        tx.commit().await?;
        self.metrics.hold_ended(Ending::Lapsed);
        tracing::warn!(%job, %payer, %credits, "a hold lapsed: nobody settled or renewed it");
        Ok(true)
    }

    /// Who pays for a job. That never changes.
    pub(super) async fn payer_of(&self, job: Uuid) -> Result<Option<Payer>, Error> {
        let hold = holds::find(self.store.reader(), job).await?;
        Ok(hold.map(|hold| hold.payer))
    }
}

/// A payer, and a hold of its.
pub(super) async fn lock(
    tx: &DatabaseTransaction,
    payer: &Payer,
    job: Uuid,
    now: Time,
) -> Result<(PayerRow, Hold), Error> {
    let row = payers::lock(tx, payer, now).await?;
    let hold = holds::lock(tx, job).await?.ok_or(Refusal::HoldNotFound)?;
    Ok((row, hold))
}

fn check_capture(lease: u64, credits: Option<Credits>) -> Result<(), Error> {
    if lease == 0 || i64::try_from(lease).is_err() {
        return Err(Error::Field {
            field: "lease",
            problem: "is 1 to 9223372036854775807",
        });
    }
    // A job that nobody pays for is released.
    if credits.is_some_and(Credits::is_zero) {
        return Err(Error::Field {
            field: "credits",
            problem: "is 1 or more",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
