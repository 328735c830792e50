//! Disputes: a bank takes the money of a receipt, at first or for good, and the payer is stopped until it comes back or an
//! operator says otherwise.

use kinora_stripe_gateway::{Dispute, DisputeState, ObjectId};

use super::credits::agree;
use super::settle::{Seen, payer_of, until_agreed};
use crate::app::App;
use crate::domain::payment::DisputeStanding;
use crate::error::Error;
use crate::store::entity::payments::{dispute, receipt};
use crate::store::{disputes, payers, receipts, stripe_events, stripe_objects};

impl App {
    /// Makes what is kept of a dispute agree with it, and its receipt and payer with all their disputes.
    ///
    /// # Errors
    /// As [`Self::settle_object`].
    pub(super) async fn settle_dispute(
        &self,
        id: &ObjectId,
        events: &[String],
    ) -> Result<(), Error> {
        let Some(receipt) = self.receipt_of_dispute(id).await? else {
            tracing::debug!(dispute = %id, "a dispute at Stripe is about nothing of ours");
            return self.pass_over(events).await;
        };
        until_agreed(|| self.look_at_dispute(id, &receipt, events)).await?;
        Ok(())
    }

    /// The receipt that a dispute is about; it is there, or there is none.
    async fn receipt_of_dispute(&self, id: &ObjectId) -> Result<Option<String>, Error> {
        let gateway = &self.payments()?.gateway;
        let dispute = gateway.fetch_dispute(id).await?;
        let payment = match dispute.payment {
            Some(payment) => Some(payment),
            None => gateway.fetch_charge(&dispute.charge).await?.payment,
        };
        match payment {
            Some(payment) => self.settle_payment(&payment, &[]).await,
            None => Ok(None),
        }
    }

    async fn look_at_dispute(
        &self,
        id: &ObjectId,
        receipt: &str,
        events: &[String],
    ) -> Result<Seen<()>, Error> {
        let reader = self.store.reader();
        // A dispute changes its receipt, so it has the receipt's revision.
        let read = stripe_objects::revision(reader, receipt).await?;
        let row = receipts::find(reader, receipt).await?;
        let row = row.ok_or_else(|| Error::Broken(format!("the receipt {receipt} is gone")))?;
        let fetched = self.payments()?.gateway.fetch_dispute(id).await?;
        let dispute = to_row(fetched, &row)?;
        let (payer, now) = (payer_of(&row.payer)?, self.now());
        let tx = self.store.begin().await?;
        payers::lock(&tx, &payer, now).await?;
        if !stripe_objects::advance(&tx, receipt, read).await? {
            return Ok(Seen::Stale);
        }
        // As `row`, since the revision is still the one that was read.
        let mut row = row;
        disputes::put(&tx, dispute).await?;
        row.disputed = disputes::away(&tx, receipt).await?;
        agree(&tx, &payer, &mut row, now).await?;
        receipts::update(&tx, &row).await?;
        let is_disputed = disputes::stop(&tx, &payer).await?;
        payers::set_disputed(&tx, &payer, is_disputed).await?;
        stripe_events::done(&tx, events, now).await?;
        tx.commit().await?;
        tracing::warn!(dispute = %id, receipt, %payer, is_disputed, "a bank disputes a payment");
        Ok(Seen::Ours(()))
    }
}

fn to_row(dispute: Dispute, receipt: &receipt::Model) -> Result<dispute::Model, Error> {
    if dispute.amount.currency.as_str() != receipt.currency {
        let (id, currency) = (&dispute.id, &dispute.amount.currency);
        let problem = format!("{id} is in {currency}, and {} is not", receipt.id);
        return Err(Error::Payment(problem));
    }
    Ok(dispute::Model {
        id: dispute.id.to_string(),
        payer: receipt.payer.clone(),
        receipt: receipt.id.clone(),
        state: standing_of(dispute.state).code(),
        amount: dispute.amount.amount,
        currency: dispute.amount.currency.to_string(),
        reason: dispute.reason,
        is_settled: false,
        create_time: dispute.created,
    })
}

const fn standing_of(state: DisputeState) -> DisputeStanding {
    match state {
        DisputeState::Inquiry | DisputeState::InquiryClosed | DisputeState::Prevented => {
            DisputeStanding::Here
        }
        DisputeState::Open => DisputeStanding::AtBank,
        DisputeState::Won => DisputeStanding::Won,
        DisputeState::Lost => DisputeStanding::Lost,
    }
}
