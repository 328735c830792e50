//! A fake, and a gateway that asks it.

use std::time::Duration;

use chrono::DateTime;
use kinora_mesh::secret::Secret;
use kinora_stripe_gateway::{
    Checkout, Currencies, Currency, Gateway, Metadata, Money, ObjectId, Offer, OpenCheckout,
    Options, Period, PurchaseKind, RetryPolicy, Time,
};
use kinora_testkit::stripe::{FakeStripe, PayOutcome};

/// 2027-01-31, noon (UTC).
pub const START: i64 = 1_801_396_800;

pub const WEBHOOK_SECRET: &str = "whsec_0123456789abcdef";

pub const PAYER: &str = "user:0190a3c2-0000-7000-8000-000000000001";

/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

pub struct Harness {
    pub stripe: FakeStripe,
    pub gateway: Gateway,
}

/// Asks the server at `base_url`, with pauses that a test can bear.
pub fn options(base_url: String) -> Options {
    let secrets = vec![Secret::new(WEBHOOK_SECRET)];
    let currencies = Currencies::new(["usd", "eur"]).expect("currencies");
    let mut options = Options::new(Secret::new(FakeStripe::SECRET_KEY), secrets, currencies);
    options.base_url = Some(base_url);
    options.try_timeout = Duration::from_secs(10);
    options.retry = RetryPolicy {
        tries: 4,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(10),
    };
    options
}

pub fn money(amount: i64) -> Money {
    let currency = Currency::parse("usd").expect("a currency");
    Money { amount, currency }
}

pub fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).expect("an id")
}

pub fn metadata() -> Metadata {
    Metadata::from([
        ("payer".to_owned(), PAYER.to_owned()),
        ("item".to_owned(), "a [b] & c=d ü".to_owned()),
    ])
}

pub fn time(seconds: i64) -> Time {
    DateTime::from_timestamp(seconds, 0).expect("a time")
}

pub fn pack() -> Offer {
    Offer {
        key: "pack-600".to_owned(),
        title: "600 seconds".to_owned(),
        price: money(999),
        period: None,
    }
}

pub fn plan() -> Offer {
    Offer {
        key: "plan-creator".to_owned(),
        title: "Creator".to_owned(),
        price: money(1999),
        period: Some(Period::Month),
    }
}

impl Harness {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let stripe = FakeStripe::start(START).await;
        let mut options = options(stripe.base_url());
        change(&mut options);
        let gateway = Gateway::new(&options).expect("a gateway");
        Self { stripe, gateway }
    }

    pub async fn customer(&self) -> ObjectId {
        let made = self.gateway.ensure_customer(PAYER, &Metadata::new()).await;
        made.expect("a customer")
    }

    /// Opens a checkout of an offer, under a key.
    pub async fn open(&self, offer: &Offer, customer: &ObjectId, key: &str) -> OpenCheckout {
        let price = self.gateway.ensure_price(offer).await.expect("a price");
        let checkout = Checkout {
            kind: match offer.period {
                Some(_) => PurchaseKind::Subscription,
                None => PurchaseKind::Pack,
            },
            customer,
            price: &price,
            reference: "purchase-1",
            metadata: &metadata(),
            success_url: "https://kinora.example.org/paid?id={CHECKOUT_SESSION_ID}",
            cancel_url: "https://kinora.example.org/",
        };
        let opened = self.gateway.create_checkout(&checkout, key).await;
        opened.expect("a checkout")
    }

    /// Somebody buys a pack. Returns the payment.
    pub async fn buy_pack(&self) -> ObjectId {
        let customer = self.customer().await;
        let checkout = self.open(&pack(), &customer, "key-pack").await;
        self.stripe.pay(checkout.id.as_str(), PayOutcome::Succeeds);
        let bought = self.gateway.fetch_purchase(&checkout.id).await;
        bought.expect("a purchase").payment.expect("a payment")
    }

    /// Somebody buys a subscription. Returns it and who it was.
    pub async fn subscribe(&self) -> (ObjectId, ObjectId) {
        let customer = self.customer().await;
        let checkout = self.open(&plan(), &customer, "key-plan").await;
        self.stripe.pay(checkout.id.as_str(), PayOutcome::Succeeds);
        let bought = self.gateway.fetch_purchase(&checkout.id).await;
        let subscription = bought.expect("a purchase").subscription;
        (subscription.expect("a subscription"), customer)
    }
}
