use kinora_store::on_both_databases;
use uuid::Uuid;

use super::*;
use crate::app::testing::{TestApp, amount, frames, member, refusal_of, user};
use crate::domain::refusal::Refusal;

fn cap(hard: Option<i64>, soft: Option<i64>) -> SpendCap {
    SpendCap {
        hard: hard.map(amount),
        soft: soft.map(amount),
    }
}

async fn percents(test: &TestApp, caller: &Caller) -> Vec<u32> {
    let alerts = test.app.spend_alerts(caller).await.unwrap();
    alerts.iter().map(|alert| alert.percent).collect()
}

on_both_databases! {
    async fn the_hard_cap_counts_what_is_held_and_what_was_captured(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 50_000, None).await;
        test.captured(&ada, frames(16), None).await;
        test.app.set_spend_cap(&ada, cap(Some(3500), None)).await.unwrap();
        let open = test.hold(&ada, frames(32)).await.unwrap();
        let Refusal::SpendCapReached(shortage) = refusal_of(test.hold(&ada, frames(16)).await) else {
            panic!("it is the cap");
        };
        assert_eq!((shortage.needed, shortage.available), (amount(1000), amount(500)));
        assert_eq!(shortage.affordable_frames, 8);
        let estimate = test.app.estimate(&ada, &[frames(16)]).await.unwrap();
        // An estimate is about no job.
        assert_eq!(estimate.refusal, Some(Refusal::SpendCapReached(shortage).of_jobs(&[])));
        assert_eq!(estimate.available, amount(47_000));
        // What comes back can be spent again.
        test.app.capture(open, 1, Some(amount(1500))).await.unwrap();
        test.hold(&ada, frames(16)).await.unwrap();
        assert_eq!(test.balance(&ada).await.spent, amount(3500));
        test.app.set_spend_cap(&ada, cap(None, None)).await.unwrap();
        test.hold(&ada, frames(16)).await.unwrap();
        test.check().await;
    }

    async fn holds_that_race_stay_below_the_hard_cap(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 50_000, None).await;
        test.app.set_spend_cap(&ada, cap(Some(7999), None)).await.unwrap();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let app = test.app.clone();
            let work = crate::domain::work::JobWork { job: Uuid::now_v7(), work: frames(16), preview: None };
            calls.spawn(async move { app.hold(&ada, vec![work]).await.is_ok() });
        }
        let held = calls.join_all().await.into_iter().filter(|is_held| *is_held).count();
        assert_eq!(held, 7);
        assert_eq!(test.balance(&ada).await.spent, amount(7000));
        test.check().await;
    }

    async fn each_part_of_the_soft_cap_is_told_once_a_window(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 50_000, None).await;
        test.app.set_spend_cap(&ada, cap(None, Some(10_000))).await.unwrap();
        test.hold(&ada, frames(79)).await.unwrap();
        assert_eq!(percents(&test, &ada).await, [0_u32; 0]);
        let job = test.hold(&ada, frames(16)).await.unwrap();
        assert_eq!(percents(&test, &ada).await, [50]);
        test.app.release(job).await.unwrap();
        test.clock.advance(TimeDelta::minutes(1));
        // Below and across it again.
        test.hold(&ada, frames(16)).await.unwrap();
        assert_eq!(percents(&test, &ada).await, [50]);
        test.hold(&ada, frames(80)).await.unwrap();
        assert_eq!(percents(&test, &ada).await, [100, 80, 50]);
        let alerts = test.app.spend_alerts(&ada).await.unwrap();
        assert_eq!((alerts[0].soft, alerts[0].spent), (amount(10_000), amount(10_938)));
        assert_eq!(percents(&test, &user("ben")).await, [0_u32; 0]);
        test.clock.set(test.balance(&ada).await.window.end);
        test.hold(&ada, frames(96)).await.unwrap();
        assert_eq!(percents(&test, &ada).await, [50, 100, 80, 50]);
        test.clock.advance(TimeDelta::days(401));
        assert_eq!(percents(&test, &ada).await, [0_u32; 0]);
        test.check().await;
    }

    async fn a_cap_below_what_was_spent_is_told_at_the_next_job(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 50_000, None).await;
        test.hold(&ada, frames(160)).await.unwrap();
        test.app.set_spend_cap(&ada, cap(None, Some(1000))).await.unwrap();
        assert_eq!(percents(&test, &ada).await, [0_u32; 0]);
        test.hold(&ada, frames(1)).await.unwrap();
        assert_eq!(percents(&test, &ada).await, [100, 80, 50]);
    }

    async fn owners_and_admins_decide_for_an_organisation(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, bob) = (member("acme", "anna", true), member("acme", "bob", false));
        let refused = test.app.set_spend_cap(&bob, cap(Some(1), None)).await;
        assert_eq!(refusal_of(refused), Refusal::RoleInsufficient);
        for wrong in [cap(None, Some(0)), cap(Some(1), Some(2)), cap(Some(i64::MAX), None)] {
            let refused = test.app.set_spend_cap(&anna, wrong).await;
            assert_eq!(refusal_of(refused), Refusal::CapInvalid);
        }
        test.app.set_spend_cap(&anna, cap(Some(9), None)).await.unwrap();
        assert_eq!(test.balance(&bob).await.cap, cap(Some(9), None));
    }
}
