//! Money that goes back, and the credits that go with it.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures::future::join_all;
use kinora_store::on_both_databases;

use super::shop::{DAY, MONTH, PACK, PLAN, PLANS, SHORT_PACK, Shop, payment_of};
use crate::app::testing::{frames, refusal_of, user};
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::entity::payments::receipt;

/// Six hundred seconds of standard video.
const HALF: i64 = 600_000;

/// Wants a little back, again when others were in the way.
async fn insist(shop: &Shop, receipt: &str, request_id: &str) -> Result<receipt::Model, Error> {
    for _ in 0..50 {
        match shop.refund(receipt, request_id, Some(100)).await {
            Err(Error::Contended) => {}
            answer => return answer,
        }
    }
    panic!("others are always in the way")
}

on_both_databases! {
    async fn what_goes_back_at_stripe_takes_its_part_of_the_credits(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        shop.stripe.refund(payment_of(&receipt), Some(333));
        shop.hear().await;
        assert_eq!(shop.sums_of(&receipt.id).await, (999, 333, 0, 333_333));
        assert_eq!(shop.sums(&ada).await, (666_667, 0, 0));
        shop.prove().await;
        shop.stripe.refund(payment_of(&receipt), None);
        shop.hear().await;
        assert_eq!(shop.sums_of(&receipt.id).await, (999, 999, 0, 1_000_000));
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        shop.hear_all_again().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        shop.prove().await;
    }

    async fn an_operator_gives_money_back_once_a_request_id(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        for _ in 0..2 {
            let row = shop.refund(&receipt.id, "a", Some(333)).await.unwrap();
            assert_eq!((row.refunded, row.taken), (333, 333_333), "the answer shows it");
            assert_eq!(shop.sums(&ada).await, (666_667, 0, 0));
        }
        assert_eq!(shop.stripe.objects("refund").len(), 1);
        let more = shop.refund(&receipt.id, "b", Some(667)).await;
        assert_eq!(refusal_of(more), Refusal::RefundExceedsPayment);
        let gone = shop.refund("pi_gone", "c", None).await;
        assert_eq!(refusal_of(gone), Refusal::ReceiptNotFound);
        let row = shop.refund(&receipt.id, "d", None).await.unwrap();
        assert_eq!((row.refunded, row.taken), (999, 1_000_000));
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        assert!(shop.refund(&receipt.id, "e", None).await.is_err());
        shop.prove().await;
    }

    async fn an_invoice_of_a_subscription_goes_back(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, PLAN).await;
        shop.advance(MONTH).await;
        let receipts = shop.receipts(&ada.payer).await;
        let newest = &receipts[1];
        let row = shop.refund(&newest.id, "a", Some(333)).await.unwrap();
        assert_eq!((row.refunded, row.taken), (333, 500_000));
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
        assert_eq!(shop.sums_of(&receipts[0].id).await, (999, 0, 0, 0));
        assert_eq!(shop.plan_of(&ada).await, "creator", "that is for the operator to end");
        shop.prove().await;
    }

    async fn credits_that_were_spent_are_owed_and_the_next_purchase_pays(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        shop.captured(&ada, frames(9_600), None).await;
        assert_eq!(shop.sums(&ada).await, (1_000_000 - HALF, 0, 0));
        shop.stripe.refund(payment_of(&receipt), None);
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, HALF));
        shop.prove().await;
        shop.buy(&ada, PACK).await;
        assert_eq!(shop.sums(&ada).await, (1_000_000 - HALF, 0, 0));
        shop.prove().await;
    }

    async fn credits_that_are_set_aside_are_owed_until_they_come_back(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        let job = shop.hold(&ada, frames(9_600)).await.unwrap();
        shop.stripe.refund(payment_of(&receipt), None);
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (0, HALF, HALF));
        shop.app.release(job).await.unwrap();
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        shop.prove().await;
    }

    async fn its_own_credits_go_before_others(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        shop.buy(&ada, SHORT_PACK).await;
        shop.stripe.refund(payment_of(&receipt), None);
        shop.hear().await;
        let grants = shop.balance(&ada).await.grants;
        let ends: Vec<_> = grants.iter().map(|grant| (grant.available.get(), grant.expire_time.is_some())).collect();
        assert_eq!(ends, [(300_000, true)]);
        shop.prove().await;
    }

    async fn a_refund_that_the_bank_would_not_take_gives_the_credits_again(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        for _ in 0..3 {
            let refund = shop.stripe.refund(payment_of(&receipt), None);
            shop.hear().await;
            assert_eq!(shop.sums(&ada).await, (0, 0, 0));
            shop.stripe.fail_refund(&refund);
            shop.hear().await;
            assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
            assert_eq!(shop.sums_of(&receipt.id).await, (999, 0, 0, 0));
            let grants = shop.balance(&ada).await.grants;
            assert!(grants.iter().all(|grant| grant.expire_time.is_none()));
            shop.prove().await;
        }
    }

    async fn what_comes_again_can_be_spent_for_thirty_days_at_least(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, SHORT_PACK).await;
        let refund = shop.stripe.refund(payment_of(&receipt), None);
        shop.hear().await;
        shop.advance(DAY * 25).await;
        shop.stripe.fail_refund(&refund);
        shop.hear().await;
        let grants = shop.balance(&ada).await.grants;
        assert_eq!(grants.len(), 1);
        assert_eq!(grants[0].available.get(), 300_000);
        assert_eq!(grants[0].expire_time, Some(shop.app.now() + TimeDelta::days(30)));
        shop.prove().await;
    }

    async fn refunds_that_race_never_give_back_more_than_was_paid(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        let other = Shop::beside(&shop.stripe, &url, PLANS).await;
        let calls = (0..50).map(|number| {
            // Some of them are the same one.
            let request_id = format!("refund-{}", number % 40);
            let (shop, id) = (if number % 3 == 0 { &other } else { &shop }, &receipt.id);
            async move { (request_id.clone(), insist(shop, id, &request_id).await) }
        });
        let mut done = BTreeSet::new();
        for (request_id, answer) in join_all(calls).await {
            match answer {
                Ok(row) => {
                    assert!(row.refunded <= 900, "{row:?}");
                    done.insert(request_id);
                }
                refused => assert_eq!(refusal_of(refused), Refusal::RefundExceedsPayment),
            }
        }
        assert_eq!(done.len(), 9);
        assert_eq!(shop.stripe.objects("refund").len(), 9);
        shop.hear().await;
        assert_eq!(shop.sums_of(&receipt.id).await, (999, 900, 0, 900_900));
        assert_eq!(shop.sums(&ada).await, (99_100, 0, 0));
        shop.prove().await;
    }
}
