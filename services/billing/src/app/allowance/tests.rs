use chrono::TimeDelta;
use kinora_store::{DatabaseUrl, on_both_databases};

use super::*;
use crate::app::testing::{TestApp, amount, frames, id_of, member, refusal_of, time, user};
use crate::domain::credits::Credits;
use crate::store::{plans, rules};

/// Everybody has 600 seconds a month.
async fn free(url: &DatabaseUrl) -> TestApp {
    TestApp::with(url, |options| options.default_plan = "free".to_owned()).await
}

async fn set_window(test: &TestApp, start: &str, end: &str) {
    let ends = (time(start), time(end));
    let set = test.app.set_window(id_of("op"), Some(ends)).await;
    set.unwrap();
}

on_both_databases! {
    async fn an_allowance_comes_once_a_month_and_goes_with_it(url: DatabaseUrl) {
        let test = free(&url).await;
        let ada = user("ada");
        test.clock.set(time("2027-01-31T15:00:00Z"));
        let balance = test.balance(&ada).await;
        assert_eq!((balance.available, balance.plan.as_str()), (amount(600_000), "free"));
        assert_eq!(balance.window.start, time("2027-01-31T00:00:00Z"));
        assert_eq!(balance.window.end, time("2027-02-28T00:00:00Z"));
        assert_eq!(balance.grants[0].expire_time, Some(balance.window.end));
        assert_eq!(balance.grants[0].origin, GrantOrigin::Plan);
        test.captured(&ada, frames(160), None).await;
        assert_eq!(test.sums(&ada).await, (590_000, 0, 0));
        test.clock.set(time("2027-02-27T23:59:59Z"));
        assert_eq!(test.sums(&ada).await, (590_000, 0, 0));
        assert_eq!(test.balance(&ada).await.spent, amount(10_000));
        test.clock.set(time("2027-02-28T00:00:00Z"));
        let balance = test.balance(&ada).await;
        assert_eq!((balance.available, balance.spent), (amount(600_000), Credits::ZERO));
        assert_eq!(balance.window.end, time("2027-03-31T00:00:00Z"));
        assert_eq!(test.app.expire_grants().await.unwrap(), 1);
        assert_eq!(test.account("system:expired").await, 590_000);
        test.check().await;
    }

    async fn fifty_looks_at_once_give_one_allowance(url: DatabaseUrl) {
        let test = free(&url).await;
        let ada = user("ada");
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..50 {
            let app = test.app.clone();
            calls.spawn(async move {
                if number % 2 == 0 {
                    let jobs = vec![crate::domain::work::JobWork { job: Uuid::now_v7(), work: frames(16), preview: None }];
                    app.hold(&ada, jobs).await.map(|_| ())
                } else {
                    app.balance(&ada.payer, ada.user).await.map(|_| ())
                }
            });
        }
        calls.join_all().await.into_iter().for_each(|answer| answer.unwrap());
        assert_eq!(test.sums(&ada).await, (575_000, 25_000, 0));
        test.check().await;
    }

    async fn a_job_that_runs_over_midnight_counts_in_its_own_window(url: DatabaseUrl) {
        let test = free(&url).await;
        let ada = user("ada");
        test.clock.set(time("2027-01-15T12:00:00Z"));
        test.balance(&ada).await;
        test.clock.set(time("2027-02-14T23:59:00Z"));
        let job = test.hold(&ada, frames(16)).await.unwrap();
        test.clock.set(time("2027-02-15T00:01:00Z"));
        assert_eq!(test.balance(&ada).await.spent, Credits::ZERO);
        let hold = test.app.capture(job, 1, Some(amount(400))).await.unwrap();
        assert_eq!(hold.window.start, time("2027-01-15T00:00:00Z"));
        assert_eq!(test.balance(&ada).await.spent, Credits::ZERO);
        // The rest was of the allowance that has ended.
        assert_eq!(test.sums(&ada).await, (600_000, 0, 0));
        assert_eq!(test.account("system:expired").await, 600);
        test.check().await;
    }

    async fn an_operators_window_takes_the_place_of_the_month(url: DatabaseUrl) {
        let test = free(&url).await;
        let ada = user("ada");
        test.clock.set(time("2027-01-01T12:00:00Z"));
        test.captured(&ada, frames(16 * 100), None).await;
        set_window(&test, "2027-01-10T00:00:00Z", "2027-01-20T00:00:00Z").await;
        test.clock.set(time("2027-01-09T23:59:59Z"));
        assert_eq!(test.sums(&ada).await, (500_000, 0, 0));
        test.clock.set(time("2027-01-10T00:00:00Z"));
        let balance = test.balance(&ada).await;
        assert_eq!((balance.available, balance.spent), (amount(1_100_000), Credits::ZERO));
        assert_eq!(balance.window.end, time("2027-01-20T00:00:00Z"));
        // The contest's allowance ends first, and is spent first.
        test.captured(&ada, frames(16 * 50), None).await;
        assert_eq!(test.balance(&ada).await.spent, amount(50_000));
        test.clock.set(time("2027-01-20T00:00:00Z"));
        let balance = test.balance(&ada).await;
        assert_eq!((balance.available, balance.spent), (amount(500_000), amount(100_000)));
        assert_eq!(balance.window.end, time("2027-02-01T00:00:00Z"));
        test.check().await;
    }

    async fn a_window_that_is_moved_gives_no_second_allowance(url: DatabaseUrl) {
        let test = free(&url).await;
        let ada = user("ada");
        set_window(&test, "2026-11-20T00:00:00Z", "2026-12-01T00:00:00Z").await;
        assert_eq!(test.sums(&ada).await, (600_000, 0, 0));
        set_window(&test, "2026-11-20T00:00:00Z", "2026-12-24T00:00:00Z").await;
        let balance = test.balance(&ada).await;
        assert_eq!(balance.window.end, time("2026-12-24T00:00:00Z"));
        assert_eq!(balance.available, amount(600_000));
        test.app.set_window(id_of("op"), None).await.unwrap();
        assert_eq!(rules::present(test.app.store.reader()).await.unwrap().1, None);
        // The month has one of its own.
        assert_eq!(test.sums(&ada).await, (1_200_000, 0, 0));
        test.check().await;
    }

    async fn each_plan_gives_its_allowance_once_a_window(url: DatabaseUrl) {
        let test = free(&url).await;
        let ada = user("ada");
        assert_eq!(test.sums(&ada).await, (600_000, 0, 0));
        for _ in 0..2 {
            let balance = test.app.set_plan(id_of("op"), &ada.payer, "creator").await.unwrap();
            assert_eq!((balance.available, balance.plan.as_str()), (amount(2_100_000), "creator"));
            let balance = test.app.set_plan(id_of("op"), &ada.payer, "free").await.unwrap();
            assert_eq!((balance.available, balance.plan.as_str()), (amount(2_100_000), "free"));
        }
        let unknown = test.app.set_plan(id_of("op"), &ada.payer, "gone").await;
        assert_eq!(refusal_of(unknown), Refusal::PlanUnknown);
        test.check().await;
    }

    async fn a_plan_with_an_end_gives_way_to_the_default_one(url: DatabaseUrl) {
        let test = free(&url).await;
        let (ada, ben) = (user("ada"), user("ben"));
        let now = test.app.now();
        let tx = test.app.store.begin().await.unwrap();
        let end = Some(now + TimeDelta::days(3));
        plans::set(&tx, &ada.payer, "creator", "voucher:1", end, now).await.unwrap();
        plans::set(&tx, &ben.payer, "creator", "voucher:2", None, now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(test.balance(&ada).await.plan, "creator");
        assert_eq!(test.balance(&ben).await.plan, "creator");
        test.clock.advance(TimeDelta::days(3));
        let balance = test.balance(&ada).await;
        assert_eq!((balance.plan.as_str(), balance.available), ("free", amount(2_100_000)));
        let tx = test.app.store.begin().await.unwrap();
        assert_eq!(plans::end(&tx, "voucher:2").await.unwrap(), 1);
        assert_eq!(plans::end(&tx, "voucher:2").await.unwrap(), 0);
        tx.commit().await.unwrap();
        assert_eq!(test.balance(&ben).await.plan, "free");
        test.check().await;
    }

    async fn a_plan_that_is_paid_for_stays_and_its_credits_come_with_invoices(url: DatabaseUrl) {
        let test = free(&url).await;
        let ada = user("ada");
        let now = test.app.now();
        let tx = test.app.store.begin().await.unwrap();
        plans::set(&tx, &ada.payer, "creator", "stripe:sub_1", None, now).await.unwrap();
        plans::set(&tx, &ada.payer, "creator", "stripe:sub_1", None, now).await.unwrap();
        let other = plans::set(&tx, &ada.payer, "free", "voucher:1", None, now).await;
        assert_eq!(refusal_of(other), Refusal::PlanPaid);
        tx.commit().await.unwrap();
        let balance = test.balance(&ada).await;
        assert_eq!((balance.plan.as_str(), balance.available), ("creator", Credits::ZERO));
        let refused = test.app.set_plan(id_of("op"), &ada.payer, "free").await;
        assert_eq!(refusal_of(refused), Refusal::PlanPaid);
        test.check().await;
    }

    async fn who_is_on_a_plan_that_was_deleted_has_the_default_one(url: DatabaseUrl) {
        let test = free(&url).await;
        let ada = user("ada");
        let now = test.app.now();
        let tx = test.app.store.begin().await.unwrap();
        plans::set(&tx, &ada.payer, "deleted", "operator", None, now).await.unwrap();
        tx.commit().await.unwrap();
        let balance = test.balance(&ada).await;
        assert_eq!((balance.plan.as_str(), balance.available), ("free", amount(600_000)));
        test.hold(&ada, frames(16)).await.unwrap();
        test.check().await;
    }

    async fn organisations_are_no_second_free_plan(url: DatabaseUrl) {
        let test = free(&url).await;
        let anna = member("acme", "ada", true);
        let balance = test.balance(&anna).await;
        assert_eq!((balance.plan.as_str(), balance.available), ("free", Credits::ZERO));
        assert_eq!(test.sums(&user("ada")).await, (600_000, 0, 0));
        let balance = test.app.set_plan(id_of("op"), &anna.payer, "creator").await.unwrap();
        assert_eq!(balance.available, amount(1_500_000));
        test.check().await;
    }

    async fn an_allowance_pays_a_debt_first(url: DatabaseUrl) {
        let test = free(&url).await;
        let ada = user("ada");
        assert_eq!(test.sums(&ada).await, (600_000, 0, 0));
        let taken = crate::app::Adjustment {
            request_id: "a".to_owned(),
            payer: ada.payer,
            credits: -700_000,
            note: "a dispute".to_owned(),
            expire_time: None,
        };
        test.app.adjust(id_of("op"), &taken).await.unwrap();
        assert_eq!(test.sums(&ada).await, (0, 0, 100_000));
        test.clock.advance(TimeDelta::days(31));
        let estimate = test.app.estimate(&ada, &[frames(16)]).await.unwrap();
        assert_eq!(estimate.available, amount(500_000));
        assert_eq!(test.sums(&ada).await, (500_000, 0, 0));
        test.check().await;
    }
}
