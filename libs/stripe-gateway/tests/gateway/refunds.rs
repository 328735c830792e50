//! Refunds and disputes.

use std::time::Duration;

use kinora_stripe_gateway::{Currency, DisputeState, Error, Money, RefundState};

use crate::harness::{DAY, Harness, id, money};

#[tokio::test]
async fn a_part_and_the_rest_go_back_and_no_more() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let gateway = &harness.gateway;
    let part = gateway
        .refund(&payment, &money(400), "refund-1")
        .await
        .unwrap();
    assert_eq!(
        (part.state, &part.amount),
        (RefundState::Succeeded, &money(400))
    );
    assert_eq!(part.payment.as_ref(), Some(&payment));
    assert_eq!(part.key.as_deref(), Some("refund-1"));
    assert_eq!(gateway.fetch_refund(&part.id).await.unwrap(), part);

    let too_much = gateway.refund(&payment, &money(600), "refund-2").await;
    assert!(matches!(too_much, Err(Error::Refused(_))), "{too_much:?}");
    gateway
        .refund(&payment, &money(599), "refund-3")
        .await
        .unwrap();
    let nothing_left = gateway.refund(&payment, &money(1), "refund-4").await;
    assert!(matches!(nothing_left, Err(Error::Refused(_))));
    let charge = gateway.fetch_charge(part.charge.as_ref().unwrap()).await;
    assert_eq!(charge.unwrap().refunded, money(999));
}

#[tokio::test]
async fn the_same_key_gives_back_once_even_when_stripe_has_forgotten_it() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let gateway = &harness.gateway;
    let first = gateway
        .refund(&payment, &money(100), "refund-1")
        .await
        .unwrap();
    harness.stripe.advance(DAY * 40).await;
    let second = gateway
        .refund(&payment, &money(100), "refund-1")
        .await
        .unwrap();
    assert_eq!(first, second);
    let other_amount = gateway.refund(&payment, &money(101), "refund-1").await;
    assert!(matches!(other_amount, Err(Error::KeyReused)));
    assert_eq!(harness.stripe.objects("refund").len(), 1);
}

#[tokio::test]
async fn racing_refunds_never_exceed_the_payment() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..50 {
        let (gateway, payment) = (harness.gateway.clone(), payment.clone());
        // Every key twice.
        let key = format!("refund-{}", racer / 2);
        racers.spawn(async move { gateway.refund(&payment, &money(90), &key).await });
    }
    let results = racers.join_all().await;
    let refunds = harness.stripe.objects("refund");
    assert_eq!(refunds.len(), 11, "11 times 90 is the most of 999");
    assert_eq!(results.iter().filter(|it| it.is_ok()).count(), 22);
}

#[tokio::test]
async fn a_refund_from_a_long_list_is_found() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let first = harness
        .gateway
        .refund(&payment, &money(1), "refund-first")
        .await;
    for _ in 0..150 {
        harness.stripe.refund(payment.as_str(), Some(1));
    }
    harness.stripe.advance(DAY * 2).await;
    let again = harness
        .gateway
        .refund(&payment, &money(1), "refund-first")
        .await;
    assert_eq!(again.unwrap(), first.unwrap());
}

#[tokio::test]
async fn a_refund_that_the_bank_does_not_take_is_failed() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let refund = harness.stripe.refund(payment.as_str(), None);
    harness.stripe.fail_refund(&refund);
    let failed = harness.gateway.fetch_refund(&id(&refund)).await.unwrap();
    assert_eq!((failed.state, failed.key), (RefundState::Failed, None));
}

#[tokio::test]
async fn amounts_that_are_none_are_not_asked_for() {
    let harness = Harness::start().await;
    let payment = id("pi_1");
    for amount in [0, -1, i64::MIN] {
        let refused = harness
            .gateway
            .refund(&payment, &money(amount), "key")
            .await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{amount}");
    }
    let missing = harness.gateway.refund(&payment, &money(1), "key").await;
    assert!(matches!(missing, Err(Error::Missing(_))), "{missing:?}");
    let huge = harness
        .gateway
        .refund(&payment, &money(i64::MAX), "key-2")
        .await;
    assert!(huge.is_err());
}

#[tokio::test]
async fn an_amount_in_another_currency_than_the_payments_is_not_given_back() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let euros = Money {
        currency: Currency::parse("eur").unwrap(),
        ..money(100)
    };
    let refused = harness.gateway.refund(&payment, &euros, "key").await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    assert!(harness.stripe.objects("refund").is_empty());
}

#[tokio::test]
async fn disputes_are_open_then_won_or_lost() {
    for (is_won, state) in [(true, DisputeState::Won), (false, DisputeState::Lost)] {
        let harness = Harness::start().await;
        let payment = harness.buy_pack().await;
        let dispute_id = id(&harness.stripe.open_dispute(payment.as_str()));
        let open = harness.gateway.fetch_dispute(&dispute_id).await.unwrap();
        assert_eq!(
            (open.state, &open.amount),
            (DisputeState::Open, &money(999))
        );
        assert_eq!(open.payment.as_ref(), Some(&payment));
        assert_eq!(open.reason, "fraudulent");
        let charge = harness.gateway.fetch_charge(&open.charge).await.unwrap();
        assert!(charge.is_disputed);
        let refused = harness.gateway.refund(&payment, &money(1), "key").await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");

        harness.stripe.advance(Duration::from_secs(60)).await;
        harness.stripe.close_dispute(dispute_id.as_str(), is_won);
        let closed = harness.gateway.fetch_dispute(&dispute_id).await.unwrap();
        assert_eq!(closed.state, state);
    }
}
