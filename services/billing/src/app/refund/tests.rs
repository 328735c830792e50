use kinora_store::on_both_databases;

use super::*;
use crate::app::Adjustment;
use crate::app::testing::{TestApp, amount, field_of, frames, id_of, refusal_of, user};

fn order(id: &str, job: Uuid, credits: Option<i64>) -> RefundOrder {
    RefundOrder {
        request_id: id.to_owned(),
        job,
        credits: credits.map(amount),
        note: "it flickers".to_owned(),
    }
}

on_both_databases! {
    async fn fifty_refunds_at_once_never_exceed_the_capture(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 1000, None).await;
        let job = test.captured(&ada, frames(16), None).await;
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..50 {
            let app = test.app.clone();
            let order = order(&format!("r{number}"), job, Some(60));
            calls.spawn(async move { app.refund(id_of("op"), &order).await });
        }
        let answers = calls.join_all().await;
        let done: Vec<Refunded> = answers.iter().filter_map(|it| it.as_ref().ok().copied()).collect();
        assert_eq!(done.len(), 16);
        assert!(done.iter().all(|it| it.credits == amount(60)));
        assert_eq!(done.iter().map(|it| it.in_all).max(), Some(amount(960)));
        for answer in answers.into_iter().filter(Result::is_err) {
            let left = Refusal::RefundExceedsCapture { left: amount(40) };
            assert_eq!(refusal_of(answer), left);
        }
        assert_eq!(test.sums(&ada).await, (960, 0, 0));
        assert_eq!(test.hold_of(job).await.refunded, amount(960));
        assert_eq!(test.balance(&ada).await.spent, amount(40));
        test.check().await;
    }

    async fn a_refund_is_made_once_a_request_id(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 2000, None).await;
        let job = test.captured(&ada, frames(16), None).await;
        let other = test.captured(&ada, frames(16), None).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (app, order) = (test.app.clone(), order("same", job, Some(300)));
            calls.spawn(async move { app.refund(id_of("op"), &order).await.unwrap() });
        }
        let expected = Refunded { credits: amount(300), in_all: amount(300) };
        assert!(calls.join_all().await.iter().all(|it| *it == expected));
        for changed in [order("same", job, Some(301)), order("same", job, None), order("same", other, Some(300))] {
            let refused = test.app.refund(id_of("op"), &changed).await;
            assert_eq!(refusal_of(refused), Refusal::RequestIdReused);
        }
        let rest = test.app.refund(id_of("op"), &order("rest", job, None)).await.unwrap();
        assert_eq!(rest, Refunded { credits: amount(700), in_all: amount(1000) });
        // It answers likewise although nothing is left by now.
        let again = test.app.refund(id_of("op"), &order("rest", job, None)).await.unwrap();
        assert_eq!(again, rest);
        let first = test.app.refund(id_of("op"), &order("same", job, Some(300))).await.unwrap();
        assert_eq!(first, Refunded { credits: amount(300), in_all: amount(1000) });
        assert_eq!(test.sums(&ada).await, (1000, 0, 0));
        test.check().await;
    }

    async fn only_what_was_paid_comes_back(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let (open, released) = (test.hold(&ada, frames(16)).await.unwrap(), test.hold(&ada, frames(16)).await.unwrap());
        test.app.release(released).await.unwrap();
        let captured = test.captured(&ada, frames(16), Some(700)).await;
        let refund = async |order: RefundOrder| test.app.refund(id_of("op"), &order).await;
        for job in [open, released] {
            assert_eq!(refusal_of(refund(order("a", job, None)).await), Refusal::HoldNotCaptured);
        }
        assert_eq!(refusal_of(refund(order("a", Uuid::now_v7(), None)).await), Refusal::HoldNotFound);
        let left = Refusal::RefundExceedsCapture { left: amount(700) };
        for credits in [0, 701, i64::MAX] {
            assert_eq!(refusal_of(refund(order("a", captured, Some(credits))).await), left);
        }
        for id in ["", "a b", &"x".repeat(129)] {
            assert_eq!(field_of(refund(order(id, captured, None)).await), "request_id");
        }
        let silent = RefundOrder { note: String::new(), ..order("a", captured, None) };
        assert_eq!(field_of(refund(silent).await), "note");
        refund(order("a", captured, None)).await.unwrap();
        let nothing = Refusal::RefundExceedsCapture { left: amount(0) };
        assert_eq!(refusal_of(refund(order("b", captured, None)).await), nothing);
        assert_eq!(test.sums(&ada).await, (4000, 1000, 0));
        test.check().await;
    }

    async fn a_refund_ends_as_late_as_what_paid(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let now = test.app.now();
        let end_of = async |job: Uuid| {
            let id = job.to_string();
            let before = test.balance(&ada).await.grants;
            test.app.refund(id_of("op"), &order(&id, job, None)).await.unwrap();
            let after = test.balance(&ada).await.grants;
            let new = after.into_iter().find(|grant| before.iter().all(|it| it.id != grant.id));
            let new = new.expect("a grant");
            assert_eq!((new.origin, new.note.as_str()), (GrantOrigin::Refund, "it flickers"));
            new.expire_time
        };
        test.give(&ada.payer, 600, Some(2)).await;
        test.give(&ada.payer, 400, Some(9)).await;
        let soon = test.captured(&ada, frames(16), None).await;
        test.give(&ada.payer, 1000, Some(90)).await;
        let late = test.captured(&ada, frames(16), None).await;
        test.give(&ada.payer, 500, Some(2)).await;
        test.give(&ada.payer, 500, None).await;
        let never = test.captured(&ada, frames(16), None).await;
        assert_eq!(end_of(soon).await, Some(now + TimeDelta::days(30)));
        assert_eq!(end_of(late).await, Some(now + TimeDelta::days(90)));
        assert_eq!(end_of(never).await, None);
        test.check().await;
    }

    async fn a_refund_pays_a_debt_first(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 1000, None).await;
        let job = test.captured(&ada, frames(16), None).await;
        let taken = Adjustment {
            request_id: "dispute".to_owned(),
            payer: ada.payer,
            credits: -600,
            note: "a dispute".to_owned(),
            expire_time: None,
        };
        test.app.adjust(id_of("op"), &taken).await.unwrap();
        let refunded = test.app.refund(id_of("op"), &order("r", job, Some(500))).await.unwrap();
        assert_eq!(refunded.credits, amount(500));
        assert_eq!(test.sums(&ada).await, (0, 0, 100));
        test.app.refund(id_of("op"), &order("s", job, None)).await.unwrap();
        assert_eq!(test.sums(&ada).await, (400, 0, 0));
        test.check().await;
    }
}
