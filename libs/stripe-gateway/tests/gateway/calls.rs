//! Customers, prices, the portal, and what every call says of itself.

use kinora_mesh::secret::Secret;
use kinora_stripe_gateway::{Currency, Error, Gateway, Metadata, Offer, Period};
use kinora_testkit::stripe::FakeStripe;

use crate::harness::{DAY, Harness, PAYER, START, id, metadata, money, options, pack, plan};

#[tokio::test]
async fn calls_say_which_version_they_speak_and_makers_have_a_key() {
    let harness = Harness::start().await;
    harness.buy_pack().await;
    let requests = harness.stripe.requests();
    assert!(requests.len() >= 4, "{requests:?}");
    for request in requests {
        let version = request.version.as_deref();
        assert_eq!(version, Some(FakeStripe::API_VERSION));
        assert_eq!(
            request.key.is_some(),
            request.method == "POST",
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn a_payer_is_one_customer_however_often_it_is_asked_for() {
    let harness = Harness::start().await;
    let ensure = |payer: &'static str| {
        let gateway = &harness.gateway;
        async move { gateway.ensure_customer(payer, &metadata()).await.unwrap() }
    };
    let (first, second) = tokio::join!(ensure(PAYER), ensure(PAYER));
    assert_eq!(first, second);
    assert_ne!(first, ensure("org:1").await);
    let made = harness.stripe.object(first.as_str());
    assert_eq!(made["metadata"]["payer"], PAYER);
    assert_eq!(made["metadata"]["item"], "a [b] & c=d ü");
    assert_eq!(harness.stripe.objects("customer").len(), 2);

    // Stripe has forgotten the key, as the documentation says.
    harness.stripe.advance(DAY).await;
    assert_ne!(first, ensure(PAYER).await);
}

#[tokio::test]
async fn a_price_is_made_once_and_again_when_it_changes() {
    let harness = Harness::start().await;
    let gateway = &harness.gateway;
    let first = gateway.ensure_price(&plan()).await.unwrap();
    assert_eq!(gateway.ensure_price(&plan()).await.unwrap(), first);

    let mut dearer = plan();
    dearer.price = money(2999);
    let second = gateway.ensure_price(&dearer).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(gateway.ensure_price(&dearer).await.unwrap(), second);
    let (old, new) = (
        harness.stripe.object(first.as_str()),
        harness.stripe.object(second.as_str()),
    );
    assert_eq!(old["lookup_key"], serde_json::Value::Null);
    assert_eq!(new["lookup_key"], "plan-creator");
    assert_eq!(new["unit_amount"], 2999);
    assert_eq!(new["product"], old["product"], "the product stays");

    let mut yearly = dearer.clone();
    yearly.period = Some(Period::Year);
    let third = gateway.ensure_price(&yearly).await.unwrap();
    let made = harness.stripe.object(third.as_str());
    assert_eq!(made["recurring"]["interval"], "year");
}

#[tokio::test]
async fn prices_that_cannot_be_are_not_asked_for() {
    let harness = Harness::start().await;
    let refused = |change: fn(&mut Offer)| {
        let mut offer = pack();
        change(&mut offer);
        let gateway = harness.gateway.clone();
        async move { gateway.ensure_price(&offer).await.unwrap_err() }
    };
    let is_invalid = |error| matches!(error, Error::Invalid(_));
    assert!(is_invalid(refused(|it| it.price.amount = 0).await));
    assert!(is_invalid(refused(|it| it.price.amount = -1).await));
    assert!(is_invalid(refused(|it| it.key = String::new()).await));
    assert!(is_invalid(refused(|it| it.key = "a b".to_owned()).await));
    assert!(is_invalid(refused(|it| it.title = String::new()).await));
    let refused = refused(|it| it.price.currency = yen()).await;
    assert!(matches!(refused, Error::UnknownCurrency));
    assert!(harness.stripe.requests().is_empty());
}

fn yen() -> Currency {
    Currency::parse("jpy").expect("a currency")
}

#[tokio::test]
async fn the_portal_opens_for_a_customer_and_for_nobody_else() {
    let harness = Harness::start().await;
    let customer = harness.customer().await;
    let portal = |customer, key| {
        let back = "https://kinora.example.org/account";
        harness.gateway.create_portal(customer, back, key)
    };
    let url = portal(&customer, "portal-1").await.unwrap();
    assert!(url.starts_with(&harness.stripe.base_url()), "{url}");
    let missing = portal(&id("cus_of_nobody"), "portal-2").await.unwrap_err();
    assert!(matches!(missing, Error::Missing(_)), "{missing:?}");
    let nowhere = harness
        .gateway
        .create_portal(&customer, "javascript:alert(1)", "portal-3")
        .await;
    assert!(matches!(nowhere, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_key_that_stripe_does_not_know_is_said_so_and_not_repeated() {
    let stripe = FakeStripe::start(START).await;
    let mut options = options(stripe.base_url());
    options.secret_key = Secret::new("sk_test_of_somebody_else");
    let gateway = Gateway::new(&options).unwrap();
    let refused = gateway.ensure_customer(PAYER, &Metadata::new()).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::Unauthorized(_)));
    assert!(error.is_transient(), "an operator can mend it");
    let told = format!("{error} {error:?} {options:?}");
    assert!(!told.contains("somebody_else"), "{told}");
    assert_eq!(stripe.requests().len(), 1, "it is of no use to ask again");
}

#[tokio::test]
async fn keys_and_metadata_beyond_stripes_bounds_are_not_sent() {
    let harness = Harness::start().await;
    let customer = id("cus_1");
    for key in ["", "a b", "ü", &"k".repeat(256)] {
        let back = "https://kinora.example.org/";
        let refused = harness.gateway.create_portal(&customer, back, key).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{key}");
    }
    let long = Metadata::from([("n".to_owned(), "v".repeat(501))]);
    let refused = harness.gateway.ensure_customer(PAYER, &long).await;
    assert!(matches!(refused, Err(Error::Invalid(_))));
    assert!(harness.stripe.requests().is_empty());
}
