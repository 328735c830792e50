use kinora_store::on_both_databases;

use super::*;
use crate::app::Adjustment;
use crate::app::refund::RefundOrder;
use crate::app::testing::{TestApp, amount, field_of, frames, id_of, refusal_of, time, user};
use crate::domain::payment::DisputeStanding;
use crate::store::audit::Filter;
use crate::store::disputes;
use crate::store::entity::payments::dispute;

/// What an operator did to what, and the result, oldest first.
async fn audited(test: &TestApp, operator: Uuid) -> Vec<(String, String)> {
    let filter = Filter {
        actor: operator.to_string(),
        ..Filter::default()
    };
    let (lines, _) = test.app.audit_lines(&filter, 0, "").await.unwrap();
    let lines = lines.into_iter().rev();
    lines
        .map(|line| (format!("{} {}", line.action, line.target), line.result))
        .collect()
}

fn line(what: &str, target: impl std::fmt::Display, result: &str) -> (String, String) {
    (format!("{what} {target}"), result.to_owned())
}

on_both_databases! {
    async fn prices_are_published_one_after_the_other(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let op = id_of("op");
        assert_eq!(test.app.price_book().await.unwrap().version, 1);
        for version in [0, 1, 3, u32::MAX] {
            let refused = test.app.publish_prices(op, version, Prices::built_in()).await;
            assert_eq!(refusal_of(refused), Refusal::PriceBookChanged { present: 1 });
        }
        let mut wrong = Prices::built_in();
        wrong.audio = 0;
        let refused = refusal_of(test.app.publish_prices(op, 2, wrong).await);
        assert!(matches!(refused, Refusal::PriceBookInvalid { .. }));
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let app = test.app.clone();
            calls.spawn(async move { app.publish_prices(op, 2, Prices::built_in()).await });
        }
        let answers = calls.join_all().await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        for answer in answers.into_iter().filter(Result::is_err) {
            assert!(matches!(refusal_of(answer), Refusal::PriceBookChanged { .. }));
        }
        let mut dearer = Prices::built_in();
        dearer.models[0].price = 2000;
        let made = test.app.publish_prices(op, 3, dearer).await.unwrap();
        assert_eq!(test.app.price_book().await.unwrap(), made);
        // The same credits are half as much video by now.
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        assert_eq!(test.balance(&ada).await.available_milliseconds, 2500);
        // A restart publishes nothing.
        test.app.prepare().await.unwrap();
        assert_eq!(test.app.price_book().await.unwrap(), made);
    }

    async fn who_unfreezes_a_payer_settles_its_disputes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (op, ada) = (id_of("op"), user("ada"));
        test.give(&ada.payer, 5_000, None).await;
        let tx = test.app.store.begin().await.unwrap();
        let dispute = dispute::Model {
            id: "dp_1".to_owned(),
            payer: ada.payer.to_string(),
            receipt: "pi_1".to_owned(),
            state: DisputeStanding::Lost.code(),
            amount: 999,
            currency: "usd".to_owned(),
            reason: "fraudulent".to_owned(),
            is_settled: false,
            create_time: test.app.now(),
        };
        disputes::put(&tx, dispute).await.unwrap();
        payers::set_disputed(&tx, &ada.payer, true).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(refusal_of(test.hold(&ada, frames(16)).await), Refusal::PayerFrozen);
        test.app.set_frozen(op, &ada.payer, true, "").await.unwrap();
        let reader = test.app.store.reader();
        assert!(disputes::stop(reader, &ada.payer).await.unwrap(), "freezing settles nothing");
        let balance = test.app.set_frozen(op, &ada.payer, false, "").await.unwrap();
        assert!(!balance.is_frozen);
        assert!(!disputes::stop(reader, &ada.payer).await.unwrap());
        test.hold(&ada, frames(16)).await.unwrap();
    }

    async fn what_operators_do_is_kept_with_who_did_it(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (op, ada) = (id_of("op"), user("ada"));
        test.app.set_frozen(op, &ada.payer, true, "a dispute").await.unwrap();
        test.app.set_frozen(op, &ada.payer, false, "").await.unwrap();
        test.app.set_plan(op, &ada.payer, "creator").await.unwrap();
        test.app.publish_prices(op, 2, Prices::built_in()).await.unwrap();
        test.app.set_window(op, None).await.unwrap();
        let long = "x".repeat(501);
        assert_eq!(field_of(test.app.set_frozen(op, &ada.payer, true, &long).await), "note");
        let ends = (time("2026-11-01T00:00:00Z"), time("2026-11-02T00:00:00Z"));
        assert_eq!(refusal_of(test.app.set_window(op, Some(ends)).await), Refusal::WindowInvalid);
        assert_eq!(refusal_of(test.app.set_plan(op, &ada.payer, "gone").await), Refusal::PlanUnknown);
        let expected = [
            line("payer.freeze", ada.payer, "done: a dispute"),
            line("payer.unfreeze", ada.payer, "done"),
            line("payer.plan", ada.payer, "done: creator"),
            line("prices.publish", "prices", "done: version 2"),
            line("window.set", "window", "done: by the month"),
            line("payer.freeze", ada.payer, "refused: FIELD_INVALID"),
            line("window.set", "window", "refused: WINDOW_INVALID"),
            line("payer.plan", ada.payer, "refused: PLAN_UNKNOWN"),
        ];
        assert_eq!(audited(&test, op).await, expected);
        test.hold(&ada, frames(16)).await.unwrap();
    }

    async fn what_operators_give_and_take_is_noted_once_a_request(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (op, ada) = (id_of("op"), user("ada"));
        let adjustment = |request_id: &str, credits| Adjustment {
            request_id: request_id.to_owned(),
            payer: ada.payer,
            credits,
            note: "a contest".to_owned(),
            expire_time: None,
        };
        for _ in 0..2 {
            test.app.adjust(op, &adjustment("a", 5000)).await.unwrap();
        }
        test.app.adjust(op, &adjustment("b", -500)).await.unwrap();
        let reused = test.app.adjust(op, &adjustment("a", 6000)).await;
        assert_eq!(refusal_of(reused), Refusal::RequestIdReused);
        let job = test.captured(&ada, frames(16), None).await;
        let order = |request_id: &str, credits| RefundOrder {
            request_id: request_id.to_owned(),
            job,
            credits: Some(amount(credits)),
            note: "it flickers".to_owned(),
        };
        for _ in 0..2 {
            test.app.refund(op, &order("r", 300)).await.unwrap();
        }
        refusal_of(test.app.refund(op, &order("s", 701)).await);
        let refunded = format!("done: 300 credits to {}, request r: it flickers", ada.payer);
        let expected = [
            line("payer.adjust", ada.payer, "done: 5000 credits, request a: a contest"),
            line("payer.adjust", ada.payer, "done: -500 credits, request b: a contest"),
            line("payer.adjust", ada.payer, "refused: REQUEST_ID_REUSED"),
            line("job.refund", job, &refunded),
            line("job.refund", job, "refused: REFUND_EXCEEDS_CAPTURE"),
        ];
        assert_eq!(audited(&test, op).await, expected);
        test.check().await;
    }

    async fn plans_are_offered_unless_they_are_hidden(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let names: Vec<&str> = test.app.offered_plans().map(|plan| plan.name.as_str()).collect();
        assert_eq!(names, ["none", "free", "creator"]);
    }
}
