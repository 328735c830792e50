//! Checkouts: somebody buys a pack or a subscription on Stripe's own page.

use reqwest::Url;
use stripe_checkout::checkout_session::{
    CreateCheckoutSession, CreateCheckoutSessionInvoiceCreation, CreateCheckoutSessionLineItems,
    CreateCheckoutSessionPaymentIntentData, CreateCheckoutSessionSubscriptionData,
    RetrieveCheckoutSession,
};
use stripe_shared::{
    CheckoutSession, CheckoutSessionMode, CheckoutSessionPaymentStatus, CheckoutSessionStatus,
};

use crate::Time;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::metadata::{Metadata, incoming, outgoing};
use crate::money::{Currencies, Money};
use crate::object_id::ObjectId;
use crate::read::{id_of, optional_reference, time};

const LONGEST_URL: usize = 2048;

/// What a checkout sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PurchaseKind {
    /// Something that is paid once.
    Pack,
    /// Something that is paid again and again.
    Subscription,
}

/// A checkout to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Checkout<'c> {
    /// What is sold.
    pub kind: PurchaseKind,
    /// Who buys.
    pub customer: &'c ObjectId,
    /// One of this is sold; from [`Gateway::ensure_price`].
    pub price: &'c ObjectId,
    /// By which the platform knows the purchase; 1 to 200 visible ASCII characters.
    pub reference: &'c str,
    /// Written on the checkout, and on the payment or the subscription that it leads to.
    pub metadata: &'c Metadata,
    /// Where people go when they have paid; Stripe puts the checkout's id in the place of `{CHECKOUT_SESSION_ID}`.
    pub success_url: &'c str,
    /// Where people go when they would rather not.
    pub cancel_url: &'c str,
}

/// A checkout that waits for somebody to pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCheckout {
    /// Its id.
    pub id: ObjectId,
    /// Stripe's page for it; good for whoever has it.
    pub url: String,
    /// When it closes.
    pub expires_at: Time,
}

/// What became of a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// The checkout's id.
    pub id: ObjectId,
    /// What it sells.
    pub kind: PurchaseKind,
    /// How far it is.
    pub state: PurchaseState,
    /// What is paid in all.
    pub total: Money,
    /// Who buys.
    pub customer: Option<ObjectId>,
    /// The payment, once a pack is paid.
    pub payment: Option<ObjectId>,
    /// The subscription, once there is one.
    pub subscription: Option<ObjectId>,
    /// The invoice, once there is one.
    pub invoice: Option<ObjectId>,
    /// As it was given in [`Checkout::reference`].
    pub reference: Option<String>,
    /// As it was given in [`Checkout::metadata`].
    pub metadata: Metadata,
    /// When it was opened.
    pub created: Time,
}

/// How far a checkout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PurchaseState {
    /// Nobody has paid yet.
    Open,
    /// Nobody has paid, and nobody can any longer.
    Expired,
    /// Somebody has paid in a way that takes days; the money is not here.
    Pending,
    /// The money is here, or none was asked for.
    Paid,
}

impl Gateway {
    /// Opens a checkout.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Invalid`] for a reference, metadata or URLs beyond Stripe's bounds.
    pub async fn create_checkout(
        &self,
        checkout: &Checkout<'_>,
        key: &str,
    ) -> Result<OpenCheckout, Error> {
        let request = request(checkout)?;
        let session = request.send(&self.keyed(key)?).await?;
        let url = session.url.as_deref().unwrap_or_default();
        check_url(url).map_err(|_| Error::Unreadable("a checkout has no address"))?;
        Ok(OpenCheckout {
            id: id_of(&session)?,
            url: url.to_owned(),
            expires_at: time(session.expires_at)?,
        })
    }

    /// Reads what became of a checkout.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Unreadable`] for one that sells nothing, as it only keeps a card.
    pub async fn fetch_purchase(&self, id: &ObjectId) -> Result<Purchase, Error> {
        let request = RetrieveCheckoutSession::new(id.as_str());
        purchase(request.send(&self.call()).await?, &self.currencies)
    }
}

fn request(checkout: &Checkout<'_>) -> Result<CreateCheckoutSession, Error> {
    check_reference(checkout.reference)?;
    check_url(checkout.success_url)?;
    check_url(checkout.cancel_url)?;
    let metadata = outgoing(checkout.metadata)?;
    let mut item = CreateCheckoutSessionLineItems::new();
    item.price = Some(checkout.price.to_string());
    item.quantity = Some(1);
    let request = CreateCheckoutSession::new()
        .customer(checkout.customer.as_str())
        .client_reference_id(checkout.reference)
        .line_items(vec![item])
        .success_url(checkout.success_url)
        .cancel_url(checkout.cancel_url)
        .metadata(metadata.clone());
    Ok(match checkout.kind {
        PurchaseKind::Pack => {
            let mut payment = CreateCheckoutSessionPaymentIntentData::new();
            payment.metadata = Some(metadata);
            request
                .mode(CheckoutSessionMode::Payment)
                .payment_intent_data(payment)
                .invoice_creation(CreateCheckoutSessionInvoiceCreation::new(true))
        }
        PurchaseKind::Subscription => {
            let mut subscription = CreateCheckoutSessionSubscriptionData::new();
            subscription.metadata = Some(metadata);
            request
                .mode(CheckoutSessionMode::Subscription)
                .subscription_data(subscription)
        }
    })
}

fn purchase(session: CheckoutSession, currencies: &Currencies) -> Result<Purchase, Error> {
    let kind = match session.mode {
        CheckoutSessionMode::Payment => PurchaseKind::Pack,
        CheckoutSessionMode::Subscription => PurchaseKind::Subscription,
        _ => return Err(Error::Unreadable("a checkout sells nothing")),
    };
    let currency = session.currency.as_ref().map(ToString::to_string);
    let (Some(amount), Some(currency)) = (session.amount_total, currency) else {
        return Err(Error::Unreadable("a checkout has no price"));
    };
    Ok(Purchase {
        id: id_of(&session)?,
        kind,
        state: state(&session)?,
        total: currencies.sum(amount, &currency)?,
        customer: optional_reference(session.customer.as_ref())?,
        payment: optional_reference(session.payment_intent.as_ref())?,
        subscription: optional_reference(session.subscription.as_ref())?,
        invoice: optional_reference(session.invoice.as_ref())?,
        reference: session.client_reference_id,
        metadata: incoming(session.metadata.unwrap_or_default()),
        created: time(session.created)?,
    })
}

fn state(session: &CheckoutSession) -> Result<PurchaseState, Error> {
    use CheckoutSessionPaymentStatus::{NoPaymentRequired, Paid, Unpaid};
    match (&session.status, &session.payment_status) {
        (Some(CheckoutSessionStatus::Open), _) => Ok(PurchaseState::Open),
        (Some(CheckoutSessionStatus::Expired), _) => Ok(PurchaseState::Expired),
        (Some(CheckoutSessionStatus::Complete), Paid | NoPaymentRequired) => {
            Ok(PurchaseState::Paid)
        }
        (Some(CheckoutSessionStatus::Complete), Unpaid) => Ok(PurchaseState::Pending),
        _ => Err(Error::Unreadable("a checkout is in a state of its own")),
    }
}

fn check_reference(reference: &str) -> Result<(), Error> {
    let is_reference = (1..=200).contains(&reference.len())
        && reference.bytes().all(|byte| byte.is_ascii_graphic());
    if is_reference {
        Ok(())
    } else {
        Err(Error::Invalid("a reference has 1 to 200 characters"))
    }
}

/// Checks an address that a browser is sent to.
pub(crate) fn check_url(text: &str) -> Result<(), Error> {
    let url = Url::parse(text);
    let is_web = url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if is_web && text.len() <= LONGEST_URL {
        Ok(())
    } else {
        Err(Error::Invalid("an address is not one of the web"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_sent_to_the_web_only() {
        for url in [
            "https://a.example.org/?id={CHECKOUT_SESSION_ID}",
            "http://127.0.0.1:8080/",
        ] {
            assert!(check_url(url).is_ok(), "{url}");
        }
        let long = format!("https://a.example.org/{}", "a".repeat(LONGEST_URL));
        for url in [
            "",
            "javascript:alert(1)",
            "//a.example.org",
            "file:///etc/passwd",
            &long,
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}
