//! Calls that settle holds of one payer, in one transaction: each is decided after those before it, and what they have in
//! common is written once.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::{How, SettleCall, Settlement};
use crate::domain::Time;
use crate::domain::burn::{self, Part};
use crate::domain::credits::Credits;
use crate::domain::hold::{Capture, Hold, HoldState, Release};
use crate::domain::ledger::{Account, SystemAccount, Transfer, TransferKind};
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::metrics::Ending;
use crate::store::{grants, holds, ledger, payers, spend};

/// A payer and holds of its that are locked, and what has been decided and is not written yet.
pub(super) struct Round {
    payer: Payer,
    now: Time,
    /// What is owed once all is written.
    debt: Credits,
    /// As they are once all is written.
    holds: HashMap<Uuid, Hold>,
    changed: HashSet<Uuid>,
    transfers: Vec<Transfer>,
    /// What was not spent after all, by the window in which it was counted.
    unspent: BTreeMap<Time, Credits>,
}

impl Round {
    /// Locks a payer and its holds of these jobs.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(super) async fn begin(
        tx: &DatabaseTransaction,
        payer: &Payer,
        jobs: impl Iterator<Item = Uuid>,
        now: Time,
    ) -> Result<Self, Error> {
        let row = payers::lock(tx, payer, now).await?;
        let found = holds::lock_many(tx, jobs).await?;
        Ok(Self {
            payer: *payer,
            now,
            debt: row.debt,
            holds: found.into_iter().map(|hold| (hold.job, hold)).collect(),
            changed: HashSet::new(),
            transfers: Vec::new(),
            unspent: BTreeMap::new(),
        })
    }

    /// The hold of a job, as it is by now.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`].
    pub(super) fn hold(&self, job: Uuid) -> Result<Hold, Refusal> {
        self.holds.get(&job).cloned().ok_or(Refusal::HoldNotFound)
    }

    /// Decides one call after those before it.
    ///
    /// # Errors
    /// [`Refusal::HoldNotFound`], [`Refusal::HoldSettled`], [`Refusal::CaptureExceedsHold`]: nothing was decided then.
    /// [`Error::Database`].
    pub(super) async fn settle(
        &mut self,
        tx: &DatabaseTransaction,
        call: &SettleCall,
    ) -> Result<Settlement, Error> {
        let hold = self.hold(call.job)?;
        match call.how {
            How::Capture { lease, credits } => self.capture(tx, hold, lease, credits).await,
            How::Release => self.release(tx, hold).await,
        }
    }

    async fn capture(
        &mut self,
        tx: &DatabaseTransaction,
        mut hold: Hold,
        lease: u64,
        credits: Option<Credits>,
    ) -> Result<Settlement, Error> {
        let (captured, lost) = match hold.capture(lease, credits)? {
            Capture::Before => return Ok(Settlement::before(hold)),
            Capture::Held(credits) => {
                self.pay(tx, &hold, credits).await?;
                (credits, None)
            }
            Capture::Lapsed(credits) => {
                let lost = self.pay_late(tx, &hold, credits).await?;
                (credits, Some(lost))
            }
        };
        (hold.state, hold.captured, hold.lease) = (HoldState::Captured, captured, Some(lease));
        hold.settle_time = Some(self.now);
        self.change(hold.clone());
        Ok(Settlement {
            hold,
            ending: Some(Ending::Captured),
            lost,
        })
    }

    async fn release(
        &mut self,
        tx: &DatabaseTransaction,
        mut hold: Hold,
    ) -> Result<Settlement, Error> {
        match hold.release()? {
            Release::Before => Ok(Settlement::before(hold)),
            Release::Now => {
                let hold = self.end(tx, hold, HoldState::Released).await?;
                Ok(Settlement {
                    hold,
                    ending: Some(Ending::Released),
                    lost: None,
                })
            }
            // The credits went back when it lapsed.
            Release::Final => {
                hold.state = HoldState::Released;
                self.change(hold.clone());
                Ok(Settlement::before(hold))
            }
        }
    }

    /// Gives back all of an open hold.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(super) async fn end(
        &mut self,
        tx: &DatabaseTransaction,
        mut hold: Hold,
        state: HoldState,
    ) -> Result<Hold, Error> {
        let key = format!("release:{}", hold.job);
        let transfer = Transfer::new(key, TransferKind::Release, self.payer)
            .of_job(hold.job)
            .loses(Account::Held(self.payer), hold.credits);
        self.give_back(tx, transfer, &hold, hold.credits).await?;
        (hold.state, hold.settle_time) = (state, Some(self.now));
        self.change(hold.clone());
        Ok(hold)
    }

    /// Pays with what is set aside; the rest goes back.
    async fn pay(
        &mut self,
        tx: &DatabaseTransaction,
        hold: &Hold,
        credits: Credits,
    ) -> Result<(), Error> {
        let rest = hold.credits.saturating_sub(credits);
        let transfer = capture_of(hold)
            .loses(Account::Held(self.payer), hold.credits)
            .gains(Account::System(SystemAccount::Revenue), credits);
        self.give_back(tx, transfer, hold, rest).await
    }

    /// Pays with what is there by now, and answers how much the platform pays: it has delivered, and let the hold lapse.
    async fn pay_late(
        &mut self,
        tx: &DatabaseTransaction,
        hold: &Hold,
        credits: Credits,
    ) -> Result<Credits, Error> {
        // What calls before this one gave back is there, too.
        self.write(tx).await?;
        let mut grants = grants::spendable(tx, &self.payer, self.now).await?;
        let (parts, lost) = burn::take(&mut grants, credits);
        let transfer = burn::leaving(capture_of(hold), &parts)
            .loses(Account::System(SystemAccount::Adjustment), lost)
            .gains(Account::System(SystemAccount::Revenue), credits);
        ledger::post_new(tx, &[transfer], self.now).await?;
        spend::add(tx, &self.payer, hold.window.start, credits).await?;
        Ok(lost)
    }

    /// Adds a transfer in which `rest` of a hold goes back to where it came from.
    async fn give_back(
        &mut self,
        tx: &DatabaseTransaction,
        transfer: Transfer,
        hold: &Hold,
        rest: Credits,
    ) -> Result<(), Error> {
        if rest.is_zero() {
            self.transfers.push(transfer);
            return Ok(());
        }
        let parts: Vec<Part> = holds::parts(tx, hold.job).await?;
        let back = burn::give_back(&parts, rest);
        let grants = grants::find_many(tx, back.iter().map(|part| part.grant)).await?;
        let ended: HashSet<Uuid> = grants
            .into_iter()
            .filter(|grant| grant.has_ended(self.now))
            .map(|grant| grant.id)
            .collect();
        let has_ended = |id| ended.contains(&id);
        let transfer = burn::returning(transfer, &back, self.payer, self.debt, has_ended);
        let paid = transfer.gained(Account::Debt(self.payer));
        self.debt = self.debt.saturating_sub(paid);
        self.transfers.push(transfer);
        let unspent = self.unspent.entry(hold.window.start).or_default();
        *unspent = unspent.saturating_add(rest);
        Ok(())
    }

    fn change(&mut self, hold: Hold) {
        self.changed.insert(hold.job);
        self.holds.insert(hold.job, hold);
    }

    /// Writes what was decided since the last time.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Broken`]. Nothing may be committed after an error.
    pub(super) async fn write(&mut self, tx: &DatabaseTransaction) -> Result<(), Error> {
        let transfers = std::mem::take(&mut self.transfers);
        if !transfers.is_empty() {
            ledger::post_new(tx, &transfers, self.now).await?;
        }
        for (window_start, less) in std::mem::take(&mut self.unspent) {
            spend::take_off(tx, &self.payer, window_start, less).await?;
        }
        let changed = std::mem::take(&mut self.changed);
        let holds = changed.iter().filter_map(|job| self.holds.get(job));
        holds::update(tx, holds).await
    }
}

impl Settlement {
    /// An earlier call did it.
    const fn before(hold: Hold) -> Self {
        Self {
            hold,
            ending: None,
            lost: None,
        }
    }
}

fn capture_of(hold: &Hold) -> Transfer {
    let key = format!("capture:{}", hold.job);
    Transfer::new(key, TransferKind::Capture, hold.payer).of_job(hold.job)
}
