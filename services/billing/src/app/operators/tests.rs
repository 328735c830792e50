use kinora_store::on_both_databases;
use sea_orm::{EntityTrait, QueryOrder};

use super::*;
use crate::app::testing::{TestApp, field_of, frames, id_of, refusal_of, user};
use crate::store::entity::rules::operator_action;

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
        let query = operator_action::Entity::find().order_by_asc(operator_action::Column::Id);
        let actions = query.all(test.app.store.reader()).await.unwrap();
        let shown: Vec<_> = actions.iter().map(|it| (it.action.as_str(), it.detail.as_str(), it.payer.is_some())).collect();
        let expected = [
            ("payer.freeze", "a dispute", true),
            ("payer.unfreeze", "", true),
            ("payer.plan", "creator", true),
            ("prices.publish", "version 2", false),
            ("window.set", "by the month", false),
        ];
        assert_eq!(shown, expected);
        assert!(actions.iter().all(|it| it.user_id == op));
        test.hold(&ada, frames(16)).await.unwrap();
    }

    async fn plans_are_offered_unless_they_are_hidden(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let names: Vec<&str> = test.app.offered_plans().map(|plan| plan.name.as_str()).collect();
        assert_eq!(names, ["none", "free", "creator"]);
    }
}
