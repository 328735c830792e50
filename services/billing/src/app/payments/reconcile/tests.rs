use kinora_store::on_both_databases;
use uuid::Uuid;

use super::*;
use crate::app::payments::testing::{DAY, Kiosk};
use crate::app::testing::{time, user};

fn row(paid: i64, refunded: i64, disputed: i64) -> receipt::Model {
    receipt::Model {
        id: "pi_1".to_owned(),
        seq: Uuid::nil(),
        payer: format!("user:{}", Uuid::nil()),
        checkout_id: None,
        item: "pack:small".to_owned(),
        credits: 1000,
        grant_id: None,
        paid,
        refunded,
        disputed,
        currency: "usd".to_owned(),
        taken: 0,
        turns: 0,
        payment: Some("pi_1".to_owned()),
        subscription: None,
        invoice_number: None,
        invoice_url: None,
        create_time: time("2026-11-22T12:00:00Z"),
    }
}

fn moved(currency: &str, total: i64) -> Movements {
    Movements::of(vec![Moved {
        receipt: "pi_1".to_owned(),
        currency: currency.to_owned(),
        total,
    }])
}

fn problem(row: &receipt::Model, moved: &Movements, now: &str) -> Option<String> {
    problem_of_money(row, moved, time(now))
}

#[test]
fn money_is_compared_to_the_cent() {
    let later = "2026-11-23T12:00:00Z";
    assert_eq!(problem(&row(999, 99, 0), &moved("usd", 900), later), None);
    assert_eq!(problem(&row(999, 99, 900), &moved("usd", 0), later), None);
    let found = problem(&row(999, 0, 0), &moved("usd", 998), later).unwrap();
    assert!(
        found.contains("pi_1") && found.contains("999 usd") && found.contains("998"),
        "{found}"
    );
    let other = problem(&row(999, 0, 0), &moved("eur", 1), later);
    assert_eq!(other, None, "another currency cannot be compared");
}

#[test]
fn money_that_is_not_listed_yet_is_waited_for() {
    let none = Movements::of(Vec::new());
    let paid = row(999, 0, 0);
    assert_eq!(problem(&paid, &none, "2026-11-22T12:59:59Z"), None);
    assert!(problem(&paid, &none, "2026-11-22T13:00:00Z").is_some());
    let wrong = problem(&paid, &moved("usd", 1), "2026-11-22T12:00:01Z");
    assert!(wrong.is_some(), "what is listed is compared at once");
}

#[test]
fn credits_go_with_the_money() {
    let taken = |taken, row| problem_of_credits(&receipt::Model { taken, ..row });
    assert_eq!(taken(0, row(1000, 0, 0)), None);
    assert_eq!(taken(300, row(1000, 100, 200)), None);
    assert_eq!(taken(0, row(0, 0, 0)), None, "nothing was paid");
    assert!(
        taken(0, row(1000, 1, 0))
            .unwrap()
            .contains("and 1 should have been")
    );
    assert!(taken(1, row(1000, 0, 0)).is_some());
}

on_both_databases! {
    async fn what_no_webhook_brought_is_found_once(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let ada = user("ada");
        kiosk.pay(&ada, "pack:small").await;
        assert_eq!(kiosk.sums(&ada).await, (0, 0, 0));
        assert!(kiosk.hear().await > 0);
        assert_eq!(kiosk.sums(&ada).await, (1_000_000, 0, 0));
        assert_eq!(kiosk.hear().await, 0);
        assert_eq!(kiosk.sums(&ada).await, (1_000_000, 0, 0));
        kiosk.check().await;
    }

    async fn what_was_broken_off_goes_on(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let ada = user("ada");
        kiosk.pay(&ada, "pack:small").await;
        kiosk.pass(DAY).await;
        kiosk.stripe.fail_next("GET", kinora_testkit::stripe::ApiFault::Say {
            status: 400,
            body: String::new(),
        });
        kiosk.app.catch_up().await.unwrap_err();
        kiosk.hear().await;
        assert_eq!(kiosk.sums(&ada).await, (1_000_000, 0, 0));
    }

    async fn all_that_was_paid_given_back_and_disputed_adds_up(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let (ada, ben) = (user("ada"), user("ben"));
        let pack = kiosk.buy(&ada, "pack:small").await;
        kiosk.buy(&ben, "plan:creator").await;
        kiosk.pass(DAY * 40).await;
        kiosk.stripe.refund(&pack.id, Some(99));
        let other = kiosk.buy(&ada, "pack:small").await;
        kiosk.stripe.open_dispute(&other.id);
        let found = kiosk.compare().await;
        assert_eq!(found.problems, Vec::<String>::new());
        assert_eq!(found.movements, 6);
        assert_eq!(found.waiting_events, 0);
        assert_eq!(kiosk.compare().await.missed_events, 0);
        kiosk.check().await;
    }

    async fn a_receipt_that_was_meddled_with_is_found(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        kiosk.buy(&user("ada"), "pack:small").await;
        kiosk.pass(DAY).await;
        assert_eq!(kiosk.compare().await.problems, Vec::<String>::new());
        for (sql, undo, problem) in [
            ("UPDATE receipts SET paid = 1000", "UPDATE receipts SET paid = 999", "by the receipt 1000 usd are here, by Stripe's movements 999"),
            ("UPDATE receipts SET refunded = 9", "UPDATE receipts SET refunded = 0", "by the receipt 990 usd are here"),
            ("UPDATE receipts SET disputed = 9", "UPDATE receipts SET disputed = 0", "is not what its disputes say"),
            ("UPDATE receipts SET credits = 999999", "UPDATE receipts SET credits = 1000000", "are not what its grant was given"),
            ("UPDATE receipts SET taken = 1", "UPDATE receipts SET taken = 0", "are not what its transfers took"),
            ("UPDATE receipts SET taken = 1", "UPDATE receipts SET taken = 0", "1 credits were taken back, and 0 should have been"),
            ("UPDATE stripe_movements SET amount = 998", "UPDATE stripe_movements SET amount = 999", "by Stripe's movements 998"),
        ] {
            kiosk.meddle(sql).await;
            let found = kiosk.compare().await.problems;
            assert!(found.iter().any(|it| it.contains(problem)), "{sql}: {found:?}");
            kiosk.meddle(undo).await;
            assert_eq!(kiosk.compare().await.problems, Vec::<String>::new(), "{undo}");
        }
    }

    async fn money_of_others_is_not_drift(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        kiosk.buy(&user("ada"), "pack:small").await;
        let payment = kiosk.pay_another_shop().await;
        let refund = kiosk.stripe.refund(&payment, Some(1));
        kiosk.pass(DAY).await;
        let found = kiosk.compare().await;
        assert_eq!(found.problems, Vec::<String>::new());
        assert_eq!((found.movements, found.waiting_events), (1, 0));
        let sources = kiosk.sources_of_nobody().await;
        assert_eq!(sources.len(), 2, "{sources:?}");
        assert!(sources.contains(&refund));
    }

    async fn an_event_that_cannot_be_handled_is_told(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let ada = user("ada");
        kiosk.pay(&ada, "pack:small").await;
        kiosk.meddle("DELETE FROM checkouts").await;
        kiosk.hear().await;
        kiosk.pass(DAY).await;
        let found = kiosk.compare().await;
        assert!(found.waiting_events > 0);
        assert!(found.problems.iter().any(|it| it.contains("waits since")), "{found:?}");
        assert!(found.problems.iter().any(|it| it.contains("which is not there")), "{found:?}");
    }
}
