//! An application on a database of its own, for tests.

use std::sync::Arc;
use std::time::Duration;

use kinora_store::{Database, DatabaseUrl};
use kinora_stripe_gateway::{Currencies, Gateway, Options, RetryPolicy};
use opentelemetry::global;
use sea_orm::{EntityTrait, QueryOrder};
use uuid::Uuid;

use super::balance::Balance;
use super::{App, Payments};
use crate::clock::testing::ManualClock;
use crate::config::BillingOptions;
use crate::config::payments::PaymentOptions;
use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::credits::Credits;
use crate::domain::grant::GrantOrigin;
use crate::domain::hold::Hold;
use crate::domain::payer::Payer;
use crate::domain::plan::Plans;
use crate::domain::refusal::Refusal;
use crate::domain::voucher_code::VoucherKey;
use crate::domain::work::{JobWork, Work};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::entity::ledger::{entry, transfer};
use crate::store::entity::payers::{grant, payer};
use crate::store::grants::NewGrant;
use crate::store::{Store, grants, holds, payers};

pub(crate) use crate::domain::work::tests::standard as frames;

/// Nobody gets anything by itself, unless they are put on another plan.
const PLANS: &str = "
[[plan]]
name = \"none\"
title = \"None\"
monthly_credits = 0

[[plan]]
name = \"free\"
title = \"Free\"
monthly_credits = 600_000
for_organisations = false

[[plan]]
name = \"creator\"
title = \"Creator\"
monthly_credits = 1_500_000
price_cents = 999
access = true
";

/// The use cases, and the hands of their clock.
pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Arc<ManualClock>,
}

impl TestApp {
    /// With a default plan that gives nothing.
    pub(crate) async fn on(url: &DatabaseUrl) -> Self {
        Self::with(url, |_| {}).await
    }

    /// With other options.
    pub(crate) async fn with(url: &DatabaseUrl, change: impl FnOnce(&mut BillingOptions)) -> Self {
        Self::with_plans_of(url, PLANS, change).await
    }

    /// With other plans and options. Takes money when the options say so.
    pub(crate) async fn with_plans_of(
        url: &DatabaseUrl,
        plans: &str,
        change: impl FnOnce(&mut BillingOptions),
    ) -> Self {
        let mut options = BillingOptions::new(url.clone(), voucher_key());
        options.default_plan = "none".to_owned();
        change(&mut options);
        let db = Database::connect(url).await.expect("opens");
        kinora_migrations::billing::migrate(db.writer())
            .await
            .expect("the schema");
        let plans = Plans::parse(plans, &options.default_plan).expect("plans");
        let payments = Payments::from_options(&options.payments, &plans);
        let mut payments = payments.expect("options");
        if let Some(payments) = &mut payments {
            payments.gateway = impatient(&options.payments, &plans);
        }
        let clock = Arc::new(ManualClock::new());
        let metrics = Metrics::new(&global::meter("tests"));
        let app = App::new(
            Store::new(db),
            Arc::clone(&clock) as _,
            plans,
            options,
            metrics,
            payments,
        );
        app.prepare().await.expect("prepares");
        Self {
            app: Arc::new(app),
            clock,
        }
    }

    /// Gives credits that end after so many days, or never.
    pub(crate) async fn give(&self, payer: &Payer, credits: i64, days: Option<i64>) -> Uuid {
        let now = self.app.now();
        let new = NewGrant {
            key: format!("test:{}", Uuid::now_v7()),
            payer: *payer,
            origin: GrantOrigin::Voucher,
            credits: amount(credits),
            expires_at: days.map(|days| now + chrono::TimeDelta::days(days)),
            note: "a test".to_owned(),
            user_id: None,
        };
        let tx = self.app.store.begin().await.expect("begins");
        payers::lock(&tx, payer, now).await.expect("locks");
        let id = grants::give(&tx, &new, now).await.expect("gives");
        tx.commit().await.expect("commits");
        id
    }

    /// Holds credits for a new job.
    pub(crate) async fn hold(&self, caller: &Caller, work: Work) -> Result<Uuid, Error> {
        let job = Uuid::now_v7();
        let jobs = vec![JobWork {
            job,
            work,
            preview: None,
        }];
        self.app.hold(caller, jobs).await.map(|_| job)
    }

    /// Holds credits for a new job and captures so many of them, or all.
    pub(crate) async fn captured(&self, caller: &Caller, work: Work, credits: Option<i64>) -> Uuid {
        let job = self.hold(caller, work).await.expect("holds");
        let captured = self.app.capture(job, 1, credits.map(amount)).await;
        captured.expect("captures");
        job
    }

    /// The hold of a job that has one.
    pub(crate) async fn hold_of(&self, job: Uuid) -> Hold {
        let hold = holds::find(self.app.store.reader(), job).await;
        hold.expect("reads").expect("there is a hold")
    }

    pub(crate) async fn balance(&self, caller: &Caller) -> Balance {
        let balance = self.app.balance(&caller.payer, caller.user).await;
        balance.expect("reads")
    }

    /// Available, held and owed credits.
    pub(crate) async fn sums(&self, caller: &Caller) -> (i64, i64, i64) {
        let balance = self.balance(caller).await;
        (
            balance.available.get(),
            balance.held.get(),
            balance.debt.get(),
        )
    }

    /// What the rows of all grants of a payer say that is left, whether they have ended or not.
    pub(crate) async fn left_in_grants(&self, payer: &Payer) -> i64 {
        let grants = grant::Entity::find().all(self.app.store.reader()).await;
        let key = payer.to_string();
        let grants = grants.expect("reads").into_iter();
        grants
            .filter(|grant| grant.payer == key)
            .map(|grant| grant.available)
            .sum()
    }

    /// The balance of an account, from its entries.
    pub(crate) async fn account(&self, name: &str) -> i64 {
        let entries = entry::Entity::find().all(self.app.store.reader()).await;
        let entries = entries.expect("reads").into_iter();
        entries
            .filter(|entry| entry.account == name)
            .map(|entry| entry.amount)
            .sum()
    }

    pub(crate) async fn transfers(&self) -> Vec<transfer::Model> {
        let query = transfer::Entity::find().order_by_asc(transfer::Column::Seq);
        query.all(self.app.store.reader()).await.expect("reads")
    }

    /// Panics unless all holds that must hold of the ledger, and playing it from the beginning never overdraws anybody and
    /// gives the balances that are kept.
    pub(crate) async fn check(&self) {
        let findings = self.app.check_ledger().await.expect("checks");
        assert_eq!(findings.problems, Vec::<String>::new());
        assert_eq!(findings.sum, 0);
        self.replay().await;
    }

    async fn replay(&self) {
        let reader = self.app.store.reader();
        let mut balances = std::collections::BTreeMap::<String, i64>::new();
        let entries = entry::Entity::find().all(reader).await.expect("reads");
        for transfer in self.transfers().await {
            let of_transfer = entries.iter().filter(|it| it.transfer_id == transfer.id);
            for entry in of_transfer {
                *balances.entry(entry.account.clone()).or_default() += entry.amount;
            }
            for (account, balance) in &balances {
                let is_bounded = account.starts_with("grant:") || account.starts_with("held:");
                assert!(!is_bounded || *balance >= 0, "{account}: {balance}");
                assert!(
                    !account.starts_with("debt:") || *balance <= 0,
                    "{account}: {balance}"
                );
            }
        }
        let of = |account: String| balances.get(&account).copied().unwrap_or_default();
        for grant in grant::Entity::find().all(reader).await.expect("reads") {
            assert_eq!(of(format!("grant:{}", grant.id)), grant.available);
        }
        for payer in payer::Entity::find().all(reader).await.expect("reads") {
            assert_eq!(of(format!("held:{}", payer.payer)), payer.held);
            assert_eq!(of(format!("debt:{}", payer.payer)), -payer.debt);
        }
    }
}

/// The way to Stripe that the options say, with pauses that a test can bear.
fn impatient(options: &PaymentOptions, plans: &Plans) -> Gateway {
    let key = options.stripe_secret_key.as_ref().expect("a key");
    let secrets = options.stripe_webhook_secrets.clone();
    let others = options.currencies.iter().map(String::as_str);
    let currencies = Currencies::new(plans.currencies().chain(others)).expect("currencies");
    let mut to_stripe = Options::new(key.clone(), secrets, currencies);
    to_stripe.base_url.clone_from(&options.stripe_url);
    to_stripe.retry = RetryPolicy {
        tries: 4,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(10),
    };
    Gateway::new(&to_stripe).expect("a gateway")
}

pub(crate) fn voucher_key() -> VoucherKey {
    "42".repeat(32).parse().expect("32 bytes")
}

/// Somebody who acts for themselves, by a name of at most 16 bytes.
pub(crate) fn user(name: &str) -> Caller {
    let id = id_of(name);
    Caller {
        user: id,
        payer: Payer::User(id),
        may_decide: true,
    }
}

/// Somebody who acts for an organisation.
pub(crate) fn member(organisation: &str, name: &str, may_decide: bool) -> Caller {
    Caller {
        user: id_of(name),
        payer: Payer::Organisation(id_of(organisation)),
        may_decide,
    }
}

pub(crate) fn id_of(name: &str) -> Uuid {
    kinora_access::testing::id_of(name)
}

pub(crate) fn amount(credits: i64) -> Credits {
    Credits::new(credits).expect("not negative")
}

pub(crate) fn time(text: &str) -> Time {
    text.parse().expect("a time")
}

/// Why something was refused.
pub(crate) fn refusal_of<T>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        Err(error) => panic!("it failed instead of being refused: {error:?}"),
        Ok(_) => panic!("it was done"),
    }
}

/// The field that was refused.
pub(crate) fn field_of<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Err(Error::Field { field, .. }) => field,
        Err(error) => panic!("it failed instead of being refused: {error:?}"),
        Ok(_) => panic!("it was done"),
    }
}
