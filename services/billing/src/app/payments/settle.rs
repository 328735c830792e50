//! Making what is kept here agree with an object of Stripe's.
//!
//! Whatever event comes, the object is fetched, and what it leads to is written as if nothing had been known before: an
//! event that comes twice, late or in the wrong order changes nothing. Stripe is never asked within a transaction. Who
//! writes what somebody else has fetched later fetches again ([`Seen::Stale`]).

use std::time::Duration;

use kinora_stripe_gateway::{EventKind, ObjectId};
use tokio::time::sleep;
use uuid::Uuid;

use crate::app::App;
use crate::domain::payer::Payer;
use crate::error::Error;
use crate::store::entity::payments::checkout;
use crate::store::{checkouts, stripe_events};

/// An object that others keep changing is left to its next try after so many looks.
const MOST_LOOKS: u32 = 5;

/// After the first look that came too late; longer after further ones.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What came of a look at an object.
pub(super) enum Seen<T> {
    /// What is kept agrees with it.
    Ours(T),
    /// It has nothing to do with us; nothing was written.
    Foreign,
    /// Somebody else wrote what was fetched later; nothing was written.
    Stale,
}

/// Looks until nobody else was faster; None for what is not ours.
///
/// # Errors
/// What the look fails with; [`Error::Contended`] when others were faster every time.
pub(super) async fn until_agreed<T, F>(look: impl Fn() -> F) -> Result<Option<T>, Error>
where
    F: Future<Output = Result<Seen<T>, Error>>,
{
    for looks in 1..=MOST_LOOKS {
        match look().await? {
            Seen::Ours(it) => return Ok(Some(it)),
            Seen::Foreign => return Ok(None),
            Seen::Stale => {}
        }
        // Those who were too late together do not look again together.
        let pause = LONGEST_PAUSE.saturating_mul(looks);
        sleep(pause.mul_f64(rand::random())).await;
    }
    Err(Error::Contended)
}

impl App {
    /// Fetches an object of Stripe's and makes what is kept agree with it, and marks `events`, the ids of events about it
    /// that were waiting before, as handled. One that has nothing to do with us has its events marked, too.
    ///
    /// May be called at any time, any number of times, by any number of replicas.
    ///
    /// # Errors
    /// [`Error::Payment`] for what does not fit what was sold; [`Error::Refused`] when credits cannot be given now;
    /// [`Error::Stripe`], [`Error::Database`]. `events` then wait on.
    pub(crate) async fn settle_object(
        &self,
        kind: EventKind,
        object: &ObjectId,
        events: &[String],
    ) -> Result<(), Error> {
        match kind {
            EventKind::Purchase => Box::pin(self.settle_purchase(object, events)).await,
            EventKind::Subscription => self.settle_subscription(object, events).await,
            EventKind::Invoice => self.settle_invoice(object, events).await,
            EventKind::Payment => self.settle_payment(object, events).await.map(drop),
            EventKind::Charge => {
                let charge = self.payments()?.gateway.fetch_charge(object).await?;
                self.settle_payment_of(charge.payment, events).await
            }
            EventKind::Refund => {
                let payment = self.payment_of_refund(object).await?;
                self.settle_payment_of(payment, events).await
            }
            EventKind::Dispute => Box::pin(self.settle_dispute(object, events)).await,
            EventKind::Other => self.pass_over(events).await,
        }
    }

    async fn payment_of_refund(&self, refund: &ObjectId) -> Result<Option<ObjectId>, Error> {
        let gateway = &self.payments()?.gateway;
        let refund = gateway.fetch_refund(refund).await?;
        Ok(match (refund.payment, refund.charge) {
            (Some(payment), _) => Some(payment),
            (None, Some(charge)) => gateway.fetch_charge(&charge).await?.payment,
            (None, None) => None,
        })
    }

    /// Whatever is sold here is paid by a payment; a charge without one is somebody else's.
    async fn settle_payment_of(
        &self,
        payment: Option<ObjectId>,
        events: &[String],
    ) -> Result<(), Error> {
        match payment {
            Some(payment) => self.settle_payment(&payment, events).await.map(drop),
            None => self.pass_over(events).await,
        }
    }

    /// Settles what a payment is for, a pack or the invoice of a plan, and answers its receipt. None while it is not paid,
    /// and for somebody else's.
    ///
    /// # Errors
    /// As [`Self::settle_object`].
    pub(super) async fn settle_payment(
        &self,
        payment: &ObjectId,
        events: &[String],
    ) -> Result<Option<String>, Error> {
        if let Some(receipt) = Box::pin(self.settle_pack(payment, events)).await? {
            return Ok(receipt);
        }
        let gateway = &self.payments()?.gateway;
        if let Some(invoice) = gateway.find_invoice(payment).await?
            && let Some(receipt) = Box::pin(self.settle_invoice_of_plan(&invoice, events)).await?
        {
            return Ok(receipt);
        }
        tracing::debug!(%payment, "a payment at Stripe is not for anything of ours");
        self.pass_over(events).await?;
        Ok(None)
    }

    /// Marks events as handled that change nothing.
    pub(super) async fn pass_over(&self, events: &[String]) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let tx = self.store.begin().await?;
        stripe_events::done(&tx, events, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// The checkout that metadata of `object` names: it says who pays, and for what.
    ///
    /// # Errors
    /// [`Error::Payment`] when there is none; [`Error::Database`].
    pub(super) async fn checkout_named(
        &self,
        name: &str,
        object: &ObjectId,
    ) -> Result<checkout::Model, Error> {
        if let Ok(id) = name.parse::<Uuid>()
            && let Some(row) = checkouts::find(self.store.reader(), id).await?
        {
            return Ok(row);
        }
        // Another platform at the same account, or a database that was put back.
        let problem = format!("{object} names a checkout that is not known here");
        Err(Error::Payment(problem))
    }
}

/// Reads the key of a payer.
pub(super) fn payer_of(key: &str) -> Result<Payer, Error> {
    key.parse()
        .map_err(|_| Error::Broken(format!("`{key}` is no payer")))
}
