//! Subscriptions as time passes.

use kinora_stripe_gateway::{Error, InvoiceReason, InvoiceState, SubscriptionStatus};

use crate::harness::{DAY, Harness, START, id, metadata, money, plan, time};

#[tokio::test]
async fn a_subscription_begins_with_a_paid_invoice() {
    let harness = Harness::start().await;
    let (subscription, customer) = harness.subscribe().await;
    let state = harness.gateway.fetch_subscription(&subscription).await;
    let state = state.unwrap();
    assert_eq!(state.status, SubscriptionStatus::Active);
    assert_eq!(
        (state.customer, state.offer.as_deref()),
        (customer, Some("plan-creator"))
    );
    assert_eq!(state.amount, Some(money(1999)));
    assert_eq!(state.period_start, time(START));
    // The last day of January leads to the last day of February.
    assert_eq!(state.period_end, time(START) + DAY * 28);
    assert_eq!(state.metadata, metadata());
    assert!(!state.ends_with_period && state.ended_at.is_none());

    let invoice = harness
        .gateway
        .fetch_invoice(&state.latest_invoice.unwrap())
        .await;
    let invoice = invoice.unwrap();
    assert_eq!(invoice.state, InvoiceState::Paid);
    assert_eq!(invoice.reason, InvoiceReason::SubscriptionBegins);
    assert_eq!(invoice.subscription, Some(subscription));
    assert_eq!(invoice.metadata, metadata());
    let [line] = invoice.lines.as_slice() else {
        panic!("{:?}", invoice.lines);
    };
    assert_eq!((&line.amount, line.is_proration), (&money(1999), false));
    assert_eq!(line.price, Some(state.price));
    assert_eq!(
        (line.start, line.end),
        (state.period_start, state.period_end)
    );
}

#[tokio::test]
async fn a_subscription_knows_its_offer_when_the_price_has_changed() {
    let harness = Harness::start().await;
    let (subscription, _) = harness.subscribe().await;
    let mut dearer = plan();
    dearer.price = money(2999);
    let price = harness.gateway.ensure_price(&dearer).await.unwrap();
    let state = harness.gateway.fetch_subscription(&subscription).await;
    let state = state.unwrap();
    assert_ne!(state.price, price);
    assert_eq!(state.amount, Some(money(1999)));
    assert_eq!(state.offer.as_deref(), Some("plan-creator"));
}

#[tokio::test]
async fn a_renewal_is_a_draft_for_an_hour_and_then_paid() {
    let harness = Harness::start().await;
    let (subscription, _) = harness.subscribe().await;
    harness.stripe.advance(DAY * 28).await;
    let state = harness
        .gateway
        .fetch_subscription(&subscription)
        .await
        .unwrap();
    assert_eq!(state.period_start, time(START) + DAY * 28);
    assert_eq!(state.period_end, time(START) + DAY * 59, "back to the 31st");
    let invoice_id = state.latest_invoice.unwrap();
    let draft = harness.gateway.fetch_invoice(&invoice_id).await.unwrap();
    assert_eq!(draft.state, InvoiceState::Draft);
    assert_eq!((draft.paid, draft.payments), (money(0), Vec::new()));

    harness.stripe.advance(DAY).await;
    let paid = harness.gateway.fetch_invoice(&invoice_id).await.unwrap();
    assert_eq!(paid.state, InvoiceState::Paid);
    assert_eq!(paid.reason, InvoiceReason::SubscriptionGoesOn);
    assert_eq!(paid.payments.len(), 1);
    let found = harness.gateway.find_invoice(&paid.payments[0]).await;
    assert_eq!(found.unwrap(), Some(invoice_id));
}

#[tokio::test]
async fn a_card_that_is_declined_puts_it_past_due_and_a_good_one_mends_it() {
    let harness = Harness::start().await;
    let (subscription, customer) = harness.subscribe().await;
    harness.stripe.set_card_declined(customer.as_str(), true);
    harness.stripe.advance(DAY * 29).await;
    let state = harness
        .gateway
        .fetch_subscription(&subscription)
        .await
        .unwrap();
    assert_eq!(state.status, SubscriptionStatus::PastDue);
    let invoice_id = state.latest_invoice.unwrap();
    let open = harness.gateway.fetch_invoice(&invoice_id).await.unwrap();
    assert_eq!((open.state, open.paid), (InvoiceState::Open, money(0)));

    harness.stripe.set_card_declined(customer.as_str(), false);
    harness.stripe.advance(DAY * 3).await;
    let state = harness
        .gateway
        .fetch_subscription(&subscription)
        .await
        .unwrap();
    assert_eq!(state.status, SubscriptionStatus::Active);
    let paid = harness.gateway.fetch_invoice(&invoice_id).await.unwrap();
    assert_eq!((paid.state, paid.payments.len()), (InvoiceState::Paid, 2));
}

#[tokio::test]
async fn a_card_that_stays_declined_ends_it() {
    let harness = Harness::start().await;
    let (subscription, customer) = harness.subscribe().await;
    harness.stripe.set_card_declined(customer.as_str(), true);
    harness.stripe.advance(DAY * 45).await;
    let state = harness
        .gateway
        .fetch_subscription(&subscription)
        .await
        .unwrap();
    assert_eq!(state.status, SubscriptionStatus::Ended);
    assert!(state.ended_at.is_some());
}

#[tokio::test]
async fn what_people_end_in_the_portal_ends_with_its_period() {
    let harness = Harness::start().await;
    let (subscription, _) = harness.subscribe().await;
    harness.stripe.set_ending(subscription.as_str(), true);
    let state = harness
        .gateway
        .fetch_subscription(&subscription)
        .await
        .unwrap();
    assert!(state.ends_with_period);
    assert_eq!(state.status, SubscriptionStatus::Active);
    harness.stripe.advance(DAY * 28).await;
    let state = harness
        .gateway
        .fetch_subscription(&subscription)
        .await
        .unwrap();
    assert_eq!(state.status, SubscriptionStatus::Ended);
    assert_eq!(state.ended_at, Some(time(START) + DAY * 28));
    assert_eq!(harness.stripe.objects("invoice").len(), 1, "no second one");
}

#[tokio::test]
async fn cancelling_is_done_once_and_answers_likewise() {
    let harness = Harness::start().await;
    let (subscription, _) = harness.subscribe().await;
    let first = harness
        .gateway
        .cancel_subscription(&subscription)
        .await
        .unwrap();
    assert_eq!(first.status, SubscriptionStatus::Ended);
    let second = harness.gateway.cancel_subscription(&subscription).await;
    assert_eq!(second.unwrap(), first);
    let missing = harness.gateway.cancel_subscription(&id("sub_none")).await;
    assert!(matches!(missing, Err(Error::Missing(_))), "{missing:?}");
}
