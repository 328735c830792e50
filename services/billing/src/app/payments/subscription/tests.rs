use kinora_store::on_both_databases;

use super::*;
use crate::app::testing::{TestApp, id_of, refusal_of, user};
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;

/// Writes a subscription of Ada's that ends after so many days, and what follows from it.
async fn put(test: &TestApp, id: &str, plan: &str, standing: SubscriptionStanding, days: i64) {
    let now = test.app.now();
    let payer = user("ada").payer;
    let row = subscription::Model {
        id: id.to_owned(),
        payer: payer.to_string(),
        plan: plan.to_owned(),
        status: standing.code(),
        period_start: now,
        period_end: now + TimeDelta::days(days),
        ends_with_period: false,
        create_time: now,
    };
    let tx = test.app.store.begin().await.unwrap();
    let locked = payers::lock(&tx, &payer, now).await.unwrap();
    subscriptions::put(&tx, row).await.unwrap();
    test.app.put_on_plan(&tx, &locked).await.unwrap();
    tx.commit().await.unwrap();
}

async fn plan_of_ada(test: &TestApp) -> Option<PlanOfPayer> {
    let payer: Payer = user("ada").payer;
    let row = payers::find(test.app.store.reader(), &payer).await.unwrap();
    row.unwrap().plan
}

async fn source_of_ada(test: &TestApp) -> Option<String> {
    plan_of_ada(test).await.map(|plan| plan.source)
}

#[test]
fn states_of_stripes_have_one_of_ours() {
    use SubscriptionStatus as Theirs;
    let ours = [
        (Theirs::Incomplete, SubscriptionStanding::Incomplete),
        (Theirs::NeverBegun, SubscriptionStanding::Ended),
        (Theirs::Trial, SubscriptionStanding::Active),
        (Theirs::Active, SubscriptionStanding::Active),
        (Theirs::PastDue, SubscriptionStanding::PastDue),
        (Theirs::Unpaid, SubscriptionStanding::Suspended),
        (Theirs::Paused, SubscriptionStanding::Suspended),
        (Theirs::Ended, SubscriptionStanding::Ended),
    ];
    for (theirs, expected) in ours {
        assert_eq!(standing_of(theirs), expected);
    }
}

on_both_databases! {
    async fn a_paid_plan_lasts_a_day_longer_than_what_was_paid(url: DatabaseUrl) {
        use SubscriptionStanding::{Active, Ended, Incomplete, PastDue, Suspended};
        let test = TestApp::on(&url).await;
        put(&test, "sub_1", "creator", Incomplete, 30).await;
        assert_eq!(plan_of_ada(&test).await, None);
        put(&test, "sub_1", "creator", Active, 30).await;
        let plan = plan_of_ada(&test).await.unwrap();
        assert_eq!((plan.name.as_str(), plan.source.as_str()), ("creator", "stripe:sub_1"));
        assert_eq!(plan.end_time, Some(test.app.now() + TimeDelta::days(31)));
        assert_eq!(test.balance(&user("ada")).await.plan, "creator");
        assert_eq!(test.sums(&user("ada")).await, (0, 0, 0), "credits come with invoices");
        put(&test, "sub_1", "creator", PastDue, 30).await;
        assert_eq!(source_of_ada(&test).await.as_deref(), Some("stripe:sub_1"));
        for over in [Suspended, Active, Ended] {
            put(&test, "sub_1", "creator", over, 30).await;
            assert_eq!(plan_of_ada(&test).await.is_some(), over == Active);
        }
    }

    async fn of_two_the_last_to_end_is_in_force(url: DatabaseUrl) {
        use SubscriptionStanding::{Active, Ended};
        let test = TestApp::on(&url).await;
        put(&test, "sub_1", "creator", Active, 30).await;
        put(&test, "sub_2", "creator", Active, 20).await;
        assert_eq!(source_of_ada(&test).await.as_deref(), Some("stripe:sub_1"));
        put(&test, "sub_2", "creator", Active, 50).await;
        assert_eq!(source_of_ada(&test).await.as_deref(), Some("stripe:sub_2"));
        put(&test, "sub_2", "creator", Ended, 50).await;
        assert_eq!(source_of_ada(&test).await.as_deref(), Some("stripe:sub_1"));
        put(&test, "sub_1", "creator", Ended, 30).await;
        assert_eq!(plan_of_ada(&test).await, None);
    }

    async fn what_others_put_somebody_on_stays_when_a_subscription_ends(url: DatabaseUrl) {
        use SubscriptionStanding::{Active, Ended};
        let test = TestApp::on(&url).await;
        let (op, payer) = (id_of("op"), user("ada").payer);
        put(&test, "sub_1", "creator", Ended, 30).await;
        test.app.set_plan(op, &payer, "free").await.unwrap();
        put(&test, "sub_1", "creator", Ended, 30).await;
        assert_eq!(source_of_ada(&test).await.as_deref(), Some("operator"));
        put(&test, "sub_2", "creator", Active, 30).await;
        assert_eq!(source_of_ada(&test).await.as_deref(), Some("stripe:sub_2"));
        let refused = test.app.set_plan(op, &payer, "free").await;
        assert_eq!(refusal_of(refused), Refusal::PlanPaid);
    }

    async fn a_plan_that_is_gone_is_kept_and_put_nobody_on(url: DatabaseUrl) {
        use SubscriptionStanding::{Active, Ended};
        let test = TestApp::on(&url).await;
        put(&test, "sub_1", "gone", Active, 30).await;
        assert_eq!(plan_of_ada(&test).await, None);
        let kept = subscriptions::find(test.app.store.reader(), "sub_1").await.unwrap();
        assert_eq!(kept.unwrap().plan, "gone");
        put(&test, "sub_1", "creator", Active, 30).await;
        put(&test, "sub_1", "gone", Active, 30).await;
        assert_eq!(source_of_ada(&test).await.as_deref(), Some("stripe:sub_1"));
        put(&test, "sub_1", "gone", Ended, 30).await;
        assert_eq!(plan_of_ada(&test).await, None);
    }
}
