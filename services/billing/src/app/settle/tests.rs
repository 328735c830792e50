use chrono::TimeDelta;
use kinora_store::on_both_databases;

use super::*;
use crate::app::testing::{TestApp, amount, field_of, frames, refusal_of, user};
use crate::app::{Adjustment, BATCH};
use crate::domain::caller::Caller;

/// Takes credits away as an operator does.
async fn take(test: &TestApp, caller: &Caller, credits: i64) {
    let adjustment = Adjustment {
        request_id: Uuid::now_v7().to_string(),
        payer: caller.payer,
        credits: -credits,
        note: "a dispute".to_owned(),
        expire_time: None,
    };
    test.app.adjust(caller.user, &adjustment).await.unwrap();
}

/// Lets all holds lapse.
async fn lapse(test: &TestApp) {
    test.clock.advance(TimeDelta::days(1));
    let lapsed = test.app.lapse_overdue().await.unwrap();
    assert!(lapsed > 0 && lapsed < BATCH);
}

on_both_databases! {
    async fn a_capture_takes_a_part_and_gives_back_the_rest(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let first = test.give(&ada.payer, 600, Some(9)).await;
        let second = test.give(&ada.payer, 600, None).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        let hold = test.app.capture(job, 3, Some(amount(500))).await.unwrap();
        assert_eq!((hold.state, hold.captured, hold.lease), (HoldState::Captured, amount(500), Some(3)));
        assert_eq!(hold.settle_time, Some(test.app.now()));
        assert_eq!(test.hold_of(job).await, hold);
        assert_eq!(test.sums(&ada).await, (700, 0, 0));
        // The last grant to be spent is the first to get credits back.
        assert_eq!(test.account(&format!("grant:{second}")).await, 600);
        assert_eq!(test.account(&format!("grant:{first}")).await, 100);
        assert_eq!(test.account("system:revenue").await, 500);
        assert_eq!(test.balance(&ada).await.spent, amount(500));
        test.check().await;
    }

    async fn a_capture_is_made_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        let first = test.app.capture(job, 2, None).await.unwrap();
        test.clock.advance(TimeDelta::hours(1));
        assert_eq!(test.app.capture(job, 2, None).await.unwrap(), first);
        for (lease, credits) in [(1, None), (3, None), (2, Some(amount(999)))] {
            let refused = test.app.capture(job, lease, credits).await;
            assert_eq!(refusal_of(refused), Refusal::HoldSettled);
        }
        let refused = test.app.capture(job, 2, Some(amount(1001))).await;
        assert_eq!(refusal_of(refused), Refusal::CaptureExceedsHold { held: amount(1000) });
        assert_eq!(refusal_of(test.app.release(job).await), Refusal::HoldSettled);
        assert_eq!(test.sums(&ada).await, (4000, 0, 0));
        test.check().await;
    }

    async fn fifty_captures_and_releases_at_once_settle_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..50_u64 {
            let app = test.app.clone();
            calls.spawn(async move {
                let settled = match number % 3 {
                    0 => app.release(job).await.map(|hold| hold.expect("it is held")),
                    lease => app.capture(job, lease, None).await,
                };
                settled.map(|hold| (hold.state, hold.lease))
            });
        }
        let mut answers = Vec::new();
        for answer in calls.join_all().await {
            match answer {
                Ok(settled) => answers.push(settled),
                refused => assert_eq!(refusal_of(refused), Refusal::HoldSettled),
            }
        }
        assert!(answers.len() > 10 && answers.iter().all(|it| *it == answers[0]), "{answers:?}");
        assert_eq!(test.transfers().await.len(), 3);
        test.check().await;
    }

    async fn what_is_no_capture_touches_nothing(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        assert_eq!(field_of(test.app.capture(job, 0, None).await), "lease");
        assert_eq!(field_of(test.app.capture(job, u64::MAX, None).await), "lease");
        assert_eq!(field_of(test.app.capture(job, 1, Some(Credits::ZERO)).await), "credits");
        for credits in [amount(1001), Credits::MAX] {
            let refused = test.app.capture(job, 1, Some(credits)).await;
            assert_eq!(refusal_of(refused), Refusal::CaptureExceedsHold { held: amount(1000) });
        }
        let unknown = test.app.capture(Uuid::now_v7(), 1, None).await;
        assert_eq!(refusal_of(unknown), Refusal::HoldNotFound);
        assert_eq!(test.sums(&ada).await, (4000, 1000, 0));
        test.check().await;
    }

    async fn a_release_gives_everything_back_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 600, Some(9)).await;
        test.give(&ada.payer, 600, None).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        let released = test.app.release(job).await.unwrap();
        assert_eq!(released.as_ref().map(|hold| hold.state), Some(HoldState::Released));
        test.clock.advance(TimeDelta::hours(1));
        assert_eq!(test.app.release(job).await.unwrap(), released);
        assert_eq!(test.app.release(Uuid::now_v7()).await.unwrap(), None);
        assert_eq!(refusal_of(test.app.capture(job, 1, None).await), Refusal::HoldSettled);
        assert_eq!(test.sums(&ada).await, (1200, 0, 0));
        assert_eq!(test.balance(&ada).await.spent, Credits::ZERO);
        test.check().await;
    }

    async fn a_hold_that_nobody_settles_lapses(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        test.clock.advance(TimeDelta::days(1) - TimeDelta::microseconds(1));
        assert_eq!(test.app.lapse_overdue().await.unwrap(), 0);
        assert!(!test.app.lapse(&ada.payer, job).await.unwrap());
        test.clock.advance(TimeDelta::microseconds(1));
        assert_eq!(test.app.lapse_overdue().await.unwrap(), 1);
        assert_eq!(test.app.lapse_overdue().await.unwrap(), 0);
        assert_eq!(test.hold_of(job).await.state, HoldState::Expired);
        assert_eq!(test.sums(&ada).await, (5000, 0, 0));
        // From now on it is released for good.
        let released = test.app.release(job).await.unwrap().unwrap();
        assert_eq!(released.state, HoldState::Released);
        assert_eq!(refusal_of(test.app.capture(job, 1, None).await), Refusal::HoldSettled);
        test.check().await;
    }

    async fn a_hold_that_is_renewed_goes_on(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        let settled = test.captured(&ada, frames(16), None).await;
        test.clock.advance(TimeDelta::hours(23));
        let jobs = [settled, Uuid::now_v7(), job];
        assert_eq!(test.app.renew_holds(&jobs).await.unwrap(), [job]);
        test.clock.advance(TimeDelta::hours(23));
        assert_eq!(test.app.lapse_overdue().await.unwrap(), 0);
        assert_eq!(test.hold_of(job).await.state, HoldState::Open);
        assert_eq!(test.app.renew_holds(&[]).await.unwrap(), Vec::<Uuid>::new());
        let many = vec![job; 1001];
        assert_eq!(field_of(test.app.renew_holds(&many).await), "job_ids");
        test.clock.advance(TimeDelta::hours(2));
        assert_eq!(test.app.lapse_overdue().await.unwrap(), 1);
        assert_eq!(test.app.renew_holds(&[job]).await.unwrap(), Vec::<Uuid>::new());
        test.check().await;
    }

    async fn a_clip_is_paid_after_its_hold_lapsed(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 1500, None).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        lapse(&test).await;
        let hold = test.app.capture(job, 4, Some(amount(800))).await.unwrap();
        assert_eq!((hold.state, hold.captured), (HoldState::Captured, amount(800)));
        assert_eq!(test.app.capture(job, 4, Some(amount(800))).await.unwrap(), hold);
        assert_eq!(test.sums(&ada).await, (700, 0, 0));
        assert_eq!(test.balance(&ada).await.spent, amount(800));
        assert_eq!(test.account("system:adjustment").await, 0);
        test.check().await;
    }

    async fn the_platform_pays_what_is_missing_after_a_hold_lapsed(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 1500, None).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        lapse(&test).await;
        test.captured(&ada, frames(16), Some(1000)).await;
        let hold = test.app.capture(job, 1, None).await.unwrap();
        assert_eq!(hold.captured, amount(1000));
        assert_eq!(test.sums(&ada).await, (0, 0, 0));
        assert_eq!(test.account("system:adjustment").await, -500);
        assert_eq!(test.account("system:revenue").await, 2000);
        test.check().await;
    }

    async fn grants_that_end_while_they_are_held_do_not_come_back(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 600, Some(1)).await;
        test.give(&ada.payer, 1000, None).await;
        let (released, captured) = (test.hold(&ada, frames(8)).await.unwrap(), test.hold(&ada, frames(8)).await.unwrap());
        test.app.renew_holds(&[released, captured]).await.unwrap();
        test.clock.advance(TimeDelta::days(1) - TimeDelta::seconds(1));
        test.app.renew_holds(&[released, captured]).await.unwrap();
        test.clock.advance(TimeDelta::seconds(1));
        assert_eq!(test.app.expire_grants().await.unwrap(), 0, "all of it is held");
        test.app.release(released).await.unwrap();
        assert_eq!(test.account("system:expired").await, 500);
        assert_eq!(test.sums(&ada).await, (600, 500, 0));
        // 100 of this one's are of the grant that has ended; the rest comes back first.
        test.app.capture(captured, 1, Some(amount(50))).await.unwrap();
        assert_eq!(test.account("system:expired").await, 550);
        assert_eq!(test.sums(&ada).await, (1000, 0, 0));
        test.check().await;
    }

    async fn what_comes_back_pays_a_debt_first(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 1000, None).await;
        let (first, second) = (test.hold(&ada, frames(8)).await.unwrap(), test.hold(&ada, frames(8)).await.unwrap());
        take(&test, &ada, 700).await;
        assert_eq!(test.sums(&ada).await, (0, 1000, 700));
        test.app.release(first).await.unwrap();
        assert_eq!(test.sums(&ada).await, (0, 500, 200));
        test.app.capture(second, 1, Some(amount(100))).await.unwrap();
        assert_eq!(test.sums(&ada).await, (200, 0, 0));
        assert_eq!(test.account(&format!("debt:{}", ada.payer)).await, 0);
        test.check().await;
    }

    async fn open_holds_are_listed_oldest_first(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 50_000, None).await;
        let mut jobs = Vec::new();
        for number in 0..5 {
            jobs.push(test.hold(&ada, frames(16)).await.unwrap());
            if number % 2 == 0 {
                test.clock.advance(TimeDelta::minutes(1));
            }
        }
        let since = test.app.now();
        test.hold(&ada, frames(16)).await.unwrap();
        let (first, token) = test.app.open_holds(Some(since), 2, "").await.unwrap();
        // Whoever stood at the end of the page may go before the next one is read.
        test.app.release(first[1].job).await.unwrap();
        let (second, rest) = test.app.open_holds(Some(since), 2, &token).await.unwrap();
        let (third, none) = test.app.open_holds(Some(since), 2, &rest).await.unwrap();
        let seen: Vec<Uuid> = [first, second, third].concat().iter().map(|hold| hold.job).collect();
        // Ids grow with time, which is the order of those that were made at the same moment.
        assert_eq!(seen, jobs);
        assert_eq!(none, "");
        let refused = test.app.open_holds(None, 2, &token).await;
        assert_eq!(refusal_of(refused), Refusal::PageTokenInvalid);
    }
}
