use std::collections::BTreeMap;

use kinora_store::on_both_databases;
use kinora_stripe_gateway::{Currency, InvoiceReason, Money};
use uuid::Uuid;

use super::*;
use crate::app::testing::{TestApp, amount, time, user};

fn money(amount: i64) -> Money {
    let currency = Currency::parse("usd").unwrap();
    Money { amount, currency }
}

fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

fn line(amount: i64, is_proration: bool, (start, end): (&str, &str)) -> InvoiceLine {
    InvoiceLine {
        amount: money(amount),
        price: Some(id("price_1")),
        start: time(start),
        end: time(end),
        is_proration,
    }
}

fn whole(amount: i64) -> InvoiceLine {
    line(
        amount,
        false,
        ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
    )
}

fn invoice() -> Invoice {
    Invoice {
        id: id("in_1"),
        state: InvoiceState::Paid,
        reason: InvoiceReason::SubscriptionGoesOn,
        customer: None,
        subscription: Some(id("sub_1")),
        total: money(999),
        paid: money(999),
        lines: Vec::new(),
        payments: Vec::new(),
        number: None,
        url: None,
        metadata: BTreeMap::new(),
        created: time("2026-11-01T00:00:00Z"),
        paid_at: None,
    }
}

/// Of a plan that is in no file any more.
fn checkout() -> checkout::Model {
    checkout::Model {
        id: Uuid::from_u128(7),
        payer: user("ada").payer.to_string(),
        user_id: user("ada").user,
        item: "plan:early".to_owned(),
        credits: 700,
        valid_days: 0,
        price: 500,
        currency: "usd".to_owned(),
        state: 3,
        session: None,
        url: None,
        create_time: time("2026-10-01T00:00:00Z"),
        expire_time: None,
    }
}

fn price(offer: Option<&str>, amount: Option<i64>) -> Price {
    (offer.map(ToOwned::to_owned), amount)
}

#[test]
fn credits_end_with_the_last_period_of_the_invoice() {
    let now = time("2026-11-22T12:00:00Z");
    assert_eq!(end_of(&[], now), None);
    let part = line(5, true, ("2026-11-20T00:00:00Z", "2026-12-20T00:00:00Z"));
    let end = end_of(&[part, whole(999)], now);
    assert_eq!(end, Some(time("2026-12-20T00:00:00Z")));
    let late = end_of(&[whole(999)], time("2026-12-02T00:00:00Z"));
    assert_eq!(late, Some(time("2027-01-01T00:00:00Z")));
}

on_both_databases! {
    async fn a_line_is_for_the_plan_of_its_price(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (invoice, checkout) = (invoice(), checkout());
        let read = |line: &InvoiceLine, price: Price| {
            test.app.line_of_plan(&invoice, line, price, &checkout)
        };
        let (name, known) = read(&whole(999), price(Some("plan:creator"), Some(999))).unwrap().unwrap();
        assert_eq!((name.as_str(), known.monthly, known.is_part), ("creator", amount(1_500_000), false));
        let (name, sold) = read(&whole(500), price(Some("plan:early"), None)).unwrap().unwrap();
        assert_eq!((name.as_str(), sold.monthly), ("early", amount(700)), "as it was sold");
        let gone = read(&whole(999), price(Some("plan:gone"), Some(999)));
        assert!(matches!(gone, Err(Error::Payment(problem)) if problem.contains("`gone`")));
        for other in [None, Some("pack:small"), Some("a fee")] {
            assert_eq!(read(&whole(999), price(other, Some(999))).unwrap(), None, "{other:?}");
        }
        let part = line(-500, true, ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"));
        let (_, part_of) = read(&part, price(Some("plan:creator"), Some(999))).unwrap().unwrap();
        assert_eq!((part_of.price, part_of.amount, part_of.is_part), (999, -500, true));
        for unpriced in [None, Some(0)] {
            let refused = read(&part, price(Some("plan:creator"), unpriced));
            assert!(matches!(refused, Err(Error::Payment(_))));
        }
    }
}
