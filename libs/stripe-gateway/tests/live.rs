//! The gateway against Stripe itself, in test mode: `make stripe-live`. `docs/stripe-live.md` says what this shows.

use chrono::{DateTime, TimeDelta, Utc};
use kinora_mesh::secret::Secret;
use kinora_stripe_gateway::{
    Checkout, Currencies, Currency, Error, EventKind, Gateway, Metadata, Money, ObjectId, Offer,
    Options, Period, PurchaseKind, PurchaseState, Span,
};
use kinora_testkit::env::required;

/// A gateway with the operator's test key.
///
/// # Panics
/// When there is none, or it would move money.
fn gateway() -> Gateway {
    let key = required(
        "KINORA_STRIPE_TEST_KEY",
        "a secret key of Stripe's test mode",
    );
    let is_test = key.starts_with("sk_test_") || key.starts_with("rk_test_");
    assert!(
        is_test,
        "this makes customers and checkouts: a key of test mode only"
    );
    let currencies = Currencies::new(["usd", "eur", "gbp"]).expect("currencies");
    let options = Options::new(Secret::new(key), Vec::new(), currencies);
    Gateway::new(&options).expect("a gateway")
}

/// Different from run to run, as Stripe remembers keys for a day.
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn offer(key: &str, cents: i64, period: Option<Period>) -> Offer {
    Offer {
        key: format!("kinora-live-test-{key}"),
        title: format!("Kinora test: {key}"),
        price: Money {
            amount: cents,
            currency: Currency::parse("usd").expect("a currency"),
        },
        period,
    }
}

async fn customer(gateway: &Gateway) -> ObjectId {
    let metadata = Metadata::from([("made_by".to_owned(), "make stripe-live".to_owned())]);
    let payer = format!("user:live-test-{}", now().timestamp_micros());
    let first = gateway
        .ensure_customer(&payer, &metadata)
        .await
        .expect("a customer");
    let second = gateway
        .ensure_customer(&payer, &metadata)
        .await
        .expect("a customer");
    assert_eq!(first, second, "the same key is answered alike");
    first
}

#[tokio::test]
#[ignore = "asks Stripe itself: make stripe-live"]
async fn prices_are_found_again() {
    let gateway = gateway();
    for (key, cents, period) in [("pack", 999, None), ("plan", 1999, Some(Period::Month))] {
        let offer = offer(key, cents, period);
        let first = gateway.ensure_price(&offer).await.expect("a price");
        let second = gateway.ensure_price(&offer).await.expect("a price");
        assert_eq!(first, second);
    }
}

#[tokio::test]
#[ignore = "asks Stripe itself: make stripe-live"]
async fn checkouts_open_and_are_read_back() {
    let gateway = gateway();
    let customer = customer(&gateway).await;
    for (kind, offer) in [
        (PurchaseKind::Pack, offer("pack", 999, None)),
        (
            PurchaseKind::Subscription,
            offer("plan", 1999, Some(Period::Month)),
        ),
    ] {
        let price = gateway.ensure_price(&offer).await.expect("a price");
        let key = format!("live-test-{}", now().timestamp_micros());
        let metadata = Metadata::from([("purchase".to_owned(), key.clone())]);
        let checkout = Checkout {
            kind,
            customer: &customer,
            price: &price,
            reference: &key,
            metadata: &metadata,
            success_url: "https://example.org/paid?id={CHECKOUT_SESSION_ID}",
            cancel_url: "https://example.org/",
        };
        let opened = gateway.create_checkout(&checkout, &key).await;
        let opened = opened.expect("a checkout");
        let again = gateway.create_checkout(&checkout, &key).await;
        assert_eq!(again.expect("a checkout"), opened);
        let read = gateway
            .fetch_purchase(&opened.id)
            .await
            .expect("a purchase");
        assert_eq!((read.kind, read.state), (kind, PurchaseState::Open));
        assert_eq!(read.total, offer.price);
        assert_eq!(read.metadata, metadata);
        assert_eq!(read.reference, Some(key));
    }
}

#[tokio::test]
#[ignore = "asks Stripe itself: make stripe-live"]
async fn what_is_not_there_is_missing() {
    let gateway = gateway();
    let id = |text: &str| ObjectId::parse(text).expect("an id");
    let of_nobody = gateway.fetch_subscription(&id("sub_of_nobody")).await;
    assert!(matches!(of_nobody, Err(Error::Missing(_))), "{of_nobody:?}");
    let of_nobody = gateway.fetch_invoice(&id("in_of_nobody")).await;
    assert!(matches!(of_nobody, Err(Error::Missing(_))), "{of_nobody:?}");
    let of_nobody = gateway.cancel_subscription(&id("sub_of_nobody")).await;
    assert!(matches!(of_nobody, Err(Error::Missing(_))), "{of_nobody:?}");
}

/// Whatever the account has seen in the last 30 days can be read: an event or an object that cannot is a shape that the
/// generated types do not know.
#[tokio::test]
#[ignore = "asks Stripe itself: make stripe-live"]
async fn all_that_the_account_has_seen_can_be_read() {
    let gateway = gateway();
    let span = Span {
        from: now() - TimeDelta::days(29),
        until: now(),
    };
    let mut after = None;
    for _ in 0..20 {
        let page = gateway
            .list_events(&span, after.as_ref())
            .await
            .expect("events");
        for event in &page.items {
            let Some(object) = &event.object else {
                continue;
            };
            let read = match event.kind {
                EventKind::Purchase => gateway.fetch_purchase(object).await.map(drop),
                EventKind::Subscription => gateway.fetch_subscription(object).await.map(drop),
                EventKind::Invoice => gateway.fetch_invoice(object).await.map(drop),
                EventKind::Payment => gateway.fetch_payment(object).await.map(drop),
                EventKind::Charge => gateway.fetch_charge(object).await.map(drop),
                EventKind::Refund => gateway.fetch_refund(object).await.map(drop),
                EventKind::Dispute => gateway.fetch_dispute(object).await.map(drop),
                EventKind::Other => Ok(()),
            };
            // What was only for a test may have been deleted since.
            let is_read = matches!(read, Ok(()) | Err(Error::Missing(_)));
            assert!(is_read, "{} {object}: {read:?}", event.name);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    gateway
        .list_movements(&span, None)
        .await
        .expect("movements");
}
