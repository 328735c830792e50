//! Money at the same Stripe that is none of the platform's, or not what it was asked for: nothing becomes credits.

use chrono::DateTime;
use kinora_mesh::secret::Secret;
use kinora_store::on_both_databases;
use kinora_stripe_gateway::{
    Checkout, Currencies, Currency, Gateway, Metadata, Money, Offer, Options, Period, PurchaseKind,
};
use kinora_testkit::stripe::{FakeStripe, PayOutcome};

use super::shop::{HOUR, MONTH, PACK, PLANS, Shop};
use crate::app::testing::user;
use crate::domain::caller::Caller;
use crate::domain::payment::metadata;

/// What somebody else sells at the same Stripe.
struct Foreign<'f> {
    price: i64,
    currency: &'f str,
    period: Option<Period>,
    metadata: Metadata,
}

impl Foreign<'_> {
    /// Something for some dollars, about which nothing of ours is written.
    fn thing(price: i64) -> Self {
        Self {
            price,
            currency: "usd",
            period: None,
            metadata: Metadata::from([("shop".to_owned(), "another".to_owned())]),
        }
    }

    /// Has written on it that it is for a checkout, of somebody.
    fn naming(mut self, checkout: &str, caller: &Caller) -> Self {
        let pairs = [
            (metadata::CHECKOUT, checkout.to_owned()),
            (metadata::PAYER, caller.payer.to_string()),
            (metadata::ITEM, PACK.to_owned()),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
        self.metadata = Metadata::from(pairs);
        self
    }

    /// Somebody pays it.
    async fn paid(&self, stripe: &FakeStripe) {
        let currencies = Currencies::new(["usd", "eur"]).expect("currencies");
        let key = Secret::new(FakeStripe::SECRET_KEY);
        let mut options = Options::new(key, Vec::new(), currencies);
        options.base_url = Some(stripe.base_url());
        let gateway = Gateway::new(&options).expect("a gateway");
        let offer = Offer {
            key: format!("foreign-{}-{}", self.price, self.currency),
            title: "A thing".to_owned(),
            price: Money {
                amount: self.price,
                currency: Currency::parse(self.currency).expect("a currency"),
            },
            period: self.period,
        };
        let customer = gateway.ensure_customer("somebody", &Metadata::new()).await;
        let customer = customer.expect("a customer");
        let price = gateway.ensure_price(&offer).await.expect("a price");
        let checkout = Checkout {
            kind: match self.period {
                Some(_) => PurchaseKind::Subscription,
                None => PurchaseKind::Pack,
            },
            customer: &customer,
            price: &price,
            reference: "foreign",
            metadata: &self.metadata,
            success_url: "https://elsewhere.example.org/",
            cancel_url: "https://elsewhere.example.org/",
        };
        let key = uuid::Uuid::now_v7().to_string();
        let opened = gateway.create_checkout(&checkout, &key).await;
        let opened = opened.expect("opens");
        stripe.pay(opened.id.as_str(), PayOutcome::Succeeds);
    }
}

/// Hears of what was paid, and answers with what waits for an operator.
async fn heard(shop: &Shop) -> Vec<String> {
    shop.pass(HOUR / 60).await;
    shop.handle().await;
    shop.problems().await
}

/// That somebody's own purchase goes through all the same, and nothing else is in the ledger.
async fn only_what_was_bought_is_there(shop: &Shop) {
    let opened = shop.checkout(&user("ben"), "b", PACK).await.expect("opens");
    shop.stripe.pay(
        opened.session.as_deref().expect("opened"),
        PayOutcome::Succeeds,
    );
    heard(shop).await;
    assert_eq!(shop.sums(&user("ada")).await, (0, 0, 0));
    assert_eq!(shop.sums(&user("ben")).await, (1_000_000, 0, 0));
    assert_eq!(shop.transfers().await.len(), 1);
    shop.check().await;
}

on_both_databases! {
    async fn what_others_sell_is_left_alone(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        Foreign::thing(999).paid(&shop.stripe).await;
        let monthly = Foreign { period: Some(Period::Month), ..Foreign::thing(500) };
        monthly.paid(&shop.stripe).await;
        assert_eq!(heard(&shop).await, Vec::<String>::new());
        shop.advance(MONTH).await;
        let payments = shop.stripe.objects("payment_intent");
        for payment in &payments {
            let id = payment["id"].as_str().unwrap();
            shop.stripe.refund(id, Some(100));
            let dispute = shop.stripe.open_dispute(id);
            shop.hear().await;
            shop.stripe.close_dispute(&dispute, false);
            shop.hear().await;
        }
        assert_eq!(payments.len(), 3);
        only_what_was_bought_is_there(&shop).await;
        shop.prove().await;
    }

    async fn a_checkout_that_nobody_opened_here_gives_nothing_and_an_operator_is_told(url: DatabaseUrl) {
        for checkout in ["0190a3c2-0000-7000-8000-000000000001", "no uuid"] {
            let shop = Shop::open(&url).await;
            let ada = user("ada");
            Foreign::thing(999).naming(checkout, &ada).paid(&shop.stripe).await;
            let problems = heard(&shop).await;
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|it| it.contains("checkout")), "{problems:?}");
            assert_eq!(shop.receipts(&ada.payer).await, []);
            assert_eq!(shop.transfers().await, []);
            shop.pass(HOUR * 2).await;
            shop.handle().await;
            let told = shop.reconcile().await;
            assert!(!told.is_empty(), "the nightly comparison names it");
            // The next one has a Stripe whose ids begin anew.
            let tx = shop.app.store.begin().await.unwrap();
            for table in ["stripe_events", "stripe_movements", "stripe_cursors", "stripe_objects"] {
                sea_orm::ConnectionTrait::execute_unprepared(&tx, &format!("DELETE FROM {table}")).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
    }

    async fn less_than_the_price_buys_nothing(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let opened = shop.checkout(&ada, "a", PACK).await.unwrap();
        let cheap = Foreign::thing(1).naming(&opened.id.to_string(), &ada);
        cheap.paid(&shop.stripe).await;
        let problems = heard(&shop).await;
        assert!(!problems.is_empty());
        assert_eq!(shop.receipts(&ada.payer).await, []);
        only_what_was_bought_is_there(&shop).await;
    }

    async fn another_currency_buys_nothing(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let opened = shop.checkout(&ada, "a", PACK).await.unwrap();
        let euros = Foreign { currency: "eur", ..Foreign::thing(999) };
        euros.naming(&opened.id.to_string(), &ada).paid(&shop.stripe).await;
        let problems = heard(&shop).await;
        assert!(problems.iter().any(|it| it.contains("currency")), "{problems:?}");
        only_what_was_bought_is_there(&shop).await;
        // Also where euros are known.
        let later = Shop::beside_with(&shop.stripe, &url, PLANS, |options| {
            options.payments.currencies = vec!["eur".to_owned()];
        })
        .await;
        later.pass(HOUR * 2).await;
        later.handle().await;
        let problems = later.problems().await;
        assert!(problems.iter().any(|it| it.contains("eur") || it.contains("currency")), "{problems:?}");
        assert_eq!(later.sums(&ada).await, (0, 0, 0));
    }

    // Who pays may be written on a payment by whoever makes it; who asked to pay is kept here.
    async fn credits_go_to_who_opened_the_checkout(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let (ada, eve) = (user("ada"), user("eve"));
        let opened = shop.checkout(&ada, "a", PACK).await.unwrap();
        let forged = Foreign::thing(999).naming(&opened.id.to_string(), &eve);
        forged.paid(&shop.stripe).await;
        heard(&shop).await;
        assert_eq!(shop.sums(&eve).await, (0, 0, 0));
        assert_eq!(shop.receipts(&eve.payer).await, []);
        shop.check().await;
    }

    // It was asked for, so somebody is told.
    async fn an_event_of_an_object_that_is_gone_waits_and_holds_nothing_up(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let event = serde_json::json!({
            "id": "evt_gone", "object": "event", "type": "payment_intent.succeeded", "livemode": false,
            "created": shop.stripe.now(),
            "data": {"object": {"id": "pi_gone", "object": "payment_intent"}},
        });
        shop.bring(&event).await.unwrap();
        shop.handle().await;
        let problems = shop.problems().await;
        assert_eq!(problems.len(), 1, "{problems:?}");
        only_what_was_bought_is_there(&shop).await;
        let waiting = shop.events().await.into_iter().find(|it| it.id == "evt_gone").unwrap();
        assert!(waiting.tries >= 1);
        assert!(waiting.next_time <= DateTime::from_timestamp(shop.stripe.now() + 3600, 0).unwrap());
        assert_eq!(waiting.done_time, None);
    }
}
