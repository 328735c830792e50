//! Money back, as operators give it.

use kinora_stripe_gateway::{
    Currency, Error as StripeError, EventKind, Money, ObjectId, PaymentState,
};
use uuid::Uuid;

use crate::app::App;
use crate::domain::refusal::Refusal;
use crate::domain::request_id::{check_note, check_request_id};
use crate::error::Error;
use crate::store::entity::payments::receipt;
use crate::store::{audit, receipts};

/// How the audit log names it.
const ACTION: &str = "receipt.refund";

/// Stripe's codes for a refund of more than is left.
const NOTHING_LEFT: [&str; 3] = [
    "amount_too_large",
    "charge_already_refunded",
    "charge_disputed",
];

/// What an operator wants to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReceiptRefund {
    pub(crate) request_id: String,
    pub(crate) receipt: String,
    /// In the smallest unit of the receipt's currency. None for all that is left.
    pub(crate) amount: Option<i64>,
    pub(crate) note: String,
}

impl ReceiptRefund {
    fn check(&self) -> Result<(), Error> {
        check_request_id(&self.request_id)?;
        check_note(&self.note)?;
        if self.amount.is_some_and(|amount| amount < 1) {
            return Err(Error::Field {
                field: "amount",
                problem: "is 1 or more",
            });
        }
        Ok(())
    }

    /// By which Stripe, and a refund at Stripe, know the request.
    fn key(&self) -> String {
        format!("refund:{}", self.request_id)
    }
}

impl App {
    /// Gives money back, once a request id, takes the credits that it gave, and answers with the receipt as it is then.
    ///
    /// # Errors
    /// [`Refusal::PaymentsDisabled`], [`Refusal::ReceiptNotFound`], [`Refusal::RefundExceedsPayment`],
    /// [`Refusal::RequestIdReused`]; [`Error::Field`]; [`Error::Stripe`], after which the same call finds out whether it was
    /// done; [`Error::Database`].
    pub(crate) async fn refund_receipt(
        &self,
        operator: Uuid,
        refund: &ReceiptRefund,
    ) -> Result<receipt::Model, Error> {
        let done = self.refund_receipt_once(operator, refund).await;
        self.audit_refusal(operator, ACTION, &refund.receipt, done)
            .await
    }

    async fn refund_receipt_once(
        &self,
        operator: Uuid,
        refund: &ReceiptRefund,
    ) -> Result<receipt::Model, Error> {
        refund.check()?;
        let payments = self.payments()?;
        let gateway = &payments.gateway;
        let _turn = payments.refunding.lock().await;
        let row = self.receipt(&refund.receipt).await?;
        let payment = self.payment_to_refund(&row).await?;
        let before = gateway.find_refund(&payment, &refund.key()).await?;
        match before.map(|before| before.amount.amount) {
            Some(amount) if refund.amount.is_some_and(|wanted| wanted != amount) => {
                return Err(Refusal::RequestIdReused.into());
            }
            Some(_) => {}
            None => self.ask_for_refund(operator, refund, &payment).await?,
        }
        self.settle_object(EventKind::Payment, &payment, &[])
            .await?;
        self.receipt(&refund.receipt).await
    }

    /// The line in the audit log comes first: a refund that nobody is known to have made is worse than one that was not made.
    async fn ask_for_refund(
        &self,
        operator: Uuid,
        refund: &ReceiptRefund,
        payment: &ObjectId,
    ) -> Result<(), Error> {
        // Somebody may have given money back at Stripe, of which nothing was heard yet.
        self.settle_object(EventKind::Payment, payment, &[]).await?;
        let row = self.receipt(&refund.receipt).await?;
        let left = row.paid - row.refunded - row.disputed;
        let amount = refund.amount.unwrap_or(left);
        if amount < 1 || amount > left {
            return Err(Refusal::RefundExceedsPayment.into());
        }
        let (id, note, currency) = (&refund.request_id, &refund.note, &row.currency);
        let asked = format!("asked: {amount} {currency}, request {id}: {note}");
        self.note_asked(operator, ACTION, &row.id, &asked).await?;
        let money = Money {
            amount,
            currency: Currency::parse(currency)?,
        };
        let gateway = &self.payments()?.gateway;
        let made = gateway.refund(payment, &money, &refund.key()).await;
        made.map_err(refused)?;
        tracing::info!(receipt = %row.id, %operator, amount, "an operator gave money back");
        Ok(())
    }

    /// Of several payments of an invoice, the one that was made.
    async fn payment_to_refund(&self, row: &receipt::Model) -> Result<ObjectId, Error> {
        if let Some(payment) = &row.payment {
            return Ok(ObjectId::parse(payment)?);
        }
        let id = ObjectId::parse(&row.id)?;
        if !row.id.starts_with("in_") {
            return Ok(id);
        }
        let gateway = &self.payments()?.gateway;
        for payment in gateway.fetch_invoice(&id).await?.payments {
            if gateway.fetch_payment(&payment).await?.state == PaymentState::Succeeded {
                return Ok(payment);
            }
        }
        // It was paid outside of Stripe, or with what the customer had there.
        Err(Refusal::RefundExceedsPayment.into())
    }

    async fn receipt(&self, id: &str) -> Result<receipt::Model, Error> {
        let found = receipts::find(self.store.reader(), id).await?;
        Ok(found.ok_or(Refusal::ReceiptNotFound)?)
    }

    /// Leaves a line about what Stripe is about to be asked for.
    pub(super) async fn note_asked(
        &self,
        operator: Uuid,
        action: &'static str,
        target: &str,
        asked: &str,
    ) -> Result<(), Error> {
        let tx = self.store.begin().await?;
        let actor = operator.to_string();
        audit::audit(&tx, &actor, action, target, asked, self.now()).await?;
        Ok(tx.commit().await?)
    }
}

/// What Stripe's no means for the operator.
fn refused(error: StripeError) -> Error {
    match &error {
        StripeError::KeyReused => Refusal::RequestIdReused.into(),
        StripeError::Refused(refusal)
            if refusal
                .code
                .as_deref()
                .is_some_and(|code| NOTHING_LEFT.contains(&code)) =>
        {
            Refusal::RefundExceedsPayment.into()
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests;
