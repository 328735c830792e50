//! Checkouts, from the click to the receipt.

use kinora_stripe_gateway::{
    Checkout, Error, InvoiceReason, InvoiceState, Metadata, PaymentState, PurchaseKind,
    PurchaseState,
};
use kinora_testkit::stripe::PayOutcome;

use crate::harness::{DAY, Harness, START, id, metadata, money, pack, plan, time};

#[tokio::test]
async fn a_pack_is_opened_paid_and_read_back() {
    let harness = Harness::start().await;
    let customer = harness.customer().await;
    let checkout = harness.open(&pack(), &customer, "key-1").await;
    assert!(checkout.url.contains(checkout.id.as_str()));
    assert_eq!(checkout.expires_at, time(START) + DAY);

    let open = harness.gateway.fetch_purchase(&checkout.id).await.unwrap();
    assert_eq!(open.state, PurchaseState::Open);
    assert_eq!((open.payment, open.invoice), (None, None));

    harness
        .stripe
        .pay(checkout.id.as_str(), PayOutcome::Succeeds);
    let paid = harness.gateway.fetch_purchase(&checkout.id).await.unwrap();
    assert_eq!(
        (paid.kind, paid.state),
        (PurchaseKind::Pack, PurchaseState::Paid)
    );
    assert_eq!(paid.total, money(999));
    assert_eq!(paid.customer, Some(customer.clone()));
    assert_eq!(paid.reference.as_deref(), Some("purchase-1"));
    assert_eq!(paid.metadata, metadata());
    assert_eq!((paid.subscription, paid.created), (None, time(START)));

    let payment_id = paid.payment.unwrap();
    let payment = harness.gateway.fetch_payment(&payment_id).await.unwrap();
    assert_eq!(payment.state, PaymentState::Succeeded);
    assert_eq!((payment.amount, payment.received), (money(999), money(999)));
    assert_eq!(payment.metadata, metadata());
    assert_eq!(payment.customer, Some(customer));
    let charge = harness.gateway.fetch_charge(&payment.charge.unwrap()).await;
    let charge = charge.unwrap();
    assert_eq!((charge.amount, charge.refunded), (money(999), money(0)));
    assert_eq!(
        (charge.state, charge.is_disputed),
        (PaymentState::Succeeded, false)
    );
    assert_eq!(charge.payment.as_ref(), Some(&payment_id));
}

#[tokio::test]
async fn a_pack_has_an_invoice_that_its_payment_leads_to() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let invoice_id = harness.gateway.find_invoice(&payment).await.unwrap();
    let invoice_id = invoice_id.unwrap();
    let invoice = harness.gateway.fetch_invoice(&invoice_id).await.unwrap();
    assert_eq!(invoice.state, InvoiceState::Paid);
    assert_eq!(
        (invoice.reason, invoice.subscription),
        (InvoiceReason::Manual, None)
    );
    assert_eq!((invoice.total, invoice.paid), (money(999), money(999)));
    assert_eq!(invoice.payments, [payment]);
    assert_eq!(invoice.paid_at, Some(time(START)));
    assert!(invoice.number.is_some() && invoice.url.is_some());
    let none = harness.gateway.find_invoice(&id("pi_of_nobody")).await;
    assert_eq!(none.unwrap(), None);
}

#[tokio::test]
async fn a_subscription_is_bought_and_read_back() {
    let harness = Harness::start().await;
    let customer = harness.customer().await;
    let checkout = harness.open(&plan(), &customer, "key-1").await;
    harness
        .stripe
        .pay(checkout.id.as_str(), PayOutcome::Succeeds);
    let paid = harness.gateway.fetch_purchase(&checkout.id).await.unwrap();
    assert_eq!(paid.kind, PurchaseKind::Subscription);
    assert_eq!((paid.state, paid.total), (PurchaseState::Paid, money(1999)));
    assert!(paid.subscription.is_some() && paid.invoice.is_some());
}

#[tokio::test]
async fn a_declined_card_leaves_the_checkout_open() {
    let harness = Harness::start().await;
    let customer = harness.customer().await;
    let checkout = harness.open(&pack(), &customer, "key-1").await;
    harness
        .stripe
        .pay(checkout.id.as_str(), PayOutcome::Declined);
    let declined = harness.gateway.fetch_purchase(&checkout.id).await.unwrap();
    assert_eq!(declined.state, PurchaseState::Open);
    let payment = harness
        .gateway
        .fetch_payment(&declined.payment.unwrap())
        .await;
    let payment = payment.unwrap();
    assert_eq!(
        (payment.state, payment.received),
        (PaymentState::Pending, money(0))
    );

    harness
        .stripe
        .pay(checkout.id.as_str(), PayOutcome::Succeeds);
    let paid = harness.gateway.fetch_purchase(&checkout.id).await.unwrap();
    assert_eq!(paid.state, PurchaseState::Paid);
}

#[tokio::test]
async fn a_payment_that_takes_days_is_pending_until_the_bank_has_decided() {
    for (succeeds, state) in [(true, PurchaseState::Paid), (false, PurchaseState::Pending)] {
        let harness = Harness::start().await;
        let customer = harness.customer().await;
        let checkout = harness.open(&pack(), &customer, "key-1").await;
        harness
            .stripe
            .pay(checkout.id.as_str(), PayOutcome::TakesDays);
        let pending = harness.gateway.fetch_purchase(&checkout.id).await.unwrap();
        assert_eq!(pending.state, PurchaseState::Pending);
        harness.stripe.settle(checkout.id.as_str(), succeeds);
        let settled = harness.gateway.fetch_purchase(&checkout.id).await.unwrap();
        assert_eq!(settled.state, state);
    }
}

#[tokio::test]
async fn a_checkout_that_nobody_pays_expires() {
    let harness = Harness::start().await;
    let customer = harness.customer().await;
    let checkout = harness.open(&pack(), &customer, "key-1").await;
    harness.stripe.advance(DAY).await;
    let expired = harness.gateway.fetch_purchase(&checkout.id).await.unwrap();
    assert_eq!(expired.state, PurchaseState::Expired);
}

#[tokio::test]
async fn what_cannot_be_sold_is_refused() {
    let harness = Harness::start().await;
    let customer = harness.customer().await;
    let price = harness.gateway.ensure_price(&plan()).await.unwrap();
    let good = Checkout {
        kind: PurchaseKind::Subscription,
        customer: &customer,
        price: &price,
        reference: "purchase-1",
        metadata: &Metadata::new(),
        success_url: "https://kinora.example.org/",
        cancel_url: "https://kinora.example.org/",
    };
    let other_mode = Checkout {
        kind: PurchaseKind::Pack,
        ..good
    };
    let refused = harness.gateway.create_checkout(&other_mode, "key-1").await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    let unknown = id("cus_of_nobody");
    let of_nobody = Checkout {
        customer: &unknown,
        ..good
    };
    let refused = harness.gateway.create_checkout(&of_nobody, "key-2").await;
    assert!(matches!(refused, Err(Error::Missing(_))), "{refused:?}");
    for (reference, success_url) in [
        ("", "https://kinora.example.org/"),
        ("a b", "https://kinora.example.org/"),
        ("purchase-1", "javascript:alert(1)"),
        ("purchase-1", "/paid"),
    ] {
        let checkout = Checkout {
            reference,
            success_url,
            ..good
        };
        let refused = harness.gateway.create_checkout(&checkout, "key-3").await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    assert!(harness.stripe.objects("checkout.session").is_empty());
}
