//! Packs: paid once, given once.

use std::time::Duration;

use chrono::TimeDelta;
use kinora_store::on_both_databases;
use kinora_testkit::stripe::PayOutcome;

use super::shop::{
    DAY, HOUR, LARGE_PLAN, PACK, PLAN, PLANS, SHORT_PACK, Shop, payment_of, session_of,
};
use crate::app::Adjustment;
use crate::app::testing::{TestApp, id_of, member, refusal_of, user};
use crate::domain::payment::CheckoutState;
use crate::domain::refusal::Refusal;

on_both_databases! {
    async fn a_pack_that_is_paid_gives_its_credits_once(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let checkout = shop.checkout(&ada, "a", PACK).await.unwrap();
        assert_eq!(checkout.state, CheckoutState::Open.code());
        assert!(checkout.url.as_ref().unwrap().starts_with(&shop.stripe.base_url()));
        assert_eq!((checkout.credits, checkout.price), (1_000_000, 999));
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 0), "nothing is given before it is paid");

        shop.pay(&checkout, PayOutcome::Succeeds).await;
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
        let row = shop.checkout_row(checkout.id).await;
        assert_eq!(row.state, CheckoutState::Paid.code());
        let receipts = shop.receipts(&ada.payer).await;
        let [receipt] = receipts.as_slice() else { panic!("{receipts:?}") };
        assert_eq!((receipt.item.as_str(), receipt.credits), (PACK, 1_000_000));
        assert_eq!((receipt.paid, receipt.currency.as_str()), (999, "usd"));
        assert_eq!(receipt.checkout_id, Some(checkout.id));
        assert_eq!(shop.stripe.object(payment_of(receipt))["object"], "payment_intent");

        shop.hear_all_again().await;
        shop.hear_all_again().await;
        assert_eq!(shop.receipts(&ada.payer).await, receipts);
        assert_eq!(shop.transfers().await.len(), 1);
        shop.prove().await;
    }

    async fn a_request_id_has_one_page(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let (ada, ben) = (user("ada"), user("ben"));
        let checkout = shop.checkout(&ada, "a", PACK).await.unwrap();
        assert_eq!(shop.checkout(&ada, "a", PACK).await.unwrap(), checkout);
        let other = shop.checkout(&ada, "a", SHORT_PACK).await;
        assert_eq!(refusal_of(other), Refusal::RequestIdReused);
        let of_ben = shop.checkout(&ben, "a", PACK).await.unwrap();
        assert_ne!(of_ben.id, checkout.id);
        assert_eq!(shop.stripe.objects("checkout.session").len(), 2);
        shop.pay(&checkout, PayOutcome::Succeeds).await;
        let over = shop.checkout(&ada, "a", PACK).await;
        assert_eq!(refusal_of(over), Refusal::CheckoutOver);
        assert!(shop.checkout(&ada, "b", PACK).await.is_ok());
    }

    async fn equal_requests_at_once_open_one_page(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let app = shop.app.clone();
            let item = PACK.parse().unwrap();
            calls.spawn(async move { app.create_checkout(&ada, "a", &item).await.unwrap().id });
        }
        let ids = calls.join_all().await;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(shop.stripe.objects("checkout.session").len(), 1);
        assert_eq!(shop.stripe.objects("customer").len(), 1);
        let checkout = shop.checkout_row(ids[0]).await;
        shop.pay(&checkout, PayOutcome::Succeeds).await;
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
        shop.prove().await;
    }

    async fn a_declined_card_leaves_the_page_open(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let checkout = shop.checkout(&ada, "a", PACK).await.unwrap();
        shop.pay(&checkout, PayOutcome::Declined).await;
        let row = shop.checkout_row(checkout.id).await;
        assert_eq!(row.state, CheckoutState::Open.code());
        assert_eq!(shop.receipts(&ada.payer).await, []);
        assert_eq!(shop.checkout(&ada, "a", PACK).await.unwrap().url, checkout.url);
        shop.pay(&checkout, PayOutcome::Succeeds).await;
        assert_eq!(shop.receipts(&ada.payer).await.len(), 1);
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
        shop.prove().await;
    }

    async fn what_takes_days_is_given_when_the_money_is_there(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let (ada, ben) = (user("ada"), user("ben"));
        for (caller, succeeds) in [(ada, true), (ben, false)] {
            let checkout = shop.checkout(&caller, "a", PACK).await.unwrap();
            shop.pay(&checkout, PayOutcome::TakesDays).await;
            let row = shop.checkout_row(checkout.id).await;
            assert_eq!(row.state, CheckoutState::Processing.code());
            assert_eq!(shop.sums(&caller).await, (0, 0, 0));
            shop.advance(DAY * 3).await;
            assert_eq!(shop.receipts(&caller.payer).await, []);
            shop.stripe.settle(session_of(&checkout), succeeds);
            shop.hear().await;
            let row = shop.checkout_row(checkout.id).await;
            let expected = if succeeds { CheckoutState::Paid } else { CheckoutState::Expired };
            assert_eq!(row.state, expected.code());
        }
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
        assert_eq!(shop.sums(&ben).await, (0, 0, 0));
        assert_eq!(shop.receipts(&ben.payer).await, []);
        shop.prove().await;
    }

    async fn a_page_that_nobody_pays_closes(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let checkout = shop.checkout(&ada, "a", PACK).await.unwrap();
        shop.advance(HOUR * 25).await;
        let row = shop.checkout_row(checkout.id).await;
        assert_eq!(row.state, CheckoutState::Expired.code());
        let over = shop.checkout(&ada, "a", PACK).await;
        assert_eq!(refusal_of(over), Refusal::CheckoutOver);
        shop.buy(&ada, PACK).await;
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
    }

    async fn credits_of_a_pack_end_when_it_says_so(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, SHORT_PACK).await;
        shop.advance(DAY * 30 - Duration::from_secs(1)).await;
        assert_eq!(shop.sums(&ada).await, (300_000, 0, 0));
        shop.advance(Duration::from_secs(1)).await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        shop.app.expire_grants().await.unwrap();
        shop.prove().await;
    }

    async fn days_of_a_pack_count_from_its_payment_unless_that_was_heard_of_late(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        for (name, late) in [("ada", HOUR), ("ben", DAY * 3)] {
            let caller = user(name);
            let checkout = shop.checkout(&caller, "a", SHORT_PACK).await.unwrap();
            let paid_at = shop.app.now();
            shop.stripe.pay(session_of(&checkout), PayOutcome::Succeeds);
            shop.pass(late).await;
            shop.handle().await;
            let balance = shop.balance(&caller).await;
            let begin = if late > DAY { shop.app.now() } else { paid_at };
            assert_eq!(balance.grants[0].expire_time, Some(begin + TimeDelta::days(30)));
        }
    }

    async fn what_was_offered_is_what_is_given(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let checkout = shop.checkout(&ada, "a", PACK).await.unwrap();
        let dearer = PLANS.replace("credits = 1_000_000\nprice_cents = 999", "credits = 5\nprice_cents = 1");
        assert_ne!(dearer, PLANS);
        let later = Shop::beside(&shop.stripe, &url, &dearer).await;
        later.pay(&checkout, PayOutcome::Succeeds).await;
        assert_eq!(later.sums(&ada).await, (1_000_000, 0, 0));
        later.buy(&ada, PACK).await;
        assert_eq!(later.sums(&ada).await, (1_000_005, 0, 0));
        later.prove().await;
    }

    async fn organisations_buy_for_themselves(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let (boss, worker) = (member("acme", "ada", true), member("acme", "ben", false));
        let refused = shop.checkout(&worker, "a", PACK).await;
        assert_eq!(refusal_of(refused), Refusal::RoleInsufficient);
        shop.buy(&boss, PACK).await;
        assert_eq!(shop.sums(&worker).await, (1_000_000, 0, 0));
        assert_eq!(shop.sums(&user("ada")).await, (0, 0, 0));
        shop.prove().await;
    }

    async fn what_is_bought_pays_debts_first(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let taken = Adjustment {
            request_id: "a".to_owned(),
            payer: ada.payer,
            credits: -400_000,
            note: "a test".to_owned(),
            expire_time: None,
        };
        shop.app.adjust(id_of("op"), &taken).await.unwrap();
        shop.buy(&ada, PACK).await;
        assert_eq!(shop.sums(&ada).await, (600_000, 0, 0));
        shop.prove().await;
    }

    async fn what_is_not_sold_is_not_opened(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        for (item, why) in [
            ("pack:gone", Refusal::PackUnknown),
            ("plan:gone", Refusal::PlanUnknown),
            ("plan:none", Refusal::PlanFree),
        ] {
            let refused = shop.checkout(&ada, "a", item).await;
            assert_eq!(refusal_of(refused), why, "{item}");
        }
        shop.app.set_frozen(id_of("op"), &ada.payer, true, "").await.unwrap();
        for item in [PACK, PLAN, LARGE_PLAN] {
            let refused = shop.checkout(&ada, "b", item).await;
            assert_eq!(refusal_of(refused), Refusal::PayerFrozen, "{item}");
        }
        assert_eq!(shop.stripe.requests(), []);
    }

    async fn a_platform_without_a_key_takes_no_money(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let item = PACK.parse().unwrap();
        let refused = test.app.create_checkout(&user("ada"), "a", &item).await;
        assert_eq!(refusal_of(refused), Refusal::PaymentsDisabled);
        let refused = test.app.receive_webhook(b"{}", "t=1,v1=00").await;
        assert_eq!(refusal_of(refused), Refusal::PaymentsDisabled);
    }
}
