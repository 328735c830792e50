//! What is tried again, and that nothing is done twice by it.

use std::time::Duration;

use kinora_stripe_gateway::{Away, Checkout, Error, PurchaseKind};
use kinora_testkit::stripe::ApiFault;

use crate::harness::{DAY, Harness, PAYER, metadata, money, pack};

/// Faults after which the same call, made again, is answered.
fn passing_faults() -> Vec<ApiFault> {
    let refuse = |status| ApiFault::Refuse {
        status,
        retry_after: None,
        should_retry: None,
    };
    vec![
        refuse(500),
        refuse(503),
        refuse(429),
        refuse(409),
        ApiFault::FailAfterCommit,
        ApiFault::LoseAnswer,
    ]
}

/// How often this was asked for.
fn count(harness: &Harness, method: &str, path: &str) -> usize {
    let requests = harness.stripe.requests();
    let asked = requests.iter();
    asked
        .filter(|it| it.method == method && it.path == path)
        .count()
}

#[tokio::test]
async fn whatever_passes_leaves_one_customer() {
    for fault in passing_faults() {
        let harness = Harness::start().await;
        harness.stripe.fail_next("POST", fault.clone());
        harness.stripe.fail_next("POST", fault.clone());
        let made = harness.gateway.ensure_customer(PAYER, &metadata()).await;
        assert!(made.is_ok(), "{fault:?}: {made:?}");
        assert_eq!(harness.stripe.objects("customer").len(), 1, "{fault:?}");
        assert_eq!(count(&harness, "POST", "/customers"), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn whatever_passes_leaves_one_checkout() {
    for fault in passing_faults() {
        let harness = Harness::start().await;
        let customer = harness.customer().await;
        let price = harness.gateway.ensure_price(&pack()).await.unwrap();
        let checkout = Checkout {
            kind: PurchaseKind::Pack,
            customer: &customer,
            price: &price,
            reference: "purchase-1",
            metadata: &metadata(),
            success_url: "https://kinora.example.org/",
            cancel_url: "https://kinora.example.org/",
        };
        harness.stripe.fail_next("POST", fault.clone());
        let first = harness.gateway.create_checkout(&checkout, "key-1").await;
        let second = harness.gateway.create_checkout(&checkout, "key-1").await;
        assert_eq!(first.unwrap(), second.unwrap(), "{fault:?}");
        assert_eq!(harness.stripe.objects("checkout.session").len(), 1);
    }
}

#[tokio::test]
async fn whatever_passes_leaves_one_refund() {
    for fault in passing_faults() {
        let harness = Harness::start().await;
        let payment = harness.buy_pack().await;
        harness.stripe.fail_next("POST", fault.clone());
        let amount = money(100);
        let refund = harness.gateway.refund(&payment, &amount, "refund-1").await;
        assert!(refund.is_ok(), "{fault:?}: {refund:?}");
        assert_eq!(harness.stripe.objects("refund").len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn whatever_passes_ends_one_subscription() {
    for fault in passing_faults() {
        let harness = Harness::start().await;
        let (subscription, _) = harness.subscribe().await;
        harness.stripe.fail_next("DELETE", fault.clone());
        let ended = harness.gateway.cancel_subscription(&subscription).await;
        assert!(ended.unwrap().ended_at.is_some(), "{fault:?}");
    }
}

/// Stripe keeps even a failure under the key. That it was done is seen by looking.
#[tokio::test]
async fn a_refund_that_was_done_and_is_said_to_have_failed_is_found() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    harness.stripe.fail_next("POST", ApiFault::KeepFailure);
    let amount = money(100);
    let refund = |key| harness.gateway.refund(&payment, &amount, key);
    let failed = refund("refund-1").await.unwrap_err();
    assert!(matches!(failed, Error::Busy { tries: 2, .. }), "{failed:?}");
    assert!(failed.is_transient());
    let found = refund("refund-1").await.unwrap();
    assert_eq!(found.amount, amount);
    harness.stripe.advance(DAY * 2).await;
    assert_eq!(refund("refund-1").await.unwrap(), found);
    assert_eq!(harness.stripe.objects("refund").len(), 1);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_noticed() {
    let harness = Harness::start().await;
    let customer = harness.customer().await;
    let portal = |back| harness.gateway.create_portal(&customer, back, "key-1");
    portal("https://kinora.example.org/").await.unwrap();
    let reused = portal("https://kinora.example.org/other").await;
    let error = reused.unwrap_err();
    assert!(matches!(error, Error::KeyReused), "{error:?}");
    assert!(!error.is_transient());
    assert_eq!(harness.stripe.objects("billing_portal.session").len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_asked_once() {
    for status in [400, 402, 404, 422] {
        let harness = Harness::start().await;
        let fault = ApiFault::Refuse {
            status,
            retry_after: None,
            should_retry: Some(true),
        };
        harness.stripe.fail_next("POST", fault);
        let refused = harness.gateway.ensure_customer(PAYER, &metadata()).await;
        assert!(!refused.unwrap_err().is_transient(), "{status}");
        assert_eq!(count(&harness, "POST", "/customers"), 1, "{status}");
    }
}

#[tokio::test]
async fn stripes_no_is_heard() {
    let harness = Harness::start().await;
    let fault = ApiFault::Refuse {
        status: 500,
        retry_after: None,
        should_retry: Some(false),
    };
    harness.stripe.fail_next("POST", fault);
    let refused = harness.gateway.ensure_customer(PAYER, &metadata()).await;
    assert!(matches!(refused, Err(Error::Busy { tries: 1, .. })));
    assert_eq!(count(&harness, "POST", "/customers"), 1);
}

#[tokio::test]
async fn a_wish_for_a_long_rest_is_handed_to_the_caller() {
    let harness = Harness::start().await;
    let fault = ApiFault::Refuse {
        status: 429,
        retry_after: Some(30),
        should_retry: None,
    };
    harness.stripe.fail_next("POST", fault);
    let refused = harness.gateway.ensure_customer(PAYER, &metadata()).await;
    let error = refused.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert!(error.is_transient());
    assert_eq!(count(&harness, "POST", "/customers"), 1);
}

#[tokio::test]
async fn a_wish_for_a_short_rest_is_kept() {
    let harness = Harness::with(|options| {
        options.retry.longest_pause = Duration::from_secs(5);
    })
    .await;
    let fault = ApiFault::Refuse {
        status: 429,
        retry_after: Some(1),
        should_retry: None,
    };
    harness.stripe.fail_next("POST", fault);
    let begun = std::time::Instant::now();
    let made = harness.gateway.ensure_customer(PAYER, &metadata()).await;
    made.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn trouble_that_does_not_pass_ends_after_four_tries() {
    let harness = Harness::start().await;
    for _ in 0..4 {
        harness.stripe.fail_next("POST", ApiFault::FailAfterCommit);
    }
    let refused = harness.gateway.ensure_customer(PAYER, &metadata()).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::Busy { tries: 4, .. }), "{error:?}");
    assert_eq!(count(&harness, "POST", "/customers"), 4);
    // The caller comes again, later.
    let made = harness.gateway.ensure_customer(PAYER, &metadata()).await;
    made.unwrap();
    assert_eq!(harness.stripe.objects("customer").len(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_is_left_after_its_time() {
    let harness = Harness::with(|options| {
        options.try_timeout = Duration::from_secs(1);
        options.retry.tries = 2;
    })
    .await;
    harness.stripe.fail_next("POST", ApiFault::Hang);
    harness.stripe.fail_next("POST", ApiFault::Hang);
    let refused = harness.gateway.ensure_customer(PAYER, &metadata()).await;
    let error = refused.unwrap_err();
    let is_timeout = matches!(
        error,
        Error::Away {
            tries: 2,
            problem: Away::TimedOut
        }
    );
    assert!(is_timeout, "{error:?}");
    assert!(error.is_transient());
    let made = harness.gateway.ensure_customer(PAYER, &metadata()).await;
    made.unwrap();
    assert_eq!(harness.stripe.objects("customer").len(), 1);
}
