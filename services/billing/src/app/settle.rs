//! What becomes of holds: a clip is paid, or the credits go back.

use std::collections::HashSet;

use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use crate::domain::Time;
use crate::domain::burn::{self, Part};
use crate::domain::credits::Credits;
use crate::domain::hold::{Capture, Hold, HoldState, Release};
use crate::domain::ledger::{Account, SystemAccount, Transfer, TransferKind};
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::metrics::Ending;
use crate::store::payers::PayerRow;
use crate::store::{grants, holds, ledger, payers, spend};

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
        let now = self.now();
        let tx = self.store.begin().await?;
        let (row, mut hold) = lock(&tx, &payer, job, now).await?;
        let (captured, lost) = match hold.capture(lease, credits)? {
            Capture::Before => return Ok(hold),
            Capture::Held(credits) => {
                capture_held(&tx, &row, &hold, credits, now).await?;
                (credits, None)
            }
            Capture::Lapsed(credits) => {
                let lost = capture_lapsed(&tx, &hold, credits, now).await?;
                (credits, Some(lost))
            }
        };
        (hold.state, hold.captured, hold.lease) = (HoldState::Captured, captured, Some(lease));
        hold.settle_time = Some(now);
        holds::update(&tx, &hold).await?;
        tx.commit().await?;
        self.metrics.hold_ended(Ending::Captured);
        if let Some(lost) = lost {
            self.metrics.captured_late(lost);
            tracing::warn!(%job, %payer, %captured, %lost, "a clip was paid after its hold had lapsed");
        }
        Ok(hold)
    }

    /// Gives back all of a job's hold. None when it has none.
    ///
    /// # Errors
    /// [`Refusal::HoldSettled`] when it was captured; [`Error::Database`].
    pub(crate) async fn release(&self, job: Uuid) -> Result<Option<Hold>, Error> {
        let Some(payer) = self.payer_of(job).await? else {
            return Ok(None);
        };
        let now = self.now();
        let tx = self.store.begin().await?;
        let (row, mut hold) = lock(&tx, &payer, job, now).await?;
        let release = hold.release()?;
        match release {
            Release::Before => return Ok(Some(hold)),
            Release::Now => {
                give_back(&tx, &row, &hold, now).await?;
                hold.settle_time = Some(now);
            }
            // The credits went back when it lapsed.
            Release::Final => {}
        }
        hold.state = HoldState::Released;
        holds::update(&tx, &hold).await?;
        tx.commit().await?;
        if release == Release::Now {
            self.metrics.hold_ended(Ending::Released);
        }
        Ok(Some(hold))
    }

    /// Gives back all of a hold that nobody settled or renewed, and answers whether it was overdue.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn lapse(&self, payer: &Payer, job: Uuid) -> Result<bool, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let (row, mut hold) = lock(&tx, payer, job, now).await?;
        if !hold.is_overdue(now) {
            return Ok(false);
        }
        give_back(&tx, &row, &hold, now).await?;
        (hold.state, hold.settle_time) = (HoldState::Expired, Some(now));
        holds::update(&tx, &hold).await?;
        tx.commit().await?;
        self.metrics.hold_ended(Ending::Lapsed);
        tracing::warn!(%job, %payer, credits = %hold.credits, "a hold lapsed: nobody settled or renewed it");
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

/// Pays with what is set aside; the rest goes back.
async fn capture_held(
    tx: &DatabaseTransaction,
    row: &PayerRow,
    hold: &Hold,
    credits: Credits,
    now: Time,
) -> Result<(), Error> {
    let rest = hold.credits.saturating_sub(credits);
    let transfer = capture_of(hold)
        .loses(Account::Held(hold.payer), hold.credits)
        .gains(Account::System(SystemAccount::Revenue), credits);
    let transfer = with_rest(tx, transfer, row, hold, rest, now).await?;
    ledger::post(tx, &transfer, now).await?;
    spend::take_off(tx, &hold.payer, hold.window.start, rest).await
}

/// Pays with what is there by now, and answers how much the platform pays: it has delivered, and let the hold lapse.
async fn capture_lapsed(
    tx: &DatabaseTransaction,
    hold: &Hold,
    credits: Credits,
    now: Time,
) -> Result<Credits, Error> {
    let mut grants = grants::spendable(tx, &hold.payer, now).await?;
    let (parts, lost) = burn::take(&mut grants, credits);
    let transfer = burn::leaving(capture_of(hold), &parts)
        .loses(Account::System(SystemAccount::Adjustment), lost)
        .gains(Account::System(SystemAccount::Revenue), credits);
    ledger::post(tx, &transfer, now).await?;
    spend::add(tx, &hold.payer, hold.window.start, credits).await?;
    Ok(lost)
}

fn capture_of(hold: &Hold) -> Transfer {
    let key = format!("capture:{}", hold.job);
    Transfer::new(key, TransferKind::Capture, hold.payer).of_job(hold.job)
}

async fn give_back(
    tx: &DatabaseTransaction,
    row: &PayerRow,
    hold: &Hold,
    now: Time,
) -> Result<(), Error> {
    let key = format!("release:{}", hold.job);
    let transfer = Transfer::new(key, TransferKind::Release, hold.payer)
        .of_job(hold.job)
        .loses(Account::Held(hold.payer), hold.credits);
    let transfer = with_rest(tx, transfer, row, hold, hold.credits, now).await?;
    ledger::post(tx, &transfer, now).await?;
    spend::take_off(tx, &hold.payer, hold.window.start, hold.credits).await
}

/// Adds to a transfer that `rest` of a hold goes back to where it came from.
async fn with_rest(
    tx: &DatabaseTransaction,
    transfer: Transfer,
    row: &PayerRow,
    hold: &Hold,
    rest: Credits,
    now: Time,
) -> Result<Transfer, Error> {
    if rest.is_zero() {
        return Ok(transfer);
    }
    let parts: Vec<Part> = holds::parts(tx, hold.job).await?;
    let back = burn::give_back(&parts, rest);
    let grants = grants::find_many(tx, back.iter().map(|part| part.grant)).await?;
    let ended: HashSet<Uuid> = grants
        .into_iter()
        .filter(|grant| grant.has_ended(now))
        .map(|grant| grant.id)
        .collect();
    let has_ended = |id| ended.contains(&id);
    Ok(burn::returning(
        transfer, &back, hold.payer, row.debt, has_ended,
    ))
}

#[cfg(test)]
mod tests;
