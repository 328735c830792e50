//! The process dies between every two steps of buying, of handling an event, and of a refund: nothing is half done, and the
//! next round does what is left.

use kinora_store::on_both_databases;
use kinora_testkit::stripe::PayOutcome;
use serde_json::Value;

use super::shop::{DAY, HOUR, PACK, PLAN, Shop, payment_of, session_of, text};
use crate::app::crashes::at_every_point;
use crate::domain::caller::Caller;
use crate::store::entity::payments::receipt;

/// The newest event of a name.
fn newest(shop: &Shop, name: &str) -> Value {
    let found = shop.stripe.newest("event", |event| event["type"] == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

/// Handles what waits, also what a round that was broken off has put off.
async fn handle(shop: &Shop) {
    shop.pass(HOUR / 30).await;
    shop.handle().await;
}

/// Somebody pays for an item; nothing is heard of it.
async fn paid(shop: &Shop, caller: &Caller, item: &str) {
    let opened = shop.checkout(caller, "a", item).await.expect("opens");
    shop.stripe.pay(session_of(&opened), PayOutcome::Succeeds);
}

/// Somebody has bought a pack; what is heard of it is of an event.
async fn bought(shop: &Shop, caller: &Caller) -> receipt::Model {
    paid(shop, caller, PACK).await;
    hear(shop, "payment_intent.succeeded").await;
    let receipts = shop.receipts(&caller.payer).await;
    receipts.into_iter().next().expect("a receipt")
}

/// Hears of the newest event of a name, and handles it.
async fn hear(shop: &Shop, name: &str) {
    shop.bring(&newest(shop, name)).await.expect("is taken");
    shop.hear().await;
}

async fn nothing_waits(shop: &Shop) {
    assert_eq!(shop.problems().await, Vec::<String>::new());
}

on_both_databases! {
    async fn checkouts_survive_crashes(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        at_every_point(
            async |caller: Caller| caller,
            async |caller: &Caller| drop(shop.checkout(caller, "a", PACK).await.unwrap()),
            async |caller: &Caller| {
                let key = caller.payer.to_string();
                let sessions = shop.stripe.objects("checkout.session").into_iter();
                let own = sessions.filter(|it| it["metadata"]["payer"] == key.as_str());
                assert_eq!(own.count(), 1);
            },
        )
        .await;
    }

    async fn payments_of_packs_survive_crashes(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        at_every_point(
            async |caller: Caller| {
                paid(&shop, &caller, PACK).await;
                shop.bring(&newest(&shop, "payment_intent.succeeded")).await.unwrap();
                caller
            },
            async |_: &Caller| handle(&shop).await,
            async |caller: &Caller| {
                nothing_waits(&shop).await;
                assert_eq!(shop.sums(caller).await, (1_000_000, 0, 0));
                assert_eq!(shop.receipts(&caller.payer).await.len(), 1);
            },
        )
        .await;
        shop.prove().await;
    }

    async fn invoices_and_subscriptions_survive_crashes(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        at_every_point(
            async |caller: Caller| {
                paid(&shop, &caller, PLAN).await;
                shop.bring(&newest(&shop, "invoice.paid")).await.unwrap();
                shop.bring(&newest(&shop, "customer.subscription.created")).await.unwrap();
                shop.bring(&newest(&shop, "checkout.session.completed")).await.unwrap();
                caller
            },
            async |_: &Caller| handle(&shop).await,
            async |caller: &Caller| {
                nothing_waits(&shop).await;
                assert_eq!(shop.sums(caller).await, (1_500_000, 0, 0));
                assert_eq!(shop.plan_of(caller).await, "creator");
                assert_eq!(shop.receipts(&caller.payer).await.len(), 1);
                assert_eq!(shop.subscriptions(&caller.payer).await.len(), 1);
            },
        )
        .await;
        shop.prove().await;
    }

    async fn refunds_at_stripe_survive_crashes(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        at_every_point(
            async |caller: Caller| {
                let receipt = bought(&shop, &caller).await;
                shop.stripe.refund(payment_of(&receipt), Some(333));
                shop.bring(&newest(&shop, "charge.refunded")).await.unwrap();
                (caller, receipt.id)
            },
            async |_| handle(&shop).await,
            async |(caller, receipt): &(Caller, String)| {
                nothing_waits(&shop).await;
                assert_eq!(shop.sums_of(receipt).await, (999, 333, 0, 333_333));
                assert_eq!(shop.sums(caller).await, (666_667, 0, 0));
            },
        )
        .await;
        shop.prove().await;
    }

    async fn refunds_of_operators_survive_crashes(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        at_every_point(
            async |caller: Caller| {
                let receipt = bought(&shop, &caller).await;
                (caller, receipt.id)
            },
            async |(caller, receipt): &(Caller, String)| {
                let request_id = format!("for-{}", caller.payer);
                let refunded = shop.refund(receipt, &request_id, Some(333)).await.unwrap();
                assert_eq!(refunded.refunded, 333);
            },
            async |(caller, receipt): &(Caller, String)| {
                assert_eq!(shop.sums_of(receipt).await, (999, 333, 0, 333_333));
                assert_eq!(shop.sums(caller).await, (666_667, 0, 0));
            },
        )
        .await;
        shop.prove().await;
    }

    async fn disputes_survive_crashes(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        at_every_point(
            async |caller: Caller| {
                // Of the payment nothing was heard either.
                paid(&shop, &caller, PACK).await;
                let payment = text(&newest(&shop, "payment_intent.succeeded")["data"]["object"], "id");
                shop.stripe.open_dispute(&payment);
                shop.bring(&newest(&shop, "charge.dispute.created")).await.unwrap();
                (caller, payment)
            },
            async |_| handle(&shop).await,
            async |(caller, payment): &(Caller, String)| {
                nothing_waits(&shop).await;
                assert_eq!(shop.sums_of(payment).await, (999, 0, 999, 1_000_000));
                assert_eq!(shop.sums(caller).await, (0, 0, 0));
                assert!(shop.balance(caller).await.is_frozen);
            },
        )
        .await;
        shop.prove().await;
    }

    async fn catching_up_survives_crashes(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        at_every_point(
            async |caller: Caller| {
                paid(&shop, &caller, PACK).await;
                shop.pass(DAY / 12).await;
                caller
            },
            async |_: &Caller| assert!(shop.app.catch_up().await.is_ok()),
            async |caller: &Caller| {
                handle(&shop).await;
                nothing_waits(&shop).await;
                assert_eq!(shop.sums(caller).await, (1_000_000, 0, 0));
            },
        )
        .await;
        shop.prove().await;
    }
}
