//! The mirror of what moved in the account's balance, and which receipt each movement belongs to.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use kinora_stripe_gateway::{EventKind, Movement, ObjectId, Payment};

use super::catch_up::spans;
use crate::app::App;
use crate::domain::Time;
use crate::domain::payment::{Item, metadata};
use crate::error::Error;
use crate::store::entity::payments::movement;
use crate::store::stripe_cursors::{self, List};
use crate::store::{disputes, payment_rows, receipts, stripe_movements};

/// Before the last look movements are looked for again: Stripe may list one late, and what belonged to nobody then may have a
/// receipt by now.
const OVERLAP: TimeDelta = TimeDelta::days(3);

/// Without a receipt there is nothing to compare with; so far back movements are kept all the same.
const FIRST_LOOK: TimeDelta = TimeDelta::days(30);

/// What moved money, by the beginning of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Charge,
    Refund,
    Dispute,
}

impl Source {
    /// None for a payout, a fee, and other things that are of no receipt.
    fn of(id: &str) -> Option<Self> {
        match id.split_once('_')?.0 {
            "ch" | "py" => Some(Self::Charge),
            "re" | "pyr" => Some(Self::Refund),
            "dp" | "du" => Some(Self::Dispute),
            _ => None,
        }
    }
}

impl App {
    /// Reads what moved since the last look, and answers the receipts that movements were found of.
    ///
    /// # Errors
    /// [`crate::domain::refusal::Refusal::PaymentsDisabled`], [`Error::Stripe`], [`Error::Database`]. What was kept until then
    /// stays, and the next call goes on from there.
    pub(super) async fn mirror_movements(&self) -> Result<BTreeSet<String>, Error> {
        let now = self.now();
        let mut touched = BTreeSet::new();
        for span in spans(self.beginning_of_look(now).await?, now) {
            let mut after = None;
            loop {
                let listed = self
                    .payments()?
                    .gateway
                    .list_movements(&span, after.as_ref());
                let page = listed.await?;
                touched.append(&mut self.keep_movements(page.items).await?);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let tx = self.store.begin().await?;
            stripe_cursors::advance(&tx, List::Movements, span.until.min(now)).await?;
            tx.commit().await?;
        }
        Ok(touched)
    }

    async fn beginning_of_look(&self, now: Time) -> Result<Time, Error> {
        let reader = self.store.reader();
        if let Some(looked) = stripe_cursors::find(reader, List::Movements).await? {
            return Ok(looked - OVERLAP);
        }
        let first = payment_rows::first_receipt_time(reader).await?;
        let first = first.map_or(now, |time| time - OVERLAP);
        Ok(first.min(now - FIRST_LOOK))
    }

    /// Keeps a page in a transaction, then finds out what each movement belongs to that is new or belonged to nobody.
    async fn keep_movements(&self, page: Vec<Movement>) -> Result<BTreeSet<String>, Error> {
        let ids: Vec<String> = page.iter().map(|it| it.id.to_string()).collect();
        let tx = self.store.begin().await?;
        stripe_movements::insert(&tx, page.into_iter().map(row_of).collect()).await?;
        tx.commit().await?;
        let mut touched = BTreeSet::new();
        for unmatched in stripe_movements::unmatched(self.store.reader(), &ids).await? {
            let Some(receipt) = self.receipt_of_movement(&unmatched).await? else {
                continue;
            };
            let tx = self.store.begin().await?;
            stripe_movements::set_receipt(&tx, &unmatched.id, &receipt).await?;
            tx.commit().await?;
            touched.insert(receipt);
        }
        Ok(touched)
    }

    /// None for money that is none of the platform's: others may use the account, too.
    async fn receipt_of_movement(
        &self,
        movement: &movement::Model,
    ) -> Result<Option<String>, Error> {
        let Some(source) = movement.source.as_deref() else {
            return Ok(None);
        };
        let Some(kind) = Source::of(source) else {
            return Ok(None);
        };
        if kind == Source::Dispute {
            let known = disputes::find(self.store.reader(), source).await?;
            if let Some(known) = known {
                return Ok(Some(known.receipt));
            }
        }
        let payment = self.payment_of(kind, &ObjectId::parse(source)?).await;
        match known_to_stripe(payment)?.flatten() {
            Some(payment) => self.receipt_of_payment(&payment).await,
            None => Ok(None),
        }
    }

    async fn payment_of(&self, kind: Source, source: &ObjectId) -> Result<Option<ObjectId>, Error> {
        let gateway = &self.payments()?.gateway;
        let (payment, charge) = match kind {
            Source::Charge => (None, Some(source.clone())),
            Source::Refund => {
                let refund = gateway.fetch_refund(source).await?;
                (refund.payment, refund.charge)
            }
            Source::Dispute => {
                let dispute = gateway.fetch_dispute(source).await?;
                (dispute.payment, Some(dispute.charge))
            }
        };
        match (payment, charge) {
            (Some(payment), _) => Ok(Some(payment)),
            (None, Some(charge)) => Ok(gateway.fetch_charge(&charge).await?.payment),
            (None, None) => Ok(None),
        }
    }

    /// The receipt's id also where there is none although there should be: then the comparison says so.
    async fn receipt_of_payment(&self, payment: &ObjectId) -> Result<Option<String>, Error> {
        let reader = self.store.reader();
        let id = payment.as_str();
        if let Some(known) = receipts::of_payment(reader, id).await? {
            return Ok(Some(known.id));
        }
        // Its event may still be to come, or not be one that can be handled.
        let settled = self.settle_object(EventKind::Payment, payment, &[]).await;
        let is_ours = match known_to_stripe(settled) {
            Ok(_) => false,
            Err(error) if is_passing(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(%payment, %error, "a payment cannot be settled");
                true
            }
        };
        if let Some(made) = receipts::of_payment(reader, id).await? {
            return Ok(Some(made.id));
        }
        let gateway = &self.payments()?.gateway;
        if is_ours && is_of_pack(&gateway.fetch_payment(payment).await?) {
            return Ok(Some(payment.to_string()));
        }
        // Of several payments of an invoice its receipt names one.
        let invoice = gateway.find_invoice(payment).await;
        let invoice = known_to_stripe(invoice.map_err(Error::from))?.flatten();
        let Some(invoice) = invoice else {
            return Ok(is_ours.then(|| payment.to_string()));
        };
        let receipt = receipts::find(reader, invoice.as_str()).await?;
        Ok((is_ours || receipt.is_some()).then(|| invoice.to_string()))
    }
}

/// The receipt of a pack is named by its payment, although there is an invoice, too.
fn is_of_pack(payment: &Payment) -> bool {
    let item = payment.metadata.get(metadata::ITEM);
    item.is_some_and(|item| matches!(item.parse(), Ok(Item::Pack(_))))
}

fn row_of(movement: Movement) -> movement::Model {
    movement::Model {
        id: movement.id.to_string(),
        kind: movement.kind,
        amount: movement.amount.amount,
        currency: movement.amount.currency.to_string(),
        source: movement.source.map(|source| source.to_string()),
        receipt: None,
        create_time: movement.created,
    }
}

/// None for what Stripe has not, or what nobody here could have made: another shop of the account sells in other currencies and
/// other ways.
fn known_to_stripe<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Err(Error::Stripe(error)) if !error.is_transient() => {
            tracing::debug!(%error, "money moved for something of nobody's");
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// Whether the same may succeed in a moment.
pub(super) fn is_passing(error: &Error) -> bool {
    match error {
        Error::Stripe(error) => error.is_transient(),
        Error::Database(error) => error.is_transient(),
        Error::Contended => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_money_is_known_by_its_id() {
        for (id, source) in [
            ("ch_3Q", Some(Source::Charge)),
            ("py_1", Some(Source::Charge)),
            ("re_3Q", Some(Source::Refund)),
            ("pyr_1", Some(Source::Refund)),
            ("dp_1", Some(Source::Dispute)),
            ("du_1", Some(Source::Dispute)),
            ("po_1", None),
            ("fee", None),
            ("", None),
        ] {
            assert_eq!(Source::of(id), source, "{id}");
        }
    }
}
