//! A platform that sells at a Stripe of its own, for tests of what nobody calls for and of what operators do. Webhooks of this
//! Stripe reach nobody: all that is heard of it was asked for.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use kinora_mesh::secret::Secret;
use kinora_store::{Database, DatabaseUrl};
use kinora_stripe_gateway::{Checkout, Currency, Metadata, Money, Offer, PurchaseKind};
use kinora_testkit::stripe::{FakeStripe, PayOutcome};
use opentelemetry::global;
use sea_orm::{ConnectionTrait, EntityTrait};
use uuid::Uuid;

use super::Payments;
use super::reconcile::Comparison;
use crate::app::App;
use crate::app::testing::{TestApp, voucher_key};
use crate::clock::Clock as _;
use crate::clock::testing::ManualClock;
use crate::config::BillingOptions;
use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::plan::Plans;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::entity::payments::{checkout, movement, receipt};
use crate::store::receipts;

/// A pack of 1,000,000 credits for 9.99, and a plan.
const PLANS: &str = "
[[plan]]
name = \"none\"
title = \"None\"
monthly_credits = 0

[[plan]]
name = \"creator\"
title = \"Creator\"
monthly_credits = 1_500_000
price_cents = 999

[[pack]]
name = \"small\"
title = \"1,000 seconds\"
credits = 1_000_000
price_cents = 999
";

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Sells, and has the clock of its Stripe.
pub(super) struct Kiosk {
    test: TestApp,
    pub(super) stripe: FakeStripe,
}

impl Deref for Kiosk {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.test
    }
}

impl Kiosk {
    pub(super) async fn open(url: &DatabaseUrl) -> Self {
        let clock = Arc::new(ManualClock::new());
        let stripe = FakeStripe::start(clock.now().timestamp()).await;
        let db = Database::connect(url).await.expect("opens");
        let migrated = kinora_migrations::billing::migrate(db.writer()).await;
        migrated.expect("the schema");
        let mut options = BillingOptions::new(url.clone(), voucher_key());
        options.default_plan = "none".to_owned();
        sell(&mut options, &stripe);
        let plans = Plans::parse(PLANS, &options.default_plan).expect("plans");
        let payments = Payments::from_options(&options.payments, &plans).expect("options");
        let metrics = Metrics::new(&global::meter("tests"));
        let store = Store::new(db);
        let app = App::new(
            store,
            Arc::clone(&clock) as _,
            plans,
            options,
            metrics,
            payments,
        );
        app.prepare().await.expect("prepares");
        let app = Arc::new(app);
        Self {
            test: TestApp { app, clock },
            stripe,
        }
    }

    /// Lets time pass, at Stripe and here.
    pub(super) async fn pass(&self, time: Duration) {
        self.stripe.advance(time).await;
        let now = Time::from_timestamp(self.stripe.now(), 0).expect("a time");
        self.clock.set(now);
    }

    /// Asks what happened, and handles it.
    pub(super) async fn hear(&self) -> u64 {
        let found = self.app.catch_up().await.expect("asks");
        while self.app.handle_events().await.expect("handles") > 0 {}
        found
    }

    /// Somebody pays an item, of which nothing is heard yet.
    pub(super) async fn pay(&self, caller: &Caller, item: &str) -> checkout::Model {
        let item = item.parse().expect("an item");
        let request_id = Uuid::now_v7().to_string();
        let opened = self.app.create_checkout(caller, &request_id, &item).await;
        let opened = opened.expect("opens");
        let session = opened.session.as_deref().expect("a session");
        self.stripe.pay(session, PayOutcome::Succeeds);
        opened
    }

    /// Somebody pays an item, and it is heard of.
    pub(super) async fn buy(&self, caller: &Caller, item: &str) -> receipt::Model {
        self.pay(caller, item).await;
        self.hear().await;
        let newest = receipts::newest(self.app.store.reader(), Some(&caller.payer), None, 1);
        let newest = newest.await.expect("reads").pop();
        newest.expect("there is a receipt")
    }

    /// Somebody pays at a shop that has nothing to do with us but the account. Answers the payment.
    pub(super) async fn pay_another_shop(&self) -> String {
        let gateway = &self.app.payments().expect("sells").gateway;
        let customer = gateway.ensure_customer("somebody", &Metadata::new()).await;
        let offer = Offer {
            key: "poster".to_owned(),
            title: "A poster".to_owned(),
            price: Money {
                amount: 2_000,
                currency: Currency::parse("usd").expect("a currency"),
            },
            period: None,
        };
        let price = gateway.ensure_price(&offer).await.expect("a price");
        let order = Checkout {
            kind: PurchaseKind::Pack,
            customer: &customer.expect("a customer"),
            price: &price,
            reference: "order-1",
            metadata: &Metadata::from([("shop".to_owned(), "posters".to_owned())]),
            success_url: "https://posters.example.org/",
            cancel_url: "https://posters.example.org/",
        };
        let opened = gateway.create_checkout(&order, "order-1").await;
        let id = opened.expect("a checkout").id;
        self.stripe.pay(id.as_str(), PayOutcome::Succeeds);
        let paid = gateway.fetch_purchase(&id).await.expect("a purchase");
        paid.payment.expect("a payment").to_string()
    }

    /// What moved money that belongs to no receipt.
    pub(super) async fn sources_of_nobody(&self) -> Vec<String> {
        let reader = self.app.store.reader();
        let movements = movement::Entity::find().all(reader).await.expect("reads");
        let of_nobody = movements.into_iter().filter(|it| it.receipt.is_none());
        of_nobody.filter_map(|it| it.source).collect()
    }

    /// Changes rows behind the service's back.
    pub(super) async fn meddle(&self, sql: &str) {
        let tx = self.app.store.begin().await.expect("begins");
        tx.execute_unprepared(sql).await.expect("is done");
        tx.commit().await.expect("commits");
    }

    pub(super) async fn compare(&self) -> Comparison {
        self.app.reconcile_payments().await.expect("compares")
    }
}

fn sell(options: &mut BillingOptions, stripe: &FakeStripe) {
    let payments = &mut options.payments;
    payments.stripe_secret_key = Some(Secret::new(FakeStripe::SECRET_KEY));
    payments.return_url = Some("https://kinora.example.org/paid".to_owned());
    payments.stripe_url = Some(stripe.base_url());
}
