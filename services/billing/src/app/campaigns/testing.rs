//! Campaigns and people for tests.

use std::sync::Arc;

use futures::future::join_all;
use uuid::Uuid;

use crate::app::App;
use crate::app::balance::Balance;
use crate::app::testing::TestApp;
use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::credits::Credits;
use crate::domain::grant::{Grant, GrantOrigin};
use crate::domain::ledger::{Account, SystemAccount, Transfer, TransferKind};
use crate::domain::payer::Payer;
use crate::domain::plan::Plans;
use crate::domain::refusal::Refusal;
use crate::domain::voucher::{NewCampaign, VoucherRefusal};
use crate::error::Error;
use crate::store::entity::vouchers::redemption;
use crate::store::{entitlements, grants, ledger, payers};

/// Somewhere.
pub(crate) const HERE: &str = "192.0.2.7";

/// Of each redemption of [`contest`].
pub(crate) const CREDITS: i64 = 600_000;

/// An operator.
pub(crate) const OPERATOR: Uuid = Uuid::from_u128(1);

/// A campaign of one code that gives credits and access once.
pub(crate) fn contest() -> NewCampaign {
    NewCampaign {
        name: "odyssey".to_owned(),
        count: 1,
        credits: CREDITS.unsigned_abs(),
        access: true,
        max_uses: 1,
        per_user: 1,
        ..NewCampaign::default()
    }
}

/// Somebody new, for themselves.
pub(crate) fn somebody() -> Caller {
    let user = Uuid::now_v7();
    Caller {
        user,
        payer: Payer::User(user),
        may_decide: true,
    }
}

impl TestApp {
    /// The codes of a new campaign.
    pub(crate) async fn codes(&self, new: &NewCampaign) -> Vec<String> {
        let created = self.app.create_campaign(OPERATOR, "", new).await;
        let codes = created.expect("the campaign is new").codes;
        codes.iter().map(|code| code.reveal()).collect()
    }

    /// The code of a new campaign.
    pub(crate) async fn code(&self, new: &NewCampaign) -> String {
        self.codes(new).await.remove(0)
    }

    /// Redeems from [`HERE`].
    pub(crate) async fn redeemed(
        &self,
        caller: &Caller,
        code: &str,
    ) -> Result<redemption::Model, Error> {
        self.app.redeem(caller, code, HERE).await
    }

    /// What is left of credits of vouchers, and when it ends.
    pub(crate) async fn voucher_credits(&self, payer: &Payer) -> Vec<(i64, Option<Time>)> {
        let grants = self.voucher_grants(payer).await;
        let left = |grant: Grant| (grant.available.get(), grant.expire_time);
        grants.into_iter().map(left).collect()
    }

    async fn voucher_grants(&self, payer: &Payer) -> Vec<Grant> {
        let reader = self.app.store.reader();
        let all = grants::spendable(reader, payer, self.app.now()).await;
        let mut all = all.expect("grants are read");
        all.retain(|grant| grant.origin == GrantOrigin::Voucher);
        all
    }

    /// Spends some of a payer's only credits of vouchers.
    pub(crate) async fn spend_voucher_credits(&self, payer: &Payer, credits: i64) {
        let grants = self.voucher_grants(payer).await;
        let credits = Credits::new(credits).expect("they are not negative");
        let tx = self.app.store.begin().await.expect("begins");
        let now = self.app.now();
        payers::lock(&tx, payer, now).await.expect("locks");
        let spent = Transfer::new("spent".to_owned(), TransferKind::Adjust, *payer)
            .loses(Account::Grant(grants[0].id), credits)
            .gains(Account::System(SystemAccount::Adjustment), credits);
        ledger::post(&tx, &spent, now).await.expect("posts");
        tx.commit().await.expect("commits");
    }

    /// Whether a voucher lets somebody generate.
    pub(crate) async fn may_generate(&self, user: Uuid) -> bool {
        let reader = self.app.store.reader();
        let has = entitlements::has(reader, user, self.app.now()).await;
        has.expect("entitlements are read")
    }

    /// What a payer sees, with the allowance of the window.
    pub(crate) async fn balance_of(&self, payer: &Payer) -> Balance {
        let balance = self.app.balance(payer, Uuid::nil()).await;
        balance.expect("the balance is read")
    }

    /// The name of the plan that a payer is on.
    pub(crate) async fn plan_of(&self, payer: &Payer) -> String {
        self.balance_of(payer).await.plan
    }

    /// The same platform, restarted with other plans.
    pub(crate) fn with_plans(&self, plans: &str) -> Self {
        let app = &self.app;
        let plans = Plans::parse(plans, &app.options.default_plan).expect("plans");
        let app = App::new(
            app.store.clone(),
            Arc::clone(&app.clock),
            plans,
            app.options.clone(),
            app.metrics.clone(),
            None,
        );
        Self {
            app: Arc::new(app),
            clock: Arc::clone(&self.clock),
        }
    }

    /// All of them at once, each as a task of its own.
    pub(crate) async fn redeemed_at_once(
        &self,
        callers: &[Caller],
        code: &str,
    ) -> Vec<Result<redemption::Model, Error>> {
        let tasks = callers.iter().map(|caller| {
            let (app, caller, code) = (Arc::clone(&self.app), *caller, code.to_owned());
            tokio::spawn(async move { App::redeem(&app, &caller, &code, HERE).await })
        });
        let ended = join_all(tasks).await;
        ended.into_iter().map(|it| it.expect("no panic")).collect()
    }
}

/// Why a voucher or a campaign was refused.
#[track_caller]
pub(crate) fn why<T>(result: Result<T, Error>) -> VoucherRefusal {
    match result {
        Err(Error::Refused(Refusal::Voucher(refusal))) => refusal,
        Err(error) => panic!("it failed otherwise: {error:?}"),
        Ok(_) => panic!("it was done"),
    }
}
