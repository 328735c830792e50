use kinora_store::on_both_databases;
use kinora_stripe_gateway::{Currency, Event, EventKind};
use sea_orm::{EntityTrait, IntoActiveModel};

use super::*;
use crate::app::testing::{TestApp, amount, user};
use crate::domain::payment::Item;
use crate::store::entity::payments::{checkout, event};

/// Ada's.
const CHECKOUT: Uuid = Uuid::from_u128(7);

async fn with_checkout(url: &kinora_store::DatabaseUrl) -> TestApp {
    let test = TestApp::on(url).await;
    let now = test.app.now();
    let row = checkout::Model {
        id: CHECKOUT,
        payer: user("ada").payer.to_string(),
        user_id: user("ada").user,
        item: Item::Pack("small".to_owned()).to_string(),
        credits: 900,
        valid_days: 0,
        price: 1_000,
        currency: "usd".to_owned(),
        state: CheckoutState::Processing.code(),
        session: None,
        url: None,
        create_time: now,
        expire_time: None,
    };
    let tx = test.app.store.begin().await.unwrap();
    checkout::Entity::insert(row.into_active_model())
        .exec_without_returning(&tx)
        .await
        .unwrap();
    let event = Event {
        id: ObjectId::parse("evt_1").unwrap(),
        kind: EventKind::Payment,
        name: "payment_intent.succeeded".to_owned(),
        object: ObjectId::parse("pi_1").ok(),
        created: now,
        is_live: false,
    };
    assert!(stripe_events::insert(&tx, &event, now).await.unwrap());
    tx.commit().await.unwrap();
    test
}

fn money(amount: i64, currency: &str) -> Money {
    let currency = Currency::parse(currency).unwrap();
    Money { amount, currency }
}

fn facts(test: &TestApp, credits: i64, refunded: i64) -> Facts {
    Facts {
        id: ObjectId::parse("pi_1").unwrap(),
        payer: user("ada").payer,
        paid: money(1_000, "usd"),
        refunded,
        payment: ObjectId::parse("pi_1").ok(),
        invoice_number: None,
        invoice_url: None,
        sale: Some(Sale {
            checkout: CHECKOUT,
            item: "pack:small".to_owned(),
            credits: amount(credits),
            expires_at: None,
            subscription: None,
            user: Some(user("ada").user),
            time: test.app.now(),
        }),
    }
}

fn events() -> Vec<String> {
    vec!["evt_1".to_owned()]
}

async fn written(test: &TestApp, facts: &Facts, read: i64) -> bool {
    let seen = test
        .app
        .write_receipt(facts, read, &events())
        .await
        .unwrap();
    matches!(seen, Seen::Ours(Some(id)) if id == "pi_1")
}

async fn receipt_of(test: &TestApp) -> Option<receipt::Model> {
    receipts::find(test.app.store.reader(), "pi_1")
        .await
        .unwrap()
}

async fn state_of_checkout(test: &TestApp) -> i16 {
    let found = checkouts::find(test.app.store.reader(), CHECKOUT).await;
    found.unwrap().unwrap().state
}

async fn is_handled(test: &TestApp) -> bool {
    let found = event::Entity::find_by_id("evt_1")
        .one(test.app.store.reader())
        .await;
    found.unwrap().unwrap().done_time.is_some()
}

on_both_databases! {
    async fn of_many_replicas_one_gives_the_credits(url: DatabaseUrl) {
        let test = with_checkout(&url).await;
        let mut replicas = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let (app, facts) = (test.app.clone(), facts(&test, 900, 0));
            replicas.spawn(async move {
                let seen = app.write_receipt(&facts, 0, &events()).await.unwrap();
                matches!(seen, Seen::Ours(_))
            });
        }
        let first = replicas.join_all().await.into_iter().filter(|it| *it);
        assert_eq!(first.count(), 1);
        assert_eq!(test.sums(&user("ada")).await, (900, 0, 0));
        assert_eq!(state_of_checkout(&test).await, CheckoutState::Paid.code());
        assert!(is_handled(&test).await);
        // Somebody else looks later.
        assert!(written(&test, &facts(&test, 900, 0), 1).await);
        assert_eq!(test.sums(&user("ada")).await, (900, 0, 0));
        test.check().await;
    }

    async fn what_is_older_is_not_written_over_what_is_newer(url: DatabaseUrl) {
        let test = with_checkout(&url).await;
        assert!(written(&test, &facts(&test, 900, 500), 0).await);
        assert!(!written(&test, &facts(&test, 900, 0), 0).await);
        let row = receipt_of(&test).await.unwrap();
        assert_eq!((row.refunded, row.taken), (500, 450));
        assert_eq!(test.sums(&user("ada")).await, (450, 0, 0));
        test.check().await;
    }

    async fn what_was_bought_is_decided_once(url: DatabaseUrl) {
        let test = with_checkout(&url).await;
        assert!(written(&test, &facts(&test, 900, 0), 0).await);
        let mut later = facts(&test, 5_000, 0);
        (later.invoice_number, later.payment) = (Some("K".repeat(120)), None);
        assert!(written(&test, &later, 1).await);
        let mut latest = facts(&test, 5_000, 0);
        latest.sale = None;
        assert!(written(&test, &latest, 2).await);
        let row = receipt_of(&test).await.unwrap();
        assert_eq!((row.credits, row.payment.as_deref()), (900, Some("pi_1")));
        assert_eq!(row.invoice_number, Some("K".repeat(100)), "as it was told before");
        assert_eq!(test.sums(&user("ada")).await, (900, 0, 0));
    }

    async fn what_does_not_fit_changes_nothing(url: DatabaseUrl) {
        let test = with_checkout(&url).await;
        let huge = facts(&test, Credits::LARGEST_AMOUNT.get() + 1, 0);
        let refused = test.app.write_receipt(&huge, 0, &events()).await;
        assert!(matches!(refused, Err(Error::Refused(_))));
        assert_eq!(receipt_of(&test).await, None);
        assert!(!is_handled(&test).await);
        assert_eq!(state_of_checkout(&test).await, CheckoutState::Processing.code());
        assert!(written(&test, &facts(&test, 900, 0), 0).await, "the revision is the same");
        let mut other = facts(&test, 900, 0);
        other.paid = money(1_000, "eur");
        let refused = test.app.write_receipt(&other, 1, &[]).await;
        assert!(matches!(refused, Err(Error::Payment(_))));
        assert_eq!(receipt_of(&test).await.unwrap().currency, "usd");
    }

    async fn a_payment_without_credits_has_a_receipt_and_no_grant(url: DatabaseUrl) {
        let test = with_checkout(&url).await;
        assert!(written(&test, &facts(&test, 0, 1_000), 0).await);
        let row = receipt_of(&test).await.unwrap();
        assert_eq!((row.credits, row.grant_id, row.paid, row.taken), (0, None, 1_000, 0));
        assert_eq!(test.transfers().await.len(), 0);
    }

    async fn a_dispute_that_is_known_counts_when_the_receipt_comes_later(url: DatabaseUrl) {
        let test = with_checkout(&url).await;
        let tx = test.app.store.begin().await.unwrap();
        let dispute = crate::store::entity::payments::dispute::Model {
            id: "dp_1".to_owned(),
            payer: user("ada").payer.to_string(),
            receipt: "pi_1".to_owned(),
            state: crate::domain::payment::DisputeStanding::AtBank.code(),
            amount: 400,
            currency: "usd".to_owned(),
            reason: "fraudulent".to_owned(),
            is_settled: false,
            create_time: test.app.now(),
        };
        disputes::put(&tx, dispute).await.unwrap();
        tx.commit().await.unwrap();
        assert!(written(&test, &facts(&test, 900, 100), 0).await);
        let row = receipt_of(&test).await.unwrap();
        assert_eq!((row.refunded, row.disputed, row.taken), (100, 400, 450));
        test.check().await;
    }
}
