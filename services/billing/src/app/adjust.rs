//! Corrections of operators.

use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use super::audit::audit_done;
use super::balance::Balance;
use crate::domain::Time;
use crate::domain::burn;
use crate::domain::credits::Credits;
use crate::domain::grant::GrantOrigin;
use crate::domain::ledger::{Account, SystemAccount, Transfer, TransferKind};
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::domain::request_id::{check_note, check_request_id};
use crate::error::Error;
use crate::store::grants::{NewGrant, Reason};
use crate::store::{grants, ledger, payers};

/// How the audit log names it.
const ACTION: &str = "payer.adjust";

/// What an operator gives or takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Adjustment {
    pub(crate) request_id: String,
    pub(crate) payer: Payer,
    /// Taken away when it is negative.
    pub(crate) credits: i64,
    /// Shown to the payer.
    pub(crate) note: String,
    /// When given credits end.
    pub(crate) expire_time: Option<Time>,
}

impl Adjustment {
    /// How many, whichever way.
    fn amount(&self) -> Result<Credits, Error> {
        let amount = Credits::try_from(self.credits.unsigned_abs());
        let amount = amount.map_err(|_| Refusal::CreditsInvalid)?;
        if amount.is_zero() || amount > Credits::LARGEST_AMOUNT {
            return Err(Refusal::CreditsInvalid.into());
        }
        Ok(amount)
    }

    fn check_end(&self, now: Time) -> Result<(), Error> {
        let problem = match self.expire_time {
            Some(_) if self.credits < 0 => "is for credits that are given",
            Some(time) if time <= now => "is over",
            _ => return Ok(()),
        };
        Err(Error::Field {
            field: "expire_time",
            problem,
        })
    }

    fn key(&self) -> String {
        format!("adjust:{}", self.request_id)
    }

    /// For the audit log.
    fn detail(&self) -> String {
        let (credits, id, note) = (self.credits, &self.request_id, &self.note);
        format!("{credits} credits, request {id}: {note}")
    }

    fn body(&self) -> String {
        let end = self.expire_time.map(|time| time.timestamp_micros());
        format!("{} {} {end:?} {}", self.payer, self.credits, self.note)
    }
}

impl App {
    /// Gives a payer credits or takes some away, once a request id. What cannot be taken away becomes a debt.
    ///
    /// # Errors
    /// [`Error::Field`]; [`Refusal::CreditsInvalid`], [`Refusal::TooManyGrants`], [`Refusal::RequestIdReused`];
    /// [`Error::Database`].
    pub(crate) async fn adjust(
        &self,
        operator: Uuid,
        adjustment: &Adjustment,
    ) -> Result<Balance, Error> {
        let target = adjustment.payer.to_string();
        let done = self.adjust_once(operator, adjustment).await;
        self.audit_refusal(operator, ACTION, &target, done).await?;
        self.balance_of(&adjustment.payer).await
    }

    async fn adjust_once(&self, operator: Uuid, adjustment: &Adjustment) -> Result<(), Error> {
        check_request_id(&adjustment.request_id)?;
        check_note(&adjustment.note)?;
        let amount = adjustment.amount()?;
        let now = self.now();
        let (payer, key) = (adjustment.payer, adjustment.key());
        let tx = self.store.begin().await?;
        payers::lock(&tx, &payer, now).await?;
        // Looked at before its end is: a repetition may come later than that.
        if !ledger::was_posted(&tx, &key, &adjustment.body()).await? {
            adjustment.check_end(now)?;
            if adjustment.credits > 0 {
                give(&tx, operator, adjustment, amount, now).await?;
            } else {
                take(&tx, operator, adjustment, amount, now).await?;
            }
            let (target, detail) = (payer.to_string(), adjustment.detail());
            audit_done(&tx, operator, ACTION, &target, &detail, now).await?;
        }
        Ok(tx.commit().await?)
    }
}

async fn give(
    tx: &DatabaseTransaction,
    operator: Uuid,
    adjustment: &Adjustment,
    amount: Credits,
    now: Time,
) -> Result<(), Error> {
    let new = NewGrant {
        key: adjustment.key(),
        payer: adjustment.payer,
        origin: GrantOrigin::Goodwill,
        credits: amount,
        expires_at: adjustment.expire_time,
        note: adjustment.note.clone(),
        user_id: Some(operator),
    };
    let reason = Reason {
        kind: TransferKind::Adjust,
        job: None,
        body: adjustment.body(),
    };
    grants::give_for(tx, &new, reason, now).await?;
    Ok(())
}

async fn take(
    tx: &DatabaseTransaction,
    operator: Uuid,
    adjustment: &Adjustment,
    amount: Credits,
    now: Time,
) -> Result<(), Error> {
    let payer = adjustment.payer;
    let mut spendable = grants::spendable(tx, &payer, now).await?;
    let (parts, missing) = burn::take(&mut spendable, amount);
    let transfer = Transfer::new(adjustment.key(), TransferKind::Adjust, payer)
        .asked(adjustment.body())
        .by(Some(operator))
        .noted(&adjustment.note);
    let transfer = burn::leaving(transfer, &parts)
        .loses(Account::Debt(payer), missing)
        .gains(Account::System(SystemAccount::Adjustment), amount);
    ledger::post(tx, &transfer, now).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
