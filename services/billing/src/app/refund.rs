//! Giving back what was paid for a job.

use chrono::TimeDelta;
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use super::audit::audit_done;
use super::settle::lock;
use crate::domain::Time;
use crate::domain::credits::Credits;
use crate::domain::grant::GrantOrigin;
use crate::domain::hold::Hold;
use crate::domain::ledger::{Account, SystemAccount, TransferKind};
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::domain::request_id::{check_note, check_request_id};
use crate::error::Error;
use crate::store::grants::{NewGrant, Reason};
use crate::store::{grants, holds, ledger, spend};

/// How the audit log names it.
const ACTION: &str = "job.refund";

/// What comes back can be spent for so long at least.
const SPENDABLE: TimeDelta = TimeDelta::days(30);

/// What an operator wants to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefundOrder {
    pub(crate) request_id: String,
    pub(crate) job: Uuid,
    /// None for all that is left of the capture.
    pub(crate) credits: Option<Credits>,
    pub(crate) note: String,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refunded {
    /// By this call.
    pub(crate) credits: Credits,
    /// Of the capture, by now.
    pub(crate) in_all: Credits,
}

impl RefundOrder {
    fn key(&self) -> String {
        format!("refund:{}", self.request_id)
    }

    /// For the audit log.
    fn detail(&self, payer: &Payer, credits: Credits) -> String {
        let (id, note) = (&self.request_id, &self.note);
        format!("{credits} credits to {payer}, request {id}: {note}")
    }

    fn body(&self) -> String {
        let credits = self.credits.map(Credits::get);
        format!("{} {credits:?} {}", self.job, self.note)
    }
}

impl App {
    /// Gives back what was captured for a job, or a part of it, once a request id: as a grant that ends as late as the last
    /// one that paid, and not within thirty days.
    ///
    /// # Errors
    /// [`Error::Field`]; [`Refusal::HoldNotFound`], [`Refusal::HoldNotCaptured`], [`Refusal::RefundExceedsCapture`],
    /// [`Refusal::RequestIdReused`]; [`Error::Database`].
    pub(crate) async fn refund(
        &self,
        operator: Uuid,
        order: &RefundOrder,
    ) -> Result<Refunded, Error> {
        let target = order.job.to_string();
        let done = self.refund_once(operator, order).await;
        self.audit_refusal(operator, ACTION, &target, done).await
    }

    async fn refund_once(&self, operator: Uuid, order: &RefundOrder) -> Result<Refunded, Error> {
        check_request_id(&order.request_id)?;
        check_note(&order.note)?;
        let payer = self.payer_of(order.job).await?;
        let payer = payer.ok_or(Refusal::HoldNotFound)?;
        let now = self.now();
        let tx = self.store.begin().await?;
        let (_, mut hold) = lock(&tx, &payer, order.job, now).await?;
        let key = order.key();
        if ledger::was_posted(&tx, &key, &order.body()).await? {
            let revenue = Account::System(SystemAccount::Revenue);
            let lost = ledger::gained(&tx, &key, revenue).await?;
            return Ok(Refunded {
                credits: Credits::new(-lost).unwrap_or_default(),
                in_all: hold.refunded,
            });
        }
        let credits = hold.refund(order.credits)?;
        give(&tx, operator, order, &hold, credits, now).await?;
        hold.refunded = hold.refunded.saturating_add(credits);
        holds::update(&tx, std::iter::once(&hold)).await?;
        spend::take_off(&tx, &payer, hold.window.start, credits).await?;
        let (target, detail) = (order.job.to_string(), order.detail(&payer, credits));
        audit_done(&tx, operator, ACTION, &target, &detail, now).await?;
        tx.commit().await?;
        Ok(Refunded {
            credits,
            in_all: hold.refunded,
        })
    }
}

async fn give(
    tx: &DatabaseTransaction,
    operator: Uuid,
    order: &RefundOrder,
    hold: &Hold,
    credits: Credits,
    now: Time,
) -> Result<(), Error> {
    let new = NewGrant {
        key: order.key(),
        payer: hold.payer,
        origin: GrantOrigin::Refund,
        credits,
        expires_at: end_of_refund(tx, hold.job, now).await?,
        note: order.note.clone(),
        user_id: Some(operator),
    };
    let reason = Reason {
        kind: TransferKind::Refund,
        job: Some(hold.job),
        body: order.body(),
    };
    grants::give_for(tx, &new, reason, now).await?;
    Ok(())
}

/// As late as the last of the grants that paid; never, when one of them never ends.
async fn end_of_refund(
    tx: &DatabaseTransaction,
    job: Uuid,
    now: Time,
) -> Result<Option<Time>, Error> {
    let parts = holds::parts(tx, job).await?;
    let paid = grants::find_many(tx, parts.iter().map(|part| part.grant)).await?;
    let mut end = now + SPENDABLE;
    for grant in paid {
        match grant.expire_time {
            Some(time) => end = end.max(time),
            None => return Ok(None),
        }
    }
    Ok(Some(end))
}

#[cfg(test)]
mod tests;
