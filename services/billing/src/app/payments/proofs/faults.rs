//! Calls of Stripe's that fail, at every place: what was asked for is done once.

use std::time::Duration;

use chrono::TimeDelta;
use kinora_store::on_both_databases;
use kinora_testkit::stripe::{ApiFault, PayOutcome};

use super::shop::{DAY, HOUR, PACK, PLANS, Shop, payment_of, session_of};
use crate::app::testing::user;
use crate::domain::caller::Caller;
use crate::domain::payer::Payer;
use crate::error::Error;
use crate::store::entity::payments::{checkout, receipt};

/// No call of ours makes more of Stripe's.
const MOST_CALLS: usize = 60;

/// What passes when it is tried again, at once or later.
fn passing() -> [ApiFault; 5] {
    let refuse = |status, retry_after| ApiFault::Refuse {
        status,
        retry_after,
        should_retry: None,
    };
    [
        ApiFault::FailAfterCommit,
        ApiFault::LoseAnswer,
        refuse(429, Some(30)),
        refuse(503, None),
        ApiFault::Say {
            status: 502,
            body: "<html>".to_owned(),
        },
    ]
}

/// Does it again and again, some time later, until Stripe has done it.
async fn insist<T>(shop: &Shop, call: impl AsyncFn() -> Result<T, Error>) -> T {
    for _ in 0..5 {
        match call().await {
            Ok(done) => return done,
            Err(Error::Stripe(error)) => assert!(error.is_transient(), "{error:?}"),
            Err(error) => panic!("{error:?}"),
        }
        shop.pass(HOUR / 60).await;
    }
    panic!("it is never done")
}

/// Handles until nothing waits.
async fn handle_all(shop: &Shop) {
    for _ in 0..5 {
        shop.handle().await;
        if shop.problems().await.is_empty() {
            return;
        }
        shop.pass(HOUR / 60).await;
    }
    panic!("{:?}", shop.problems().await)
}

/// Has each fault happen to the first call, to the second one, and so on, until there are no more, each time to somebody new.
async fn at_every_call<T>(
    shop: &Shop,
    faults: &[ApiFault],
    before: impl AsyncFn(&Caller) -> T,
    act: impl AsyncFn(&Caller, &T),
    verify: impl AsyncFn(&Caller, &T),
) {
    let mut somebody = 0;
    for fault in faults {
        let mut reached = 0;
        for calls in 0..=MOST_CALLS {
            assert!(calls < MOST_CALLS, "it never ends");
            somebody += 1;
            let caller = user(&format!("{somebody}"));
            let made = before(&caller).await;
            shop.stripe.fail_after(calls, fault.clone());
            act(&caller, &made).await;
            let is_over = shop.stripe.has_faults();
            shop.stripe.forget_faults();
            verify(&caller, &made).await;
            if is_over {
                break;
            }
            reached += 1;
        }
        assert!(reached > 0, "{fault:?}");
    }
}

fn sessions_of(shop: &Shop, payer: &Payer) -> usize {
    let key = payer.to_string();
    let sessions = shop.stripe.objects("checkout.session").into_iter();
    sessions
        .filter(|it| it["metadata"]["payer"] == key.as_str())
        .count()
}

/// As many packs as there are places and faults: a price is made only once.
fn many_packs() -> String {
    let pack = |number: usize| {
        format!(
            "[[pack]]\nname = \"p{number}\"\ntitle = \"P\"\ncredits = 1000\nprice_cents = 100\n"
        )
    };
    let packs = (0..60).map(pack);
    PLANS.to_owned() + &packs.collect::<String>()
}

on_both_databases! {
    async fn a_checkout_is_opened_once_whatever_fails(url: DatabaseUrl) {
        let shop = Shop::selling(&url, &many_packs()).await;
        let mut number = 0;
        for fault in passing() {
            for calls in 0..=10 {
                assert!(calls < 10, "it never ends");
                let (caller, item) = (user(&format!("{number}")), format!("pack:p{number}"));
                number += 1;
                shop.stripe.fail_after(calls, fault.clone());
                let opened: checkout::Model = insist(&shop, async || shop.checkout(&caller, "a", &item).await).await;
                let is_over = shop.stripe.has_faults();
                shop.stripe.forget_faults();
                assert_eq!(sessions_of(&shop, &caller.payer), 1, "{fault:?} {calls}");
                assert_eq!(shop.checkout(&caller, "a", &item).await.unwrap(), opened);
                if is_over {
                    assert!(calls >= 4, "a customer, two for the price, and the page: {calls}");
                    shop.pay(&opened, PayOutcome::Succeeds).await;
                    assert_eq!(shop.sums(&caller).await, (1000, 0, 0));
                    break;
                }
            }
        }
        let customers = shop.stripe.objects("customer").len();
        assert_eq!(customers, number, "nobody is two customers");
        assert_eq!(shop.stripe.objects("price").len(), number, "nothing has two prices");
    }

    async fn a_payment_is_handled_once_whatever_fails(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        at_every_call(
            &shop,
            // Nothing but looks: whether it was done makes no difference.
            &passing()[1..3],
            async |caller: &Caller| {
                let opened = shop.checkout(caller, "a", PACK).await.unwrap();
                shop.stripe.pay(session_of(&opened), PayOutcome::Succeeds);
                shop.pass(Duration::ZERO).await;
            },
            async |_, ()| handle_all(&shop).await,
            async |caller, ()| {
                assert_eq!(shop.sums(caller).await, (1_000_000, 0, 0));
                assert_eq!(shop.receipts(&caller.payer).await.len(), 1);
            },
        )
        .await;
        shop.prove().await;
    }

    async fn an_operators_refund_is_made_once_whatever_fails(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        at_every_call(
            &shop,
            &passing(),
            async |caller: &Caller| shop.buy(caller, PACK).await,
            async |caller, made: &receipt::Model| {
                let request_id = format!("refund-of-{}", caller.payer);
                insist(&shop, async || shop.refund(&made.id, &request_id, Some(333)).await).await;
            },
            async |caller, made: &receipt::Model| {
                shop.hear().await;
                assert_eq!(shop.sums_of(&made.id).await, (999, 333, 0, 333_333));
                assert_eq!(shop.sums(caller).await, (666_667, 0, 0));
            },
        )
        .await;
        shop.prove().await;
    }

    // For a day Stripe says again that it has failed, though it has not.
    async fn a_failure_that_stripe_keeps_is_over_after_a_day(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        shop.stripe.fail_after(3, ApiFault::KeepFailure);
        for _ in 0..2 {
            let failed = shop.checkout(&ada, "a", PACK).await;
            assert!(matches!(failed, Err(Error::Stripe(ref error)) if error.is_transient()), "{failed:?}");
        }
        shop.advance(DAY + HOUR).await;
        let receipt = shop.buy(&ada, PACK).await;
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));

        shop.stripe.fail_next("POST", ApiFault::KeepFailure);
        let refunded = insist(&shop, async || shop.refund(&receipt.id, "a", Some(333)).await).await;
        assert_eq!(refunded.refunded, 333);
        assert_eq!(shop.stripe.objects("refund").len(), 1);
        shop.hear().await;
        assert_eq!(shop.sums_of(payment_of(&receipt)).await, (999, 333, 0, 333_333));
        shop.prove().await;
    }

    // What Stripe wants to be left alone with is not tried before, and nothing else is tried in the same round.
    async fn stripes_wish_to_be_left_alone_is_kept(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        let ada = user("ada");
        let opened = shop.checkout(&ada, "a", PACK).await.unwrap();
        shop.stripe.pay(session_of(&opened), PayOutcome::Succeeds);
        shop.pass(Duration::ZERO).await;
        let asked = shop.stripe.requests().len();
        shop.stripe.fail_after(0, ApiFault::Refuse { status: 429, retry_after: Some(1800), should_retry: None });
        shop.handle().await;
        assert_eq!(shop.stripe.requests().len(), asked + 1, "one call is answer enough");
        let half_an_hour = shop.app.now() + TimeDelta::minutes(30);
        let put_off = shop.events().await.into_iter().find(|event| event.tries > 0).unwrap();
        assert_eq!((put_off.next_time, put_off.done_time), (half_an_hour, None));
        shop.pass(HOUR / 4).await;
        shop.handle().await;
        let waiting = shop.events().await.into_iter().filter(|event| event.done_time.is_none());
        assert!(waiting.map(|event| event.object).all(|object| object == put_off.object));
        shop.pass(HOUR / 4).await;
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
    }
}
