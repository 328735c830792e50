//! A platform that sells, the Stripe that it sells with, and people who buy.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use kinora_mesh::secret::Secret;
use kinora_store::DatabaseUrl;
use kinora_testkit::stripe::{FakeStripe, PayOutcome, signature};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::Value;

use super::door::{Door, present};
use crate::app::payments::refund::ReceiptRefund;
use crate::app::testing::{TestApp, id_of};
use crate::clock::Clock as _;
use crate::clock::testing::ManualClock;
use crate::config::BillingOptions;
use crate::domain::caller::Caller;
use crate::domain::payer::Payer;
use crate::error::Error;
use crate::store::entity::payments::{checkout, dispute, event, receipt, subscription};

pub(super) const WEBHOOK_SECRET: &str = "whsec_0123456789abcdef";

/// 1,000,000 credits for 9.99, for ever.
pub(super) const PACK: &str = "pack:small";

/// 300,000 credits for 4.99, for thirty days.
pub(super) const SHORT_PACK: &str = "pack:short";

/// 1,500,000 credits a month for 9.99.
pub(super) const PLAN: &str = "plan:creator";

/// 7,200,000 credits a month for 39.99.
pub(super) const LARGE_PLAN: &str = "plan:studio";

pub(super) const PLANS: &str = "
[[plan]]
name = \"none\"
title = \"None\"
monthly_credits = 0

[[plan]]
name = \"creator\"
title = \"Creator\"
monthly_credits = 1_500_000
price_cents = 999
access = true

[[plan]]
name = \"studio\"
title = \"Studio\"
monthly_credits = 7_200_000
price_cents = 3999
access = true

[[pack]]
name = \"small\"
title = \"1,000 seconds\"
credits = 1_000_000
price_cents = 999

[[pack]]
name = \"short\"
title = \"300 seconds\"
credits = 300_000
price_cents = 499
valid_days = 30
";

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// More than any month, and more than the hour that Stripe takes with an invoice.
pub(super) const MONTH: Duration = Duration::from_secs(32 * 24 * 3600);

/// A platform on a database, whose clock is that of its Stripe.
pub(super) struct Shop {
    test: TestApp,
    pub(super) stripe: Arc<FakeStripe>,
    door: Door,
}

impl Deref for Shop {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.test
    }
}

impl Shop {
    /// With a Stripe of its own, which sends it webhooks.
    pub(super) async fn open(url: &DatabaseUrl) -> Self {
        Self::selling(url, PLANS).await
    }

    /// With other plans and packs.
    pub(super) async fn selling(url: &DatabaseUrl, plans: &str) -> Self {
        let shop = Self::beside(&new_stripe().await, url, plans).await;
        shop.stripe
            .send_webhooks_to(&shop.door.url, &[WEBHOOK_SECRET]);
        shop
    }

    /// With a Stripe of its own, which sends nothing.
    pub(super) async fn quiet(url: &DatabaseUrl) -> Self {
        Self::beside(&new_stripe().await, url, PLANS).await
    }

    /// At a Stripe that is there already, and sends it nothing.
    pub(super) async fn beside(stripe: &Arc<FakeStripe>, url: &DatabaseUrl, plans: &str) -> Self {
        Self::beside_with(stripe, url, plans, |_| {}).await
    }

    /// As [`Self::beside`], with other options.
    pub(super) async fn beside_with(
        stripe: &Arc<FakeStripe>,
        url: &DatabaseUrl,
        plans: &str,
        change: impl FnOnce(&mut BillingOptions),
    ) -> Self {
        let test = TestApp::with_plans_of(url, plans, |options| {
            sell(options, stripe);
            change(options);
        })
        .await;
        let clock = Arc::clone(&test.clock);
        let door = Door::open(Arc::clone(&test.app), clock, Arc::clone(stripe)).await;
        let shop = Self {
            test,
            stripe: Arc::clone(stripe),
            door,
        };
        shop.tick();
        shop
    }

    /// Sets the platform's clock by Stripe's.
    fn tick(&self) {
        self.test.clock.set(present(&self.stripe));
    }

    /// Lets time pass: Stripe sends its webhooks, which are kept, and nothing else happens here.
    pub(super) async fn pass(&self, time: Duration) {
        self.stripe.advance(time).await;
        self.tick();
    }

    /// Lets time pass, and handles what is heard of.
    pub(super) async fn advance(&self, time: Duration) {
        self.pass(time).await;
        self.hear().await;
    }

    /// Takes the webhooks that are due, handles them all, and panics when one is left.
    pub(super) async fn hear(&self) {
        self.pass(Duration::ZERO).await;
        self.handle().await;
        assert_eq!(self.problems().await, Vec::<String>::new());
    }

    /// Handles what has come in, as far as that is possible now.
    pub(super) async fn handle(&self) {
        self.tick();
        while self.app.handle_events().await.expect("handles") > 0 {}
    }

    /// The events that wait, each with what is wrong.
    pub(super) async fn problems(&self) -> Vec<String> {
        let waiting = event::Entity::find()
            .filter(event::Column::DoneTime.is_null())
            .order_by_asc(event::Column::Id)
            .all(self.app.store.reader());
        let waiting = waiting.await.expect("reads").into_iter();
        waiting
            .map(|event| format!("{}: {}", event.name, event.problem.unwrap_or_default()))
            .collect()
    }

    /// The inbox.
    pub(super) async fn events(&self) -> Vec<event::Model> {
        let query = event::Entity::find().order_by_asc(event::Column::Id);
        query.all(self.app.store.reader()).await.expect("reads")
    }

    /// Has a webhook of an event of Stripe's come in once more, signed now.
    pub(super) async fn bring(&self, event: &Value) -> Result<(), Error> {
        let body = event.to_string();
        let signed = signature(&[WEBHOOK_SECRET], self.stripe.now(), &body);
        self.tick();
        self.app.receive_webhook(body.as_bytes(), &signed).await
    }

    /// Forgets that anything was handled, hears of all of it again, and handles it.
    pub(super) async fn hear_all_again(&self) {
        let tx = self.app.store.begin().await.expect("begins");
        let forgotten = event::Entity::delete_many().exec(&tx).await;
        forgotten.expect("forgets");
        tx.commit().await.expect("commits");
        for event in self.stripe.objects("event") {
            self.bring(&event).await.expect("is taken");
        }
        self.hear().await;
    }

    /// Opens a checkout and answers with what is kept of it.
    pub(super) async fn checkout(
        &self,
        caller: &Caller,
        request_id: &str,
        item: &str,
    ) -> Result<checkout::Model, Error> {
        self.tick();
        let item = item.parse().expect("an item");
        let opened = self.app.create_checkout(caller, request_id, &item).await?;
        Ok(self.checkout_row(opened.id).await)
    }

    /// What is kept of a checkout.
    pub(super) async fn checkout_row(&self, id: uuid::Uuid) -> checkout::Model {
        let row = checkout::Entity::find_by_id(id).one(self.app.store.reader());
        row.await.expect("reads").expect("there is a checkout")
    }

    /// Somebody pays, or tries to, and it is heard of.
    pub(super) async fn pay(&self, checkout: &checkout::Model, outcome: PayOutcome) {
        self.stripe.pay(session_of(checkout), outcome);
        self.hear().await;
    }

    /// Somebody buys an item under a new request id. Answers with the receipt.
    pub(super) async fn buy(&self, caller: &Caller, item: &str) -> receipt::Model {
        let request_id = uuid::Uuid::now_v7().to_string();
        let checkout = self.checkout(caller, &request_id, item).await;
        let checkout = checkout.expect("opens");
        self.pay(&checkout, PayOutcome::Succeeds).await;
        let receipts = self.receipts(&caller.payer).await.into_iter();
        let mut of_checkout = receipts.filter(|it| it.checkout_id == Some(checkout.id));
        let receipt = of_checkout.next().expect("there is a receipt");
        assert_eq!(of_checkout.next(), None);
        receipt
    }

    /// The receipts of a payer, in the order in which they came.
    pub(super) async fn receipts(&self, payer: &Payer) -> Vec<receipt::Model> {
        let query = receipt::Entity::find()
            .filter(receipt::Column::Payer.eq(payer.to_string()))
            .order_by_asc(receipt::Column::Seq);
        query.all(self.app.store.reader()).await.expect("reads")
    }

    /// What is kept of a receipt now.
    pub(super) async fn receipt(&self, id: &str) -> receipt::Model {
        let row = receipt::Entity::find_by_id(id).one(self.app.store.reader());
        row.await.expect("reads").expect("there is a receipt")
    }

    /// What stands on a receipt: paid, refunded, disputed, and the credits that were taken back.
    pub(super) async fn sums_of(&self, id: &str) -> (i64, i64, i64, i64) {
        let row = self.receipt(id).await;
        (row.paid, row.refunded, row.disputed, row.taken)
    }

    /// The subscriptions of a payer.
    pub(super) async fn subscriptions(&self, payer: &Payer) -> Vec<subscription::Model> {
        let query = subscription::Entity::find()
            .filter(subscription::Column::Payer.eq(payer.to_string()))
            .order_by_asc(subscription::Column::Id);
        query.all(self.app.store.reader()).await.expect("reads")
    }

    /// The disputes of a payer.
    pub(super) async fn disputes(&self, payer: &Payer) -> Vec<dispute::Model> {
        let query = dispute::Entity::find()
            .filter(dispute::Column::Payer.eq(payer.to_string()))
            .order_by_asc(dispute::Column::Id);
        query.all(self.app.store.reader()).await.expect("reads")
    }

    /// The name of the plan that is in force for somebody.
    pub(super) async fn plan_of(&self, caller: &Caller) -> String {
        self.balance(caller).await.plan
    }

    /// Who somebody is at Stripe.
    pub(super) fn customer_of(&self, payer: &Payer) -> String {
        let key = payer.to_string();
        let is_it = |customer: &Value| customer["metadata"]["payer"] == key.as_str();
        let found = self.stripe.newest("customer", is_it);
        text(&found.expect("a customer"), "id")
    }

    /// An operator gives money back. Answers with what is kept of the receipt then.
    pub(super) async fn refund(
        &self,
        receipt: &str,
        request_id: &str,
        amount: Option<i64>,
    ) -> Result<receipt::Model, Error> {
        let wanted = ReceiptRefund {
            request_id: request_id.to_owned(),
            receipt: receipt.to_owned(),
            amount,
            note: "a test".to_owned(),
        };
        self.tick();
        self.app.refund_receipt(id_of("op"), &wanted).await
    }

    /// What the comparison with Stripe says that is wrong.
    pub(super) async fn reconcile(&self) -> Vec<String> {
        self.tick();
        let found = self.app.reconcile_payments().await.expect("compares");
        found.problems
    }

    /// Panics unless the ledger holds, and Stripe says the same of all money.
    pub(super) async fn prove(&self) {
        self.test.check().await;
        assert_eq!(self.reconcile().await, Vec::<String>::new());
        self.test.check().await;
    }
}

/// The payment at Stripe of a receipt.
pub(super) fn payment_of(receipt: &receipt::Model) -> &str {
    receipt.payment.as_deref().unwrap_or(&receipt.id)
}

/// The page of a checkout at Stripe.
pub(super) fn session_of(checkout: &checkout::Model) -> &str {
    checkout.session.as_deref().expect("it was opened")
}

/// A field of an object of Stripe's.
pub(super) fn text(object: &Value, field: &str) -> String {
    let text = object[field].as_str();
    text.unwrap_or_else(|| panic!("no {field}: {object}"))
        .to_owned()
}

/// Begins where the clocks of tests do.
async fn new_stripe() -> Arc<FakeStripe> {
    let start = ManualClock::new().now().timestamp();
    Arc::new(FakeStripe::start(start).await)
}

fn sell(options: &mut BillingOptions, stripe: &FakeStripe) {
    let payments = &mut options.payments;
    payments.stripe_secret_key = Some(Secret::new(FakeStripe::SECRET_KEY));
    payments.stripe_webhook_secrets = vec![Secret::new(WEBHOOK_SECRET)];
    payments.return_url = Some("https://kinora.example.org/paid".to_owned());
    payments.stripe_url = Some(stripe.base_url());
}
