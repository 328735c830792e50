//! Subscriptions: begun, renewed, not paid, ended.

use chrono::{DateTime, Months};
use kinora_store::on_both_databases;
use kinora_testkit::stripe::PayOutcome;
use sea_orm::ConnectionTrait;

use super::shop::{DAY, HOUR, LARGE_PLAN, MONTH, PACK, PLAN, PLANS, Shop};
use crate::app::testing::{id_of, refusal_of, user};
use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::payment::SubscriptionStanding;
use crate::domain::refusal::Refusal;
use crate::store::entity::payments::subscription;

/// The only subscription of somebody.
async fn only(shop: &Shop, caller: &Caller) -> subscription::Model {
    let all = shop.subscriptions(&caller.payer).await;
    let [one] = all.as_slice() else {
        panic!("{all:?}")
    };
    one.clone()
}

fn after(time: Time, months: u32) -> Time {
    let later = time.checked_add_months(Months::new(months));
    let later = later.expect("a time");
    DateTime::from_timestamp(later.timestamp(), 0).expect("a time")
}

on_both_databases! {
    async fn a_subscription_gives_its_credits_every_month_for_that_month(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let begun = shop.app.now();
        shop.buy(&ada, PLAN).await;
        for month in 1..=3 {
            let balance = shop.balance(&ada).await;
            assert_eq!((balance.plan.as_str(), balance.available.get()), ("creator", 1_500_000));
            let end = after(begun, month);
            let ends: Vec<_> = balance.grants.iter().map(|grant| grant.expire_time).collect();
            assert_eq!(ends, [Some(end)]);
            let row = only(&shop, &ada).await;
            assert_eq!((row.status, row.plan.as_str()), (SubscriptionStanding::Active.code(), "creator"));
            assert_eq!((row.period_start, row.period_end), (after(begun, month - 1), end));
            let receipts = shop.receipts(&ada.payer).await;
            assert_eq!(receipts.len(), usize::try_from(month).unwrap());
            assert!(receipts.iter().all(|it| (it.paid, it.credits) == (999, 1_500_000)));
            assert!(receipts.iter().all(|it| it.subscription == Some(row.id.clone())));
            shop.prove().await;

            let left = end - shop.app.now();
            shop.advance(left.to_std().unwrap() + HOUR / 2).await;
            let balance = shop.balance(&ada).await;
            assert_eq!(balance.plan, "creator", "it stays while the invoice is under way");
            assert_eq!(balance.available.get(), 0, "the credits have ended with their month");
            shop.app.expire_grants().await.unwrap();
            shop.advance(HOUR).await;
        }
        shop.hear_all_again().await;
        assert_eq!(shop.receipts(&ada.payer).await.len(), 4);
        shop.prove().await;
    }

    async fn a_payment_that_fails_keeps_the_plan_and_gives_nothing(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, PLAN).await;
        let customer = shop.customer_of(&ada.payer);
        shop.stripe.set_card_declined(&customer, true);
        shop.advance(MONTH).await;
        assert_eq!(only(&shop, &ada).await.status, SubscriptionStanding::PastDue.code());
        assert_eq!(shop.plan_of(&ada).await, "creator");
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        assert_eq!(shop.receipts(&ada.payer).await.len(), 1);
        shop.prove().await;

        shop.stripe.set_card_declined(&customer, false);
        shop.advance(DAY * 4).await;
        assert_eq!(only(&shop, &ada).await.status, SubscriptionStanding::Active.code());
        assert_eq!(shop.sums(&ada).await, (1_500_000, 0, 0));
        assert_eq!(shop.receipts(&ada.payer).await.len(), 2);
        shop.prove().await;
    }

    async fn a_subscription_that_is_never_paid_ends(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, PLAN).await;
        shop.stripe.set_card_declined(&shop.customer_of(&ada.payer), true);
        shop.advance(MONTH + DAY * 16).await;
        assert_eq!(only(&shop, &ada).await.status, SubscriptionStanding::Ended.code());
        assert_eq!(shop.plan_of(&ada).await, "none");
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        shop.prove().await;
        // And may be begun anew.
        shop.stripe.set_card_declined(&shop.customer_of(&ada.payer), false);
        shop.buy(&ada, LARGE_PLAN).await;
        assert_eq!(shop.plan_of(&ada).await, "studio");
        assert_eq!(shop.sums(&ada).await, (7_200_000, 0, 0));
        shop.prove().await;
    }

    async fn who_ends_it_in_the_portal_has_it_until_the_period_ends(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, PLAN).await;
        let row = only(&shop, &ada).await;
        shop.stripe.set_ending(&row.id, true);
        shop.hear().await;
        assert!(only(&shop, &ada).await.ends_with_period);
        assert_eq!(shop.plan_of(&ada).await, "creator");
        shop.advance(DAY * 29).await;
        assert_eq!(shop.sums(&ada).await, (1_500_000, 0, 0));
        shop.advance(DAY * 3).await;
        assert_eq!(only(&shop, &ada).await.status, SubscriptionStanding::Ended.code());
        assert_eq!(shop.plan_of(&ada).await, "none");
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        assert_eq!(shop.receipts(&ada.payer).await.len(), 1);
        shop.prove().await;
    }

    async fn who_thinks_better_of_it_keeps_it(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, PLAN).await;
        let row = only(&shop, &ada).await;
        shop.stripe.set_ending(&row.id, true);
        shop.advance(DAY).await;
        shop.stripe.set_ending(&row.id, false);
        shop.advance(MONTH).await;
        let row = only(&shop, &ada).await;
        assert_eq!((row.status, row.ends_with_period), (SubscriptionStanding::Active.code(), false));
        assert_eq!(shop.sums(&ada).await, (1_500_000, 0, 0));
    }

    async fn nobody_opens_a_second_subscription(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, PLAN).await;
        for item in [PLAN, LARGE_PLAN] {
            let refused = shop.checkout(&ada, "a", item).await;
            assert_eq!(refusal_of(refused), Refusal::PlanPaid, "{item}");
        }
        shop.buy(&ada, PACK).await;
        assert_eq!(shop.sums(&ada).await, (2_500_000, 0, 0));
        let refused = shop.app.set_plan(id_of("op"), &ada.payer, "none").await;
        assert_eq!(refusal_of(refused), Refusal::PlanPaid);
    }

    // Two pages were open at once, and both were paid: both have given their credits, and one of the plans is in force.
    async fn two_subscriptions_both_give_what_was_paid(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let small = shop.checkout(&ada, "a", PLAN).await.unwrap();
        let large = shop.checkout(&ada, "b", LARGE_PLAN).await.unwrap();
        shop.pay(&small, PayOutcome::Succeeds).await;
        shop.advance(HOUR * 12).await;
        shop.stripe.pay(large.session.as_deref().unwrap(), PayOutcome::Succeeds);
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (8_700_000, 0, 0));
        assert_eq!(shop.subscriptions(&ada.payer).await.len(), 2);
        assert_ne!(shop.plan_of(&ada).await, "none");
        shop.prove().await;
    }

    async fn an_operator_ends_a_subscription_at_once(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, PLAN).await;
        let row = only(&shop, &ada).await;
        for _ in 0..2 {
            shop.app.cancel_subscription(id_of("op"), &row.id, "fraud").await.unwrap();
            assert_eq!(only(&shop, &ada).await.status, SubscriptionStanding::Ended.code());
            assert_eq!(shop.plan_of(&ada).await, "none");
        }
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (1_500_000, 0, 0), "what was paid stays until it ends");
        let unknown = shop.app.cancel_subscription(id_of("op"), "sub_gone", "fraud").await;
        assert_eq!(refusal_of(unknown), Refusal::SubscriptionNotFound);
        shop.prove().await;
    }

    // The credits stand on the checkout, so they come; there is no such plan to be on.
    async fn a_plan_that_is_deleted_is_still_paid_and_given(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, PLAN).await;
        let without = PLANS.replace("\"creator\"", "\"other\"");
        let later = Shop::beside(&shop.stripe, &url, &without).await;
        later.advance(MONTH).await;
        assert_eq!(later.sums(&ada).await, (1_500_000, 0, 0));
        assert_eq!(later.plan_of(&ada).await, "none");
        assert_eq!(only(&later, &ada).await.status, SubscriptionStanding::Active.code());
        later.prove().await;
    }

    // Nobody knows what it gave: nothing is guessed, an operator is told, and it is given when the plan is back.
    async fn credits_of_a_plan_that_nobody_knows_wait_for_it(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, PLAN).await;
        let tx = shop.app.store.begin().await.unwrap();
        tx.execute_unprepared("UPDATE checkouts SET item = 'plan:studio', credits = 7200000").await.unwrap();
        tx.commit().await.unwrap();
        let without = PLANS.replace("\"creator\"", "\"other\"");
        let later = Shop::beside(&shop.stripe, &url, &without).await;
        later.pass(MONTH).await;
        later.handle().await;
        let problems = later.problems().await;
        assert!(problems.iter().any(|it| it.contains("creator")), "{problems:?}");
        assert_eq!(later.receipts(&ada.payer).await.len(), 1);
        assert_eq!(later.sums(&ada).await, (0, 0, 0));
        later.pass(HOUR * 2).await;
        let problems = later.reconcile().await;
        assert!(problems.iter().any(|it| it.contains("creator")), "{problems:?}");

        let back = Shop::beside(&shop.stripe, &url, PLANS).await;
        back.advance(HOUR * 2).await;
        assert_eq!(back.receipts(&ada.payer).await.len(), 2);
        assert_eq!(back.sums(&ada).await, (1_500_000, 0, 0));
        back.prove().await;
    }
}
