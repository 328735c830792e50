//! Payments that the payer's bank wants back.

use kinora_store::on_both_databases;

use super::shop::{MONTH, PACK, PLAN, Shop, payment_of};
use crate::app::testing::{frames, id_of, refusal_of, user};
use crate::domain::caller::Caller;
use crate::domain::payment::DisputeStanding;
use crate::domain::refusal::Refusal;

/// Whether somebody may generate: a hold is made, and given back.
async fn is_stopped(shop: &Shop, caller: &Caller) -> bool {
    match shop.hold(caller, frames(1)).await {
        Ok(job) => {
            shop.app.release(job).await.expect("gives back");
            false
        }
        refused => {
            assert_eq!(refusal_of(refused), Refusal::PayerFrozen);
            true
        }
    }
}

on_both_databases! {
    async fn a_dispute_takes_the_credits_and_stops_the_payer_until_it_is_won(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        shop.give(&ada.payer, 5_000, None).await;
        let dispute = shop.stripe.open_dispute(payment_of(&receipt));
        shop.hear().await;
        assert_eq!(shop.sums_of(&receipt.id).await, (999, 0, 999, 1_000_000));
        assert_eq!(shop.sums(&ada).await, (5_000, 0, 0), "what was not disputed stays");
        assert!(is_stopped(&shop, &ada).await);
        assert!(shop.balance(&ada).await.is_frozen);
        let refused = shop.checkout(&ada, "more", PACK).await;
        assert_eq!(refusal_of(refused), Refusal::PayerFrozen);
        let rows = shop.disputes(&ada.payer).await;
        assert_eq!((rows[0].state, rows[0].amount), (DisputeStanding::AtBank.code(), 999));
        shop.prove().await;

        shop.stripe.close_dispute(&dispute, true);
        shop.hear().await;
        assert_eq!(shop.sums_of(&receipt.id).await, (999, 0, 0, 0));
        assert_eq!(shop.sums(&ada).await, (1_005_000, 0, 0));
        assert!(!is_stopped(&shop, &ada).await);
        assert_eq!(shop.disputes(&ada.payer).await[0].state, DisputeStanding::Won.code());
        shop.hear_all_again().await;
        assert_eq!(shop.sums(&ada).await, (1_005_000, 0, 0));
        shop.prove().await;
    }

    async fn a_lost_dispute_stops_the_payer_until_an_operator_says_otherwise(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        shop.captured(&ada, frames(9_600), None).await;
        let dispute = shop.stripe.open_dispute(payment_of(&receipt));
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 600_000));
        shop.stripe.close_dispute(&dispute, false);
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 600_000));
        assert!(is_stopped(&shop, &ada).await);
        shop.prove().await;

        let balance = shop.app.set_frozen(id_of("op"), &ada.payer, false, "talked").await.unwrap();
        assert!(!balance.is_frozen);
        shop.hear_all_again().await;
        assert!(!shop.balance(&ada).await.is_frozen, "what was heard before stops nobody again");
        assert!(shop.disputes(&ada.payer).await[0].is_settled);
        shop.buy(&ada, PACK).await;
        assert_eq!(shop.sums(&ada).await, (400_000, 0, 0));
        assert!(!is_stopped(&shop, &ada).await);
        shop.prove().await;
    }

    async fn a_new_dispute_stops_whom_an_operator_has_let_go(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let (first, second) = (shop.buy(&ada, PACK).await, shop.buy(&ada, PACK).await);
        shop.stripe.open_dispute(payment_of(&first));
        shop.hear().await;
        shop.app.set_frozen(id_of("op"), &ada.payer, false, "").await.unwrap();
        assert!(!is_stopped(&shop, &ada).await);
        shop.stripe.open_dispute(payment_of(&second));
        shop.hear().await;
        assert!(is_stopped(&shop, &ada).await);
        shop.prove().await;
    }

    async fn one_open_dispute_of_two_is_enough(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let (first, second) = (shop.buy(&ada, PACK).await, shop.buy(&ada, PACK).await);
        let disputes = [&first, &second].map(|receipt| shop.stripe.open_dispute(payment_of(receipt)));
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        shop.stripe.close_dispute(&disputes[0], true);
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
        assert!(is_stopped(&shop, &ada).await);
        shop.stripe.close_dispute(&disputes[1], true);
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (2_000_000, 0, 0));
        assert!(!is_stopped(&shop, &ada).await);
        shop.prove().await;
    }

    async fn whom_an_operator_has_stopped_no_dispute_lets_go(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        shop.app.set_frozen(id_of("op"), &ada.payer, true, "spam").await.unwrap();
        let dispute = shop.stripe.open_dispute(payment_of(&receipt));
        shop.hear().await;
        shop.stripe.close_dispute(&dispute, true);
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
        assert!(is_stopped(&shop, &ada).await);
    }

    // Stripe takes the whole amount for a dispute, also when some of it went back before.
    async fn no_more_is_taken_than_was_given(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let receipt = shop.buy(&ada, PACK).await;
        shop.stripe.refund(payment_of(&receipt), Some(333));
        shop.hear().await;
        let dispute = shop.stripe.open_dispute(payment_of(&receipt));
        shop.hear().await;
        assert_eq!(shop.sums_of(&receipt.id).await, (999, 333, 999, 1_000_000));
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        shop.prove().await;
        shop.stripe.close_dispute(&dispute, true);
        shop.hear().await;
        assert_eq!(shop.sums_of(&receipt.id).await, (999, 333, 0, 333_333));
        assert_eq!(shop.sums(&ada).await, (666_667, 0, 0));
        shop.prove().await;
    }

    async fn invoices_of_subscriptions_are_disputed_too(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.buy(&ada, PLAN).await;
        shop.advance(MONTH).await;
        let newest = shop.receipts(&ada.payer).await[1].clone();
        let dispute = shop.stripe.open_dispute(payment_of(&newest));
        shop.hear().await;
        assert_eq!(shop.sums_of(&newest.id).await, (999, 0, 999, 1_500_000));
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        assert!(is_stopped(&shop, &ada).await);
        shop.stripe.close_dispute(&dispute, true);
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (1_500_000, 0, 0));
        assert!(!is_stopped(&shop, &ada).await);
        shop.prove().await;
    }
}
