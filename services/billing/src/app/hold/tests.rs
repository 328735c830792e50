use kinora_store::on_both_databases;

use super::*;
use crate::app::testing::{TestApp, amount, field_of, frames, member, refusal_of, user};
use crate::domain::price::Prices;

/// Jobs with a second of standard video each.
fn seconds(jobs: &[Uuid]) -> Vec<JobWork> {
    let second = |&job: &Uuid| JobWork {
        job,
        work: frames(16),
        preview: None,
    };
    jobs.iter().map(second).collect()
}

fn new_jobs(number: usize) -> Vec<Uuid> {
    (0..number).map(|_| Uuid::now_v7()).collect()
}

on_both_databases! {
    async fn a_hold_sets_credits_aside(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        let hold = test.hold_of(job).await;
        assert_eq!((hold.credits, hold.state), (amount(1000), HoldState::Open));
        assert_eq!((hold.user, hold.price_book), (ada.user, 1));
        assert_eq!(hold.expire_time, test.app.now() + TimeDelta::days(1));
        assert_eq!(test.sums(&ada).await, (4000, 1000, 0));
        assert_eq!(test.balance(&ada).await.spent, amount(1000));
        test.check().await;
    }

    async fn the_same_job_has_one_hold(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, ben) = (user("ada"), user("ben"));
        let (anna, bob) = (member("acme", "ada", true), member("acme", "bob", false));
        for payer in [&ada.payer, &ben.payer, &anna.payer] {
            test.give(payer, 5000, None).await;
        }
        let jobs = seconds(&new_jobs(1));
        let first = test.app.hold(&ada, jobs.clone()).await.unwrap();
        assert_eq!(test.app.hold(&ada, jobs.clone()).await.unwrap(), first);
        let conflict = Refusal::HoldConflict { job: jobs[0].job };
        for other in [&ben, &anna, &bob] {
            let refused = test.app.hold(other, jobs.clone()).await;
            assert_eq!(refusal_of(refused), conflict);
        }
        let mut longer = jobs.clone();
        longer[0].work.frames = 17;
        assert_eq!(refusal_of(test.app.hold(&ada, longer).await), conflict);
        test.app.capture(jobs[0].job, 1, None).await.unwrap();
        let again = test.app.hold(&ada, jobs).await.unwrap();
        assert_eq!(again[0].state, HoldState::Captured);
        assert_eq!(test.sums(&ada).await, (4000, 0, 0));
        assert_eq!(test.sums(&ben).await, (5000, 0, 0));
        test.check().await;
    }

    async fn a_hundred_equal_holds_at_once_are_one(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let jobs = seconds(&new_jobs(2));
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (app, jobs) = (test.app.clone(), jobs.clone());
            calls.spawn(async move { app.hold(&ada, jobs).await.unwrap() });
        }
        let answers = calls.join_all().await;
        assert!(answers.iter().all(|holds| *holds == answers[0]));
        assert_eq!(test.sums(&ada).await, (3000, 2000, 0));
        assert_eq!(test.transfers().await.len(), 3);
        test.check().await;
    }

    async fn holds_that_race_never_overspend(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        for _ in 0..3 {
            test.give(&ada.payer, 3500, None).await;
        }
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let app = test.app.clone();
            let jobs = seconds(&new_jobs(1));
            calls.spawn(async move { app.hold(&ada, jobs).await });
        }
        let answers = calls.join_all().await;
        let held = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(held, 10);
        for answer in answers.into_iter().filter(Result::is_err) {
            let refusal = refusal_of(answer);
            assert!(matches!(refusal, Refusal::InsufficientCredits(_)), "{refusal:?}");
        }
        assert_eq!(test.sums(&ada).await, (500, 10_000, 0));
        test.check().await;
    }

    async fn crossing_requests_wait_for_each_other_in_no_circle(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, ben) = (user("ada"), user("ben"));
        test.give(&ada.payer, 50_000, None).await;
        test.give(&ben.payer, 50_000, None).await;
        let jobs = new_jobs(6);
        let back: Vec<Uuid> = jobs.iter().rev().copied().collect();
        let mut calls = tokio::task::JoinSet::new();
        for round in 0..20 {
            let app = test.app.clone();
            let jobs = seconds(if round % 2 == 0 { &jobs } else { &back });
            let caller = if round % 4 < 2 { ada } else { ben };
            calls.spawn(async move { app.hold(&caller, jobs).await.map(|_| caller) });
        }
        let answers = calls.join_all().await;
        let winner = answers.iter().find_map(|answer| answer.as_ref().ok()).copied();
        let winner = winner.expect("somebody was first");
        for answer in answers {
            match answer {
                Ok(caller) => assert_eq!(caller, winner),
                refused => assert!(matches!(refusal_of(refused), Refusal::HoldConflict { .. })),
            }
        }
        assert_eq!(test.sums(&winner).await, (44_000, 6000, 0));
        test.check().await;
    }

    async fn jobs_of_a_request_are_held_all_or_none(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 2999, None).await;
        let jobs = seconds(&new_jobs(3));
        let refused = refusal_of(test.app.hold(&ada, jobs.clone()).await);
        let Refusal::InsufficientCredits(shortage) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((shortage.needed, shortage.available), (amount(3000), amount(2999)));
        assert_eq!((shortage.affordable_frames, shortage.available_milliseconds), (15, 2999));
        assert_eq!(shortage.reset_time, test.balance(&ada).await.window.end);
        assert_eq!(test.sums(&ada).await, (2999, 0, 0));
        test.give(&ada.payer, 1, None).await;
        let holds = test.app.hold(&ada, jobs.clone()).await.unwrap();
        let order: Vec<Uuid> = holds.iter().map(|hold| hold.job).collect();
        assert_eq!(order, jobs.iter().map(|job| job.job).collect::<Vec<_>>());
        // What is held already is not asked for again.
        let mut more = jobs;
        more.extend(seconds(&new_jobs(1)));
        let refused = refusal_of(test.app.hold(&ada, more.clone()).await);
        assert!(matches!(refused, Refusal::InsufficientCredits(shortage) if shortage.needed == amount(1000)));
        test.give(&ada.payer, 1000, None).await;
        assert_eq!(test.app.hold(&ada, more).await.unwrap()[..3], holds);
        test.check().await;
    }

    async fn a_hundred_and_twenty_eight_jobs_are_held_at_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        for _ in 0..70 {
            test.give(&ada.payer, 1900, None).await;
        }
        let jobs = seconds(&new_jobs(128));
        assert_eq!(test.app.hold(&ada, jobs).await.unwrap().len(), 128);
        assert_eq!(test.sums(&ada).await, (5000, 128_000, 0));
        test.check().await;
    }

    async fn grants_that_end_soonest_are_spent_first(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let never = test.give(&ada.payer, 1000, None).await;
        let late = test.give(&ada.payer, 600, Some(9)).await;
        let soon = test.give(&ada.payer, 600, Some(2)).await;
        let job = test.hold(&ada, frames(32)).await.unwrap();
        let parts = holds::parts(test.app.store.reader(), job).await.unwrap();
        let parts: Vec<(Uuid, i64)> = parts.iter().map(|part| (part.grant, part.credits.get())).collect();
        assert_eq!(parts, [(soon, 600), (late, 600), (never, 800)]);
        // What has ended is not spent, also before anybody has moved it away.
        let grant = test.give(&ada.payer, 600, Some(1)).await;
        test.clock.advance(TimeDelta::days(1));
        let refused = refusal_of(test.hold(&ada, frames(4)).await);
        assert!(matches!(refused, Refusal::InsufficientCredits(shortage) if shortage.available == amount(200)));
        assert_eq!(test.account(&format!("grant:{grant}")).await, 600);
        test.check().await;
    }

    async fn who_is_frozen_or_has_no_access_holds_nothing(url: DatabaseUrl) {
        let test = TestApp::with(&url, |options| options.require_access = true).await;
        let (ada, ben) = (user("ada"), user("ben"));
        test.give(&ada.payer, 5000, None).await;
        test.give(&ben.payer, 5000, None).await;
        assert_eq!(refusal_of(test.hold(&ada, frames(16)).await), Refusal::AccessRequired);
        assert!(!test.balance(&ada).await.has_access);
        let now = test.app.now();
        let tx = test.app.store.begin().await.unwrap();
        let end = Some(now + TimeDelta::days(1));
        crate::store::entitlements::give(&tx, ada.user, "voucher:1", end, now).await.unwrap();
        tx.commit().await.unwrap();
        test.hold(&ada, frames(16)).await.unwrap();
        // It is the person's, whoever pays.
        let anna = member("acme", "ada", false);
        test.give(&anna.payer, 5000, None).await;
        test.hold(&anna, frames(16)).await.unwrap();
        let bob = member("acme", "ben", true);
        assert_eq!(refusal_of(test.hold(&bob, frames(16)).await), Refusal::AccessRequired);
        test.clock.advance(TimeDelta::days(1));
        assert_eq!(refusal_of(test.hold(&ada, frames(16)).await), Refusal::AccessRequired);
        // A plan lets in, too.
        test.app.set_plan(ben.user, &ben.payer, "creator").await.unwrap();
        test.hold(&ben, frames(16)).await.unwrap();
        test.app.set_frozen(ada.user, &ben.payer, true, "a dispute").await.unwrap();
        assert_eq!(refusal_of(test.hold(&ben, frames(16)).await), Refusal::PayerFrozen);
        assert!(test.balance(&ben).await.is_frozen);
        test.app.set_frozen(ada.user, &ben.payer, false, "").await.unwrap();
        test.hold(&ben, frames(16)).await.unwrap();
        test.check().await;
    }

    async fn access_that_was_taken_away_is_gone(url: DatabaseUrl) {
        let test = TestApp::with(&url, |options| options.require_access = true).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let now = test.app.now();
        let tx = test.app.store.begin().await.unwrap();
        for source in ["voucher:1", "voucher:1", "voucher:2"] {
            crate::store::entitlements::give(&tx, ada.user, source, None, now).await.unwrap();
        }
        assert_eq!(crate::store::entitlements::end(&tx, "voucher:1", now).await.unwrap(), 2);
        assert_eq!(crate::store::entitlements::end(&tx, "voucher:1", now).await.unwrap(), 0);
        tx.commit().await.unwrap();
        test.hold(&ada, frames(16)).await.unwrap();
        let tx = test.app.store.begin().await.unwrap();
        assert_eq!(crate::store::entitlements::end(&tx, "voucher:2", now).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert_eq!(refusal_of(test.hold(&ada, frames(16)).await), Refusal::AccessRequired);
    }

    async fn a_hold_keeps_the_prices_that_it_was_made_with(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let before = test.hold(&ada, frames(16)).await.unwrap();
        let mut dearer = Prices::built_in();
        dearer.models[0].price = 2000;
        test.app.publish_prices(ada.user, 2, dearer).await.unwrap();
        let after = test.hold(&ada, frames(16)).await.unwrap();
        let (before, after) = (test.hold_of(before).await, test.hold_of(after).await);
        assert_eq!((before.price_book, before.credits), (1, amount(1000)));
        assert_eq!((after.price_book, after.credits), (2, amount(2000)));
        let captured = test.app.capture(before.job, 1, None).await.unwrap();
        assert_eq!(captured.captured, amount(1000));
        test.check().await;
    }

    async fn work_that_is_none_touches_nothing(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let mut jobs = seconds(&new_jobs(2));
        jobs[1].work.frames = 0;
        assert_eq!(field_of(test.app.hold(&ada, jobs.clone()).await), "work.frames");
        jobs[1].job = jobs[0].job;
        assert_eq!(field_of(test.app.hold(&ada, jobs.clone()).await), "jobs");
        assert_eq!(field_of(test.app.hold(&ada, Vec::new()).await), "jobs");
        let mut huge = frames(1_000_000);
        (huge.width, huge.height, huge.fps) = (65_536, 65_536, 1);
        let refused = refusal_of(test.hold(&ada, huge).await);
        assert!(matches!(refused, Refusal::InsufficientCredits(_)), "{refused:?}");
        assert_eq!(test.sums(&ada).await, (5000, 0, 0));
        assert_eq!(test.transfers().await.len(), 1);
        test.check().await;
    }

    async fn a_preview_is_held_with_its_clip_and_can_be_all_that_is_paid(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let job = Uuid::now_v7();
        let with = |preview| vec![JobWork { job, work: frames(16), preview }];
        let held = test.app.hold(&ada, with(Some(frames(4)))).await.unwrap();
        assert_eq!((held[0].credits, held[0].preview_credits), (amount(1250), amount(250)));
        assert_eq!(test.app.hold(&ada, with(Some(frames(4)))).await.unwrap(), held);
        let other = refusal_of(test.app.hold(&ada, with(None)).await);
        assert_eq!(other, Refusal::HoldConflict { job });
        test.app.capture(job, 1, Some(amount(250))).await.unwrap();
        assert_eq!(test.balance(&ada).await.spent, amount(250));
        test.check().await;
    }

    async fn an_estimate_says_what_a_hold_would_and_changes_nothing(url: DatabaseUrl) {
        let test = TestApp::with(&url, |options| options.default_plan = "free".to_owned()).await;
        let ada = user("ada");
        let works = [frames(16), frames(32)];
        let estimate = test.app.estimate(&ada, &works).await.unwrap();
        assert_eq!(estimate.credits, [amount(1000), amount(2000)]);
        assert_eq!((estimate.total, estimate.available), (amount(3000), amount(600_000)));
        assert_eq!(estimate.refusal, None);
        assert_eq!(test.transfers().await.len(), 0, "nothing was given yet");
        let long = [frames(16 * 601)];
        let refusal = test.app.estimate(&ada, &long).await.unwrap().refusal;
        let of_hold = refusal_of(test.hold(&ada, long[0].clone()).await);
        assert_eq!(refusal, Some(of_hold.of_jobs(&[])), "an estimate is about no job");
        test.hold(&ada, frames(16 * 599)).await.unwrap();
        let estimate = test.app.estimate(&ada, &works).await.unwrap();
        assert_eq!(estimate.available, amount(1000));
        assert_eq!(estimate.refusal.map(|refusal| refusal.reason()), Some("INSUFFICIENT_CREDITS"));
        assert_eq!(field_of(test.app.estimate(&ada, &[]).await), "works");
        test.check().await;
    }
}
