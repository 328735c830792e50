//! What happened, for the nightly comparison.

use std::collections::BTreeSet;

use kinora_stripe_gateway::{Currencies, Error, EventKind, Gateway, Movement, ObjectId, Span};

use crate::harness::{DAY, Harness, START, money, options, time};

fn all_of_time() -> Span {
    Span {
        from: time(START),
        until: time(START) + DAY * 400,
    }
}

async fn movements(harness: &Harness, span: Span) -> Vec<Movement> {
    let page = harness.gateway.list_movements(&span, None).await;
    let page = page.expect("a page");
    assert_eq!(page.next, None);
    page.items
}

#[tokio::test]
async fn the_balance_is_the_sum_of_what_was_paid_given_back_and_disputed() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let refund = harness
        .gateway
        .refund(&payment, &money(99), "refund-1")
        .await;
    let refund = refund.unwrap();
    let moved = movements(&harness, all_of_time()).await;
    let kinds: Vec<&str> = moved.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["refund", "charge"], "newest first");
    assert_eq!((&moved[0].amount, &moved[0].fee), (&money(-99), &money(0)));
    assert_eq!(moved[0].source, Some(refund.id));
    assert_eq!((&moved[1].amount, &moved[1].fee), (&money(999), &money(58)));
    let sum: i64 = moved.iter().map(|it| it.amount.amount).sum();
    assert_eq!(sum, 900);
}

#[tokio::test]
async fn a_lost_dispute_takes_the_money_and_a_won_one_gives_it_back() {
    for (is_won, left) in [(true, 999), (false, 0)] {
        let harness = Harness::start().await;
        let payment = harness.buy_pack().await;
        let dispute = harness.stripe.open_dispute(payment.as_str());
        harness.stripe.close_dispute(&dispute, is_won);
        let moved = movements(&harness, all_of_time()).await;
        let sum: i64 = moved.iter().map(|it| it.amount.amount).sum();
        assert_eq!(sum, left);
    }
}

#[tokio::test]
async fn spans_begin_with_their_first_second_and_end_before_their_last() {
    let harness = Harness::start().await;
    harness.buy_pack().await;
    let count = |from: i64, until: i64| {
        let span = Span {
            from: time(START + from),
            until: time(START + until),
        };
        let harness = &harness;
        async move { movements(harness, span).await.len() }
    };
    assert_eq!(count(0, 1).await, 1);
    assert_eq!(count(-1, 0).await, 0);
    assert_eq!(count(1, 2).await, 0);
}

#[tokio::test]
async fn every_event_is_listed_once_over_all_pages() {
    let harness = Harness::start().await;
    let (subscription, _) = harness.subscribe().await;
    harness.stripe.advance(DAY * 365).await;
    let mut seen = BTreeSet::new();
    let mut renewals = 0;
    let mut after: Option<ObjectId> = None;
    let mut pages = 0;
    loop {
        let span = all_of_time();
        let page = harness.gateway.list_events(&span, after.as_ref()).await;
        let page = page.unwrap();
        pages += 1;
        for event in page.items {
            let is_of_it = event.object.as_ref() == Some(&subscription);
            let is_renewal = event.name == "customer.subscription.updated";
            if is_of_it && is_renewal {
                assert_eq!(event.kind, EventKind::Subscription);
                renewals += 1;
            }
            assert!(seen.insert(event.id));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(pages > 1, "the test needs more than one page");
    assert_eq!(renewals, 12);
    assert_eq!(seen.len(), harness.stripe.objects("event").len());
}

#[tokio::test]
async fn what_is_in_a_currency_that_was_not_named_is_an_error() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let mut options = options(harness.stripe.base_url());
    options.currencies = Currencies::new(["eur"]).unwrap();
    let of_euros = Gateway::new(&options).unwrap();
    let refused = of_euros.list_movements(&all_of_time(), None).await;
    assert!(
        matches!(refused, Err(Error::UnknownCurrency)),
        "{refused:?}"
    );
    let refused = of_euros.fetch_payment(&payment).await;
    assert!(
        matches!(refused, Err(Error::UnknownCurrency)),
        "{refused:?}"
    );
    let refused = of_euros.refund(&payment, &money(1), "key").await;
    assert!(
        matches!(refused, Err(Error::UnknownCurrency)),
        "{refused:?}"
    );
}
