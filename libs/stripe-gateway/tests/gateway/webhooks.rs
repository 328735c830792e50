//! Webhooks of the fake, as they arrive at a real endpoint.

use std::collections::BTreeSet;
use std::time::Duration;

use kinora_stripe_gateway::{Event, EventKind, WebhookError};
use kinora_testkit::receiver::{Answer, Received, Receiver};
use kinora_testkit::stripe::{DeliveryState, WebhookFaults};

use crate::harness::{DAY, Harness, WEBHOOK_SECRET, time};

fn verify(harness: &Harness, webhook: &Received, now: i64) -> Result<Event, WebhookError> {
    let signature = webhook.header("stripe-signature");
    let body = webhook.body.as_bytes();
    harness.gateway.verify_webhook(body, signature, time(now))
}

/// A harness whose webhooks go to an endpoint that answers with a status.
async fn with_endpoint(status: u16, secrets: &[&str]) -> (Harness, Receiver) {
    let harness = Harness::start().await;
    let endpoint = Receiver::start(move |_, _| Answer::status(status)).await;
    harness
        .stripe
        .send_webhooks_to(&endpoint.url("/stripe"), secrets);
    (harness, endpoint)
}

#[tokio::test]
async fn every_event_arrives_and_is_believed() {
    let (harness, endpoint) = with_endpoint(200, &[WEBHOOK_SECRET]).await;
    harness.buy_pack().await;
    harness.stripe.deliver().await;
    let events: Vec<Event> = endpoint
        .seen()
        .iter()
        .map(|webhook| verify(&harness, webhook, harness.stripe.now()).unwrap())
        .collect();
    let listed = harness.stripe.objects("event");
    assert_eq!(events.len(), listed.len());
    for (event, listed) in events.iter().zip(&listed) {
        assert_eq!(listed["id"], event.id.as_str());
        assert_eq!(listed["type"], event.name);
    }
    let completed = events
        .iter()
        .find(|it| it.name == "checkout.session.completed");
    assert_eq!(completed.unwrap().kind, EventKind::Purchase);
}

#[tokio::test]
async fn both_of_stripes_signatures_will_do_while_a_secret_is_changed() {
    let secrets = ["whsec_of_tomorrow_123", WEBHOOK_SECRET];
    let (harness, endpoint) = with_endpoint(200, &secrets).await;
    harness.customer().await;
    harness.stripe.deliver().await;
    let seen = endpoint.seen();
    assert_eq!(seen[0].header("stripe-signature").matches("v1=").count(), 2);
    assert!(verify(&harness, &seen[0], harness.stripe.now()).is_ok());
}

#[tokio::test]
async fn forged_and_stale_webhooks_are_not_believed() {
    let forged = WebhookFaults {
        bad_signature: 1000,
        ..WebhookFaults::default()
    };
    let stale = WebhookFaults {
        stale: 1000,
        ..WebhookFaults::default()
    };
    for (faults, why) in [
        (forged, WebhookError::Signature),
        (stale, WebhookError::Stale),
    ] {
        let (harness, endpoint) = with_endpoint(200, &[WEBHOOK_SECRET]).await;
        harness.stripe.set_webhook_faults(faults);
        harness.customer().await;
        harness.stripe.deliver().await;
        let seen = endpoint.seen();
        let refused = verify(&harness, &seen[0], harness.stripe.now());
        assert_eq!(refused, Err(why));
    }
}

#[tokio::test]
async fn a_webhook_that_is_replayed_later_is_stale() {
    let (harness, endpoint) = with_endpoint(200, &[WEBHOOK_SECRET]).await;
    harness.customer().await;
    harness.stripe.deliver().await;
    let later = harness.stripe.now() + 301;
    let refused = verify(&harness, &endpoint.seen()[0], later);
    assert_eq!(refused, Err(WebhookError::Stale));
}

#[tokio::test]
async fn what_is_not_taken_comes_again_signed_anew_for_three_days() {
    let (harness, endpoint) = with_endpoint(500, &[WEBHOOK_SECRET]).await;
    harness.customer().await;
    harness.stripe.deliver().await;
    assert_eq!(endpoint.seen().len(), 1);
    harness.stripe.advance(Duration::from_secs(299)).await;
    assert_eq!(endpoint.seen().len(), 1);
    harness.stripe.advance(Duration::from_secs(1)).await;
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 2);
    let now = harness.stripe.now();
    assert!(verify(&harness, &seen[1], now).is_ok());
    assert_eq!(seen[0].body, seen[1].body);
    harness.stripe.advance(DAY * 5).await;
    let deliveries = harness.stripe.deliveries();
    assert_eq!(deliveries[0].state, DeliveryState::GivenUp);
    assert_eq!(
        endpoint.seen().len(),
        usize::try_from(deliveries[0].tries).unwrap()
    );
}

#[tokio::test]
async fn webhooks_come_twice_late_and_in_any_order_and_some_never() {
    let (harness, endpoint) = with_endpoint(200, &[WEBHOOK_SECRET]).await;
    harness.stripe.set_webhook_faults(WebhookFaults {
        seed: 7,
        duplicate: 300,
        reorder: true,
        delay: 300,
        drop: 100,
        ..WebhookFaults::default()
    });
    let (_, customer) = harness.subscribe().await;
    harness.stripe.set_card_declined(customer.as_str(), true);
    harness.stripe.advance(DAY * 60).await;
    let ids: Vec<String> = endpoint
        .seen()
        .iter()
        .map(|webhook| {
            let body: serde_json::Value = serde_json::from_str(&webhook.body).unwrap();
            body["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let different: BTreeSet<&String> = ids.iter().collect();
    let all = harness.stripe.objects("event").len();
    assert!(different.len() < ids.len(), "some came twice");
    assert!(different.len() < all, "some never came");
    assert!(!ids.is_sorted(), "some came out of order");
    let dropped = harness.stripe.deliveries();
    let dropped = dropped
        .iter()
        .filter(|it| it.state == DeliveryState::Dropped);
    assert_eq!(different.len() + dropped.count(), all);
}

#[tokio::test]
async fn the_same_seed_makes_the_same_faults() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (harness, endpoint) = with_endpoint(200, &[WEBHOOK_SECRET]).await;
        harness.stripe.set_webhook_faults(WebhookFaults {
            seed: 11,
            duplicate: 300,
            reorder: true,
            delay: 300,
            ..WebhookFaults::default()
        });
        harness.subscribe().await;
        harness.stripe.advance(DAY * 40).await;
        let seen = endpoint.seen();
        let signatures: Vec<String> = seen
            .iter()
            .map(|it| it.header("stripe-signature")[..13].to_owned())
            .collect();
        let ids: Vec<String> = seen
            .iter()
            .map(|it| it.body.split("\"id\":\"evt_").nth(1).unwrap_or_default()[..8].to_owned())
            .collect();
        runs.push((signatures, ids));
    }
    assert_eq!(runs[0], runs[1]);
}
