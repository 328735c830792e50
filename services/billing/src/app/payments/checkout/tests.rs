//! Opening checkouts, at a Stripe of a test's own.

use kinora_store::on_both_databases;
use sea_orm::EntityTrait;

use super::*;
use crate::app::payments::testing::{DAY, Kiosk};
use crate::app::testing::{TestApp, member, refusal_of, user};

const ID: Uuid = Uuid::from_u128(7);

#[test]
fn a_request_id_names_a_checkout_of_its_payer() {
    let (anna, acme) = (Payer::User(ID), Payer::Organisation(ID));
    assert_eq!(checkout_id(&anna, "a"), checkout_id(&anna, "a"));
    assert_ne!(checkout_id(&anna, "a"), checkout_id(&anna, "b"));
    assert_ne!(checkout_id(&anna, "a"), checkout_id(&acme, "a"));
}

#[test]
fn a_checkout_goes_on_while_it_can_be_paid() {
    let opened: Time = "2026-11-22T12:00:00Z".parse().unwrap();
    let item = Item::Pack("small".to_owned());
    let goods = Goods {
        title: "Small".to_owned(),
        credits: Credits::new(5).unwrap(),
        valid_days: 0,
        price_cents: 999,
        currency: "usd".to_owned(),
    };
    let caller = Caller {
        user: ID,
        payer: Payer::User(ID),
        may_decide: true,
    };
    let mut row = new_row(ID, &caller, &item, goods, opened);
    let after =
        |row: &checkout::Model, hours| must_go_on(row, &item, opened + TimeDelta::hours(hours));
    assert_eq!(after(&row, 22), Ok(()));
    assert_eq!(
        after(&row, 23),
        Err(Refusal::CheckoutOver),
        "never answered"
    );
    row.expire_time = Some(opened + TimeDelta::hours(24));
    assert_eq!(after(&row, 23), Ok(()));
    assert_eq!(after(&row, 24), Err(Refusal::CheckoutOver), "closed");
    for (state, expected) in [
        (CheckoutState::Processing, Ok(())),
        (CheckoutState::Paid, Err(Refusal::CheckoutOver)),
        (CheckoutState::Expired, Err(Refusal::CheckoutOver)),
    ] {
        row.state = state.code();
        assert_eq!(after(&row, 1), expected, "{state:?}");
    }
    let other = must_go_on(&row, &Item::Plan("small".to_owned()), opened);
    assert_eq!(other, Err(Refusal::RequestIdReused));
}

/// A checkout under a request id.
async fn open(
    kiosk: &Kiosk,
    caller: &Caller,
    id: &str,
    item: &str,
) -> Result<checkout::Model, Error> {
    let item = item.parse().expect("an item");
    kiosk.app.create_checkout(caller, id, &item).await
}

on_both_databases! {
    async fn the_same_request_is_answered_with_the_same_page(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let anna = user("anna");
        let first = open(&kiosk, &anna, "a", "pack:small").await.expect("opens");
        let again = open(&kiosk, &anna, "a", "pack:small").await.expect("answers");
        assert_eq!(first, again);
        assert_eq!(kiosk.stripe.objects("checkout.session").len(), 1);
        let other = open(&kiosk, &anna, "a", "plan:creator").await;
        assert_eq!(refusal_of(other), Refusal::RequestIdReused);
        let of_ben = open(&kiosk, &user("ben"), "a", "pack:small").await.expect("opens");
        assert_ne!(of_ben.session, first.session);
        let seen = kiosk.app.checkout(&anna.payer, of_ben.id).await;
        assert_eq!(refusal_of(seen), Refusal::CheckoutNotFound);
        assert_eq!(kiosk.app.checkout(&anna.payer, first.id).await.expect("reads"), first);
    }

    async fn a_page_says_what_it_sells_and_leads_back_to_the_operator(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let row = open(&kiosk, &user("anna"), "a", "pack:small").await.expect("opens");
        assert_eq!((row.credits, row.price, row.currency.as_str()), (1_000_000, 999, "usd"));
        let page = kiosk.stripe.object(row.session.as_deref().expect("a session"));
        let id = row.id.to_string();
        assert_eq!(page["client_reference_id"], id.as_str());
        assert_eq!((page["amount_total"].as_i64(), page["mode"].as_str()), (Some(999), Some("payment")));
        let written = &page["metadata"];
        assert_eq!(written[metadata::PAYER], row.payer.as_str());
        assert_eq!(written[metadata::CHECKOUT], id.as_str());
        assert_eq!(written[metadata::ITEM], "pack:small");
        let back = format!("https://kinora.example.org/paid?checkout={id}&outcome=");
        assert_eq!(page["success_url"], format!("{back}paid"));
        assert_eq!(page["cancel_url"], format!("{back}left"));
        let plan = open(&kiosk, &user("anna"), "b", "plan:creator").await.expect("opens");
        let page = kiosk.stripe.object(plan.session.as_deref().expect("a session"));
        assert_eq!(page["mode"], "subscription");
    }

    async fn a_page_that_is_paid_or_closed_is_over(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let anna = user("anna");
        kiosk.buy(&anna, "pack:small").await;
        let rows = checkouts_of(&kiosk).await;
        assert_eq!(rows[0].state, CheckoutState::Paid.code());
        open(&kiosk, &anna, "left", "pack:small").await.expect("opens");
        kiosk.pass(DAY).await;
        // Nobody has said yet that it is closed.
        let late = open(&kiosk, &anna, "left", "pack:small").await;
        assert_eq!(refusal_of(late), Refusal::CheckoutOver);
    }

    async fn only_what_is_for_sale_is_sold_and_to_who_may_buy(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let anna = user("anna");
        for (item, expected) in [
            ("pack:gone", Refusal::PackUnknown),
            ("plan:gone", Refusal::PlanUnknown),
            ("plan:none", Refusal::PlanFree),
        ] {
            assert_eq!(refusal_of(open(&kiosk, &anna, "a", item).await), expected, "{item}");
        }
        let helper = member("acme", "anna", false);
        let refused = open(&kiosk, &helper, "a", "pack:small").await;
        assert_eq!(refusal_of(refused), Refusal::RoleInsufficient);
        let owner = member("acme", "ben", true);
        let row = open(&kiosk, &owner, "a", "pack:small").await.expect("opens");
        assert_eq!((row.payer, row.user_id), (owner.payer.to_string(), owner.user));
        let frozen = kiosk.app.set_frozen(ID, &anna.payer, true, "a test").await;
        frozen.expect("freezes");
        let refused = open(&kiosk, &anna, "a", "pack:small").await;
        assert_eq!(refusal_of(refused), Refusal::PayerFrozen);
        assert_eq!(kiosk.stripe.objects("checkout.session").len(), 1);
    }

    async fn who_pays_for_a_plan_gets_no_second_one(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let anna = user("anna");
        kiosk.buy(&anna, "plan:creator").await;
        let second = open(&kiosk, &anna, "b", "plan:creator").await;
        assert_eq!(refusal_of(second), Refusal::PlanPaid);
        open(&kiosk, &anna, "c", "pack:small").await.expect("packs can be bought");
        let listed = kiosk.app.subscriptions(&anna.payer).await.expect("reads");
        assert_eq!(listed.len(), 1);
        let (receipts, next) = kiosk.app.receipts(Some(&anna.payer), 1, "").await.expect("reads");
        assert_eq!((receipts.len(), next.as_str()), (1, ""));
    }

    async fn a_row_that_stripe_was_not_told_of_goes_on_as_it_was_offered(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let (anna, item) = (user("anna"), Item::Pack("small".to_owned()));
        let begun = kiosk.app.begin_checkout(&anna, "a", &item).await.expect("begins");
        assert_eq!(begun.session, None);
        kiosk.meddle("UPDATE checkouts SET price = 500").await;
        let row = open(&kiosk, &anna, "a", "pack:small").await.expect("goes on");
        assert_eq!((row.id, row.price), (begun.id, 500));
        let page = kiosk.stripe.object(row.session.as_deref().expect("a session"));
        assert_eq!(page["amount_total"], 500);
    }

    async fn an_hour_has_room_for_twenty_pages(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let (anna, item) = (user("anna"), Item::Pack("small".to_owned()));
        for id in 0..MOST_OPENED {
            let begun = kiosk.app.begin_checkout(&anna, &id.to_string(), &item).await;
            begun.expect("begins");
        }
        let more = open(&kiosk, &anna, "more", "pack:small").await;
        assert!(matches!(more, Err(Error::Throttled { .. })));
        open(&kiosk, &anna, "0", "pack:small").await.expect("those that are there go on");
        open(&kiosk, &user("ben"), "more", "pack:small").await.expect("others go on");
        kiosk.clock.advance(WINDOW);
        open(&kiosk, &anna, "more", "pack:small").await.expect("an hour later");
    }

    async fn a_customer_that_was_deleted_is_made_anew(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let anna = user("anna");
        assert_eq!(refusal_of(kiosk.app.create_portal(&anna).await), Refusal::NothingBought);
        open(&kiosk, &anna, "a", "pack:small").await.expect("opens");
        let portal = kiosk.app.create_portal(&anna).await.expect("opens");
        assert!(portal.starts_with("http"), "{portal}");
        kiosk.meddle("UPDATE stripe_customers SET customer = 'cus_gone'").await;
        let refused = open(&kiosk, &anna, "b", "pack:small").await;
        assert_eq!(refusal_of(refused), Refusal::CheckoutOver);
        open(&kiosk, &anna, "c", "pack:small").await.expect("opens");
        kiosk.meddle("UPDATE stripe_customers SET customer = 'cus_gone'").await;
        assert_eq!(refusal_of(kiosk.app.create_portal(&anna).await), Refusal::NothingBought);
    }

    async fn who_takes_no_money_sells_nothing(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, item) = (user("anna"), Item::Pack("small".to_owned()));
        assert!(test.app.packs_on_sale().is_empty());
        let refused = test.app.create_checkout(&anna, "a", &item).await;
        assert_eq!(refusal_of(refused), Refusal::PaymentsDisabled);
        assert_eq!(refusal_of(test.app.create_portal(&anna).await), Refusal::PaymentsDisabled);
        let (receipts, _) = test.app.receipts(Some(&anna.payer), 0, "").await.expect("reads");
        assert!(receipts.is_empty());
    }
}

async fn checkouts_of(kiosk: &Kiosk) -> Vec<checkout::Model> {
    let rows = checkout::Entity::find().all(kiosk.app.store.reader()).await;
    rows.expect("reads")
}
