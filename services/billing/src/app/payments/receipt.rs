//! The receipt of a payment or an invoice: what was fetched is written, and credits are given and taken to suit it.

use kinora_stripe_gateway::{Money, ObjectId};
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::credits::agree;
use super::settle::Seen;
use crate::app::App;
use crate::domain::Time;
use crate::domain::credits::Credits;
use crate::domain::grant::GrantOrigin;
use crate::domain::payer::Payer;
use crate::domain::payment::CheckoutState;
use crate::error::Error;
use crate::store::entity::payments::receipt;
use crate::store::grants::{self, NewGrant};
use crate::store::{checkouts, disputes, payers, receipts, stripe_events, stripe_objects};

/// What the column takes. Stripe's are much shorter.
const MAX_NUMBER_CHARACTERS: usize = 100;

/// What Stripe says of a payment or an invoice.
pub(super) struct Facts {
    /// The receipt's id: of a pack's payment, or of a plan's invoice.
    pub(super) id: ObjectId,
    /// Who paid.
    pub(super) payer: Payer,
    /// What was paid.
    pub(super) paid: Money,
    /// Of that, what was given back.
    pub(super) refunded: i64,
    /// The payment that is refunded.
    pub(super) payment: Option<ObjectId>,
    /// What people call the invoice.
    pub(super) invoice_number: Option<String>,
    /// Stripe's page of the invoice.
    pub(super) invoice_url: Option<String>,
    /// What was bought. It is decided once: unset when the receipt is there.
    pub(super) sale: Option<Sale>,
}

/// What was bought.
pub(super) struct Sale {
    /// Where it was bought.
    pub(super) checkout: Uuid,
    /// The item's key.
    pub(super) item: String,
    /// What it gives.
    pub(super) credits: Credits,
    /// When its credits end. None for never.
    pub(super) expires_at: Option<Time>,
    /// The subscription whose invoice it is.
    pub(super) subscription: Option<ObjectId>,
    /// Whose call it was. None for what comes by itself every month.
    pub(super) user: Option<Uuid>,
    /// When it was paid.
    pub(super) time: Time,
}

impl App {
    /// Writes what was fetched after revision `read` was read, and marks `events`; answers the receipt.
    ///
    /// # Errors
    /// [`Error::Payment`] when it does not fit the receipt; [`Error::Refused`] when credits cannot be given now;
    /// [`Error::Database`].
    pub(super) async fn write_receipt(
        &self,
        facts: &Facts,
        read: i64,
        events: &[String],
    ) -> Result<Seen<Option<String>>, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        payers::lock(&tx, &facts.payer, now).await?;
        if !stripe_objects::advance(&tx, facts.id.as_str(), read).await? {
            return Ok(Seen::Stale);
        }
        let known = receipts::find(&tx, facts.id.as_str()).await?;
        let is_new = known.is_none();
        let mut row = match known {
            Some(row) => row,
            None => open(&tx, facts, now).await?,
        };
        apply(&mut row, facts)?;
        row.disputed = disputes::away(&tx, &row.id).await?;
        agree(&tx, &facts.payer, &mut row, now).await?;
        receipts::update(&tx, &row).await?;
        stripe_events::done(&tx, events, now).await?;
        tx.commit().await?;
        if is_new {
            self.metrics.payments.receipt_made(&row.item);
        }
        Ok(Seen::Ours(Some(row.id)))
    }
}

/// Makes a receipt and gives its credits. The payer is locked.
async fn open(tx: &DatabaseTransaction, facts: &Facts, now: Time) -> Result<receipt::Model, Error> {
    let id = &facts.id;
    let sale = facts.sale.as_ref();
    let sale = sale.ok_or_else(|| Error::Broken(format!("the receipt {id} is gone")))?;
    let grant_id = give(tx, facts, sale, now).await?;
    let row = receipt::Model {
        id: id.to_string(),
        seq: Uuid::now_v7(),
        payer: facts.payer.to_string(),
        checkout_id: Some(sale.checkout),
        item: sale.item.clone(),
        credits: sale.credits.get(),
        grant_id,
        paid: facts.paid.amount,
        refunded: 0,
        disputed: 0,
        currency: facts.paid.currency.to_string(),
        taken: 0,
        turns: 0,
        payment: None,
        subscription: sale.subscription.as_ref().map(ToString::to_string),
        invoice_number: None,
        invoice_url: None,
        create_time: sale.time,
    };
    receipts::insert(tx, row.clone()).await?;
    // Who looks at the checkout sees that it is paid when the credits are there, and not before.
    checkouts::set_state(tx, sale.checkout, CheckoutState::Paid).await?;
    let (payer, item, credits) = (facts.payer, &sale.item, sale.credits);
    tracing::info!(receipt = %id, %payer, item, %credits, "something was bought");
    Ok(row)
}

async fn give(
    tx: &DatabaseTransaction,
    facts: &Facts,
    sale: &Sale,
    now: Time,
) -> Result<Option<Uuid>, Error> {
    if sale.credits.is_zero() {
        return Ok(None);
    }
    let new = NewGrant {
        key: format!("purchase:{}", facts.id),
        payer: facts.payer,
        origin: GrantOrigin::Purchase,
        credits: sale.credits,
        expires_at: sale.expires_at,
        note: sale.item.clone(),
        user_id: sale.user,
    };
    grants::give(tx, &new, now).await.map(Some)
}

/// Puts into a receipt what may change of it.
fn apply(row: &mut receipt::Model, facts: &Facts) -> Result<(), Error> {
    if row.currency != facts.paid.currency.as_str() {
        let (id, currency) = (&facts.id, &facts.paid.currency);
        let problem = format!("{id} was paid in {}, and now in {currency}", row.currency);
        return Err(Error::Payment(problem));
    }
    row.paid = facts.paid.amount;
    row.refunded = facts.refunded;
    let payment = facts.payment.as_ref().map(ToString::to_string);
    row.payment = payment.or(row.payment.take());
    let number = facts.invoice_number.as_ref();
    let number = number.map(|number| number.chars().take(MAX_NUMBER_CHARACTERS).collect());
    row.invoice_number = number.or(row.invoice_number.take());
    row.invoice_url = facts.invoice_url.clone().or(row.invoice_url.take());
    Ok(())
}

#[cfg(test)]
mod tests;
