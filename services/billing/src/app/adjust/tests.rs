use chrono::TimeDelta;
use kinora_store::on_both_databases;

use super::*;
use crate::app::testing::{TestApp, amount, field_of, frames, id_of, refusal_of, user};
use crate::domain::caller::Caller;

fn adjustment(id: &str, caller: &Caller, credits: i64) -> Adjustment {
    Adjustment {
        request_id: id.to_owned(),
        payer: caller.payer,
        credits,
        note: "sorry".to_owned(),
        expire_time: None,
    }
}

async fn adjust(test: &TestApp, wanted: Adjustment) -> Result<Balance, Error> {
    test.app.adjust(id_of("op"), &wanted).await
}

on_both_databases! {
    async fn a_hundred_equal_adjustments_at_once_are_one(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, ben) = (user("ada"), user("ben"));
        for credits in [210, -210] {
            let mut calls = tokio::task::JoinSet::new();
            for _ in 0..100 {
                let app = test.app.clone();
                let wanted = adjustment(&format!("id{credits}"), &ada, credits);
                calls.spawn(async move { app.adjust(id_of("op"), &wanted).await.unwrap() });
            }
            for balance in calls.join_all().await {
                assert_eq!(balance.available, amount(credits.max(0)));
            }
        }
        assert_eq!(test.transfers().await.len(), 2);
        for changed in [
            adjustment("id210", &ada, 211),
            adjustment("id210", &ada, -210),
            adjustment("id210", &ben, 210),
            Adjustment { note: "other".to_owned(), ..adjustment("id210", &ada, 210) },
            Adjustment { expire_time: Some(test.app.now() + TimeDelta::days(1)), ..adjustment("id210", &ada, 210) },
        ] {
            assert_eq!(refusal_of(adjust(&test, changed).await), Refusal::RequestIdReused);
        }
        assert_eq!(test.sums(&ada).await, (0, 0, 0));
        test.check().await;
    }

    async fn one_id_for_two_payers_at_once_is_one(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..20 {
            let app = test.app.clone();
            let caller = user(if number % 2 == 0 { "ada" } else { "ben" });
            let wanted = adjustment("same", &caller, 100);
            calls.spawn(async move { app.adjust(id_of("op"), &wanted).await });
        }
        for answer in calls.join_all().await {
            match answer {
                Ok(balance) => assert_eq!(balance.available, amount(100)),
                refused => assert_eq!(refusal_of(refused), Refusal::RequestIdReused),
            }
        }
        let (ada, ben) = (test.sums(&user("ada")).await, test.sums(&user("ben")).await);
        assert_eq!(ada.0 + ben.0, 100);
        assert_eq!(test.transfers().await.len(), 1);
        test.check().await;
    }

    async fn what_cannot_be_taken_becomes_a_debt_that_the_next_grant_pays(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 1000, Some(9)).await;
        let job = test.hold(&ada, frames(8)).await.unwrap();
        let balance = adjust(&test, adjustment("a", &ada, -700)).await.unwrap();
        assert_eq!((balance.available, balance.held, balance.debt), (amount(0), amount(500), amount(200)));
        adjust(&test, adjustment("b", &ada, -100)).await.unwrap();
        assert_eq!(test.sums(&ada).await, (0, 500, 300));
        test.give(&ada.payer, 120, None).await;
        assert_eq!(test.sums(&ada).await, (0, 500, 180));
        let balance = adjust(&test, adjustment("c", &ada, 200)).await.unwrap();
        assert_eq!((balance.available, balance.debt), (amount(20), amount(0)));
        test.app.capture(job, 1, None).await.unwrap();
        assert_eq!(test.sums(&ada).await, (20, 0, 0));
        assert_eq!(test.account("system:adjustment").await, 800);
        assert_eq!(test.account("system:promotion").await, -1320);
        test.check().await;
    }

    async fn what_is_taken_comes_from_what_would_be_spent_first(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let never = test.give(&ada.payer, 100, None).await;
        let soon = test.give(&ada.payer, 100, Some(1)).await;
        adjust(&test, adjustment("a", &ada, -150)).await.unwrap();
        assert_eq!(test.account(&format!("grant:{soon}")).await, 0);
        assert_eq!(test.account(&format!("grant:{never}")).await, 50);
        test.check().await;
    }

    async fn amounts_that_are_none_are_refused(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        for credits in [0, i64::MIN, i64::MIN + 1, i64::MAX, 1_000_000_000_001, -1_000_000_000_001] {
            let refused = adjust(&test, adjustment("a", &ada, credits)).await;
            assert_eq!(refusal_of(refused), Refusal::CreditsInvalid, "{credits}");
        }
        for id in ["", "a b", "ä", &"x".repeat(129)] {
            assert_eq!(field_of(adjust(&test, adjustment(id, &ada, 1)).await), "request_id");
        }
        for note in ["", " ", &"x".repeat(501)] {
            let wanted = Adjustment { note: note.to_owned(), ..adjustment("a", &ada, 1) };
            assert_eq!(field_of(adjust(&test, wanted).await), "note");
        }
        let now = test.app.now();
        for (credits, end) in [(1, now), (-1, now + TimeDelta::days(1))] {
            let wanted = Adjustment { expire_time: Some(end), ..adjustment("a", &ada, credits) };
            assert_eq!(field_of(adjust(&test, wanted).await), "expire_time");
        }
        assert_eq!(test.transfers().await.len(), 0);
        assert_eq!(refusal_of(test.app.balance_of(&ada.payer).await), Refusal::PayerNotFound);
    }

    async fn the_largest_amounts_add_up(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let largest = Credits::LARGEST_AMOUNT.get();
        for id in ["a", "b", "c"] {
            adjust(&test, adjustment(id, &ada, largest)).await.unwrap();
        }
        assert_eq!(test.sums(&ada).await, (3 * largest, 0, 0));
        for id in ["d", "e", "f", "g"] {
            adjust(&test, adjustment(id, &ada, -largest)).await.unwrap();
        }
        assert_eq!(test.sums(&ada).await, (0, 0, largest));
        test.check().await;
    }

    async fn a_repetition_after_the_end_is_answered_likewise(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let end = Some(test.app.now() + TimeDelta::hours(1));
        let wanted = Adjustment { expire_time: end, ..adjustment("a", &ada, 100) };
        let first = adjust(&test, wanted.clone()).await.unwrap();
        assert_eq!((first.available, first.grants[0].expire_time), (amount(100), end));
        test.clock.advance(TimeDelta::hours(2));
        let again = adjust(&test, wanted).await.unwrap();
        assert_eq!(again.available, amount(0));
        assert_eq!(test.transfers().await.len(), 1);
    }
}
