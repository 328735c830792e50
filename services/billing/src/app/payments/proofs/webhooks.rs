//! Webhooks as they come: twice, late, in any order, never, and from strangers.

use futures::future::join_all;
use kinora_mesh::secret::Secret;
use kinora_store::on_both_databases;
use kinora_testkit::stripe::{DeliveryState, PayOutcome, WebhookFaults, signature};
use serde_json::{Value, json};

use super::shop::{
    DAY, HOUR, MONTH, PACK, PLAN, PLANS, Shop, WEBHOOK_SECRET, payment_of, session_of,
};
use crate::app::testing::{refusal_of, user};
use crate::domain::payment::CheckoutState;
use crate::domain::refusal::Refusal;

const OTHER_SECRET: &str = "whsec_fedcba9876543210";

/// An event of a payment that somebody has made, and of which nothing was heard.
async fn untold(shop: &Shop) -> Value {
    let checkout = shop.checkout(&user("ada"), "a", PACK).await.expect("opens");
    shop.stripe.pay(session_of(&checkout), PayOutcome::Succeeds);
    let events = shop.stripe.objects("event").into_iter();
    let mut paid = events.filter(|event| event["type"] == "payment_intent.succeeded");
    paid.next().expect("it was paid")
}

on_both_databases! {
    async fn whatever_happens_to_webhooks_everything_is_heard_of(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        shop.stripe.set_webhook_faults(WebhookFaults {
            seed: 11,
            duplicate: 300,
            reorder: true,
            delay: 300,
            drop: 200,
            bad_signature: 100,
            stale: 100,
        });
        let people = ["ada", "ben", "cy", "dee", "eve", "fay"].map(user);
        for (number, caller) in people.iter().enumerate() {
            let item = if number % 2 == 0 { PLAN } else { PACK };
            let opened = shop.checkout(caller, "a", item).await.unwrap();
            shop.stripe.pay(session_of(&opened), PayOutcome::Succeeds);
        }
        // Within some days Stripe has tried everything that was refused once more.
        for _ in 0..3 {
            shop.pass(DAY).await;
            shop.app.catch_up().await.unwrap();
            shop.hear().await;
        }
        let payment = shop.receipts(&people[1].payer).await[0].id.clone();
        shop.stripe.refund(&payment, Some(333));
        shop.pass(MONTH).await;
        for _ in 0..3 {
            shop.pass(DAY).await;
            shop.app.catch_up().await.unwrap();
            shop.hear().await;
        }
        let deliveries = shop.stripe.deliveries();
        assert!(deliveries.iter().any(|it| it.state == DeliveryState::Dropped));
        assert!(deliveries.iter().any(|it| it.tries > 1));
        for (number, caller) in people.iter().enumerate() {
            let (available, plan, receipts) = match number {
                1 => (666_667, "none", 1),
                number if number % 2 == 0 => (1_500_000, "creator", 2),
                _ => (1_000_000, "none", 1),
            };
            assert_eq!(shop.sums(caller).await, (available, 0, 0), "{number}");
            assert_eq!(shop.plan_of(caller).await, plan);
            assert_eq!(shop.receipts(&caller.payer).await.len(), receipts);
        }
        shop.prove().await;
    }

    async fn who_is_told_nothing_asks(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        let ada = user("ada");
        untold(&shop).await;
        shop.handle().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        shop.pass(HOUR).await;
        shop.app.catch_up().await.unwrap();
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (1_000_000, 0, 0));
        let payment = shop.receipts(&ada.payer).await[0].id.clone();
        shop.stripe.refund(&payment, None);
        shop.pass(HOUR).await;
        shop.app.catch_up().await.unwrap();
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        shop.prove().await;
    }

    async fn what_is_not_signed_for_this_platform_leaves_nothing(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        let event = untold(&shop).await;
        let (body, now) = (event.to_string(), shop.stripe.now());
        let good = signature(&[WEBHOOK_SECRET], now, &body);
        let mut live = event.clone();
        live["livemode"] = json!(true);
        let live = live.to_string();
        let huge = format!("{body}{}", " ".repeat(1 << 20));
        let cases = [
            ("no signature", body.as_str(), String::new()),
            ("noise", &body, "t=x,v1=y".to_owned()),
            ("another secret", &body, signature(&["whsec_of_nobody_0000"], now, &body)),
            ("an old one", &body, signature(&[WEBHOOK_SECRET], now - 301, &body)),
            ("one of the future", &body, signature(&[WEBHOOK_SECRET], now + 301, &body)),
            ("another time than signed", &body, good.replace(&now.to_string(), &(now + 1).to_string())),
            ("another body than signed", &live, good.clone()),
            ("of real money", &live, signature(&[WEBHOOK_SECRET], now, &live)),
            ("no event", "{}", signature(&[WEBHOOK_SECRET], now, "{}")),
            ("too large", &huge, signature(&[WEBHOOK_SECRET], now, &huge)),
        ];
        for (name, body, signed) in cases {
            let refused = shop.app.receive_webhook(body.as_bytes(), &signed).await;
            assert_eq!(refusal_of(refused), Refusal::WebhookRefused, "{name}");
            assert_eq!(shop.events().await, [], "{name}");
        }
        shop.handle().await;
        assert_eq!(shop.transfers().await, []);
        shop.app.receive_webhook(body.as_bytes(), &good).await.unwrap();
        shop.hear().await;
        assert_eq!(shop.sums(&user("ada")).await, (1_000_000, 0, 0));
    }

    async fn both_secrets_are_good_while_one_is_changed(url: DatabaseUrl) {
        let loud = Shop::open(&url).await;
        let shop = Shop::beside_with(&loud.stripe, &url, PLANS, |options| {
            let other = Secret::new(OTHER_SECRET);
            options.payments.stripe_webhook_secrets.push(other);
        })
        .await;
        let event = untold(&shop).await;
        let (body, now) = (event.to_string(), shop.stripe.now());
        for secrets in [vec![WEBHOOK_SECRET], vec![OTHER_SECRET], vec!["whsec_of_nobody_0000", OTHER_SECRET]] {
            let signed = signature(&secrets, now, &body);
            shop.app.receive_webhook(body.as_bytes(), &signed).await.unwrap();
        }
        let signed = signature(&[OTHER_SECRET], now, &body);
        let refused = loud.app.receive_webhook(body.as_bytes(), &signed).await;
        assert_eq!(refusal_of(refused), Refusal::WebhookRefused);
        assert_eq!(shop.events().await.len(), 1);
    }

    async fn a_webhook_that_comes_fifty_times_at_once_is_kept_once(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        let event = untold(&shop).await;
        let taken = join_all((0..50).map(|_| shop.bring(&event))).await;
        assert!(taken.iter().all(Result::is_ok), "{taken:?}");
        assert_eq!(shop.events().await.len(), 1);
        shop.hear().await;
        shop.bring(&event).await.unwrap();
        let events = shop.events().await;
        assert_eq!(events.len(), 1);
        assert!(events[0].done_time.is_some(), "what was done is not done again");
        assert_eq!(shop.sums(&user("ada")).await, (1_000_000, 0, 0));
    }

    async fn what_nobody_needs_is_taken_and_not_kept(url: DatabaseUrl) {
        let shop = Shop::open(&url).await;
        shop.buy(&user("ada"), PACK).await;
        let kept = shop.events().await;
        assert!(!kept.is_empty());
        assert!(kept.iter().all(|event| !event.name.starts_with("customer.created")), "{kept:?}");
        let deliveries = shop.stripe.deliveries();
        assert!(deliveries.iter().any(|it| it.name == "customer.created"));
        assert!(deliveries.iter().all(|it| it.state == DeliveryState::Delivered));
    }

    // What is heard first is handled first, but it is the present state that counts.
    async fn a_webhook_that_is_late_changes_nothing(url: DatabaseUrl) {
        let shop = Shop::quiet(&url).await;
        let ada = user("ada");
        let paid = untold(&shop).await;
        shop.pass(HOUR).await;
        shop.app.catch_up().await.unwrap();
        shop.hear().await;
        let receipt = shop.receipts(&ada.payer).await[0].clone();
        shop.stripe.refund(payment_of(&receipt), None);
        shop.pass(HOUR).await;
        shop.app.catch_up().await.unwrap();
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        let mut late = paid.clone();
        late["id"] = json!("evt_late");
        shop.bring(&late).await.unwrap();
        shop.hear().await;
        assert_eq!(shop.sums(&ada).await, (0, 0, 0));
        assert_eq!(shop.sums_of(&receipt.id).await, (999, 999, 0, 1_000_000));
        let row = shop.checkout_row(receipt.checkout_id.unwrap()).await;
        assert_eq!(row.state, CheckoutState::Paid.code());
        shop.prove().await;
    }
}
