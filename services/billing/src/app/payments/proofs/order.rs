//! A thousand events, in any order, several times, and by two replicas at once: the end is the same.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use kinora_store::DatabaseUrl;
use kinora_testkit::postgres::TestPostgres;
use kinora_testkit::stripe::{FakeStripe, PayOutcome};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::Value;

use super::shop::{DAY, HOUR, LARGE_PLAN, MONTH, PACK, PLAN, PLANS, Shop, payment_of, session_of};
use crate::app::Adjustment;
use crate::app::testing::{id_of, member, user};
use crate::domain::caller::Caller;
use crate::domain::payment::CheckoutState;
use crate::store::entity::payments::{checkout, customer, receipt};

const PEOPLE: usize = 40;

/// So many events come in before they are handled.
const BATCH: usize = 100;

/// What is kept in the end, by what it is of, without what tells when and how often it was heard of.
type Kept = BTreeMap<String, String>;

/// People, and some who act for organisations.
fn people() -> Vec<Caller> {
    let person = |number: usize| match number % 7 {
        6 => member(&format!("group {number}"), "boss", true),
        _ => user(&format!("person {number}")),
    };
    (0..PEOPLE).map(person).collect()
}

/// Some owe credits before they buy any.
async fn owe(shop: &Shop) {
    for (number, caller) in people()
        .iter()
        .enumerate()
        .filter(|(number, _)| number % 4 == 1)
    {
        let taken = Adjustment {
            request_id: format!("owe-{number}"),
            payer: caller.payer,
            credits: -700_000,
            note: "a test".to_owned(),
            expire_time: None,
        };
        shop.app.adjust(id_of("op"), &taken).await.expect("takes");
    }
}

/// Opens a page, and pays it.
async fn buy(shop: &Shop, caller: &Caller, request_id: &str, item: &str) {
    let opened = shop.checkout(caller, request_id, item).await;
    let opened = opened.expect("opens");
    shop.stripe.pay(session_of(&opened), PayOutcome::Succeeds);
}

/// The newest receipt of somebody for a plan.
async fn newest_invoice(shop: &Shop, caller: &Caller) -> Option<receipt::Model> {
    let receipts = shop.receipts(&caller.payer).await;
    receipts.into_iter().rfind(|it| it.subscription.is_some())
}

/// The first receipt of somebody for a pack.
async fn first_pack(shop: &Shop, caller: &Caller) -> receipt::Model {
    let receipts = shop.receipts(&caller.payer).await;
    let mut packs = receipts.into_iter().filter(|it| it.item == PACK);
    packs.next().expect("everybody has bought a pack")
}

/// Two months of a platform, whose events are handled when they happen.
async fn live(shop: &Shop) {
    let people = people();
    for (number, caller) in people.iter().enumerate() {
        buy(shop, caller, "first", PACK).await;
        if number % 2 == 0 {
            let plan = if number % 4 == 0 { PLAN } else { LARGE_PLAN };
            buy(shop, caller, "plan", plan).await;
        }
        if number % 3 == 0 {
            buy(shop, caller, "second", PACK).await;
        }
        shop.checkout(caller, "never-paid", PACK)
            .await
            .expect("opens");
    }
    shop.hear().await;
    for (number, caller) in people
        .iter()
        .enumerate()
        .filter(|(number, _)| number % 2 == 0)
    {
        match number % 12 {
            2 => shop
                .stripe
                .set_card_declined(&shop.customer_of(&caller.payer), true),
            4 => {
                let subscriptions = shop.subscriptions(&caller.payer).await;
                shop.stripe.set_ending(&subscriptions[0].id, true);
            }
            _ => {}
        }
    }
    shop.advance(MONTH).await;
    give_back(shop, &people).await;
    shop.advance(MONTH).await;
    contend(shop, &people).await;
    shop.advance(HOUR).await;
}

/// Money of packs goes back: some of it, all of it, and all of it in vain.
async fn give_back(shop: &Shop, people: &[Caller]) {
    let mut in_vain = Vec::new();
    for (number, caller) in people.iter().enumerate() {
        let receipt = first_pack(shop, caller).await;
        let payment = payment_of(&receipt);
        match number % 5 {
            0 => drop(shop.stripe.refund(payment, Some(333))),
            1 => drop(shop.stripe.refund(payment, None)),
            2 => in_vain.push(shop.stripe.refund(payment, None)),
            _ => {}
        }
    }
    shop.hear().await;
    for refund in &in_vain {
        shop.stripe.fail_refund(refund);
    }
    shop.hear().await;
}

/// Banks want money of packs and of the last month back, and get it or not.
async fn contend(shop: &Shop, people: &[Caller]) {
    let mut decided = Vec::new();
    for (number, caller) in people.iter().enumerate() {
        if number % 4 == 0 {
            let receipt = first_pack(shop, caller).await;
            let dispute = shop.stripe.open_dispute(payment_of(&receipt));
            match number % 12 {
                0 => decided.push((dispute, true)),
                4 => decided.push((dispute, false)),
                _ => {}
            }
        }
        match (number % 6, newest_invoice(shop, caller).await) {
            (0, Some(invoice)) => drop(shop.stripe.refund(payment_of(&invoice), Some(100))),
            (2, Some(invoice)) => drop(shop.stripe.open_dispute(payment_of(&invoice))),
            _ => {}
        }
    }
    shop.hear().await;
    for (dispute, is_won) in &decided {
        shop.stripe.close_dispute(dispute, *is_won);
    }
    shop.hear().await;
}

/// What is kept of everything.
async fn kept(shop: &Shop) -> Kept {
    let mut kept = Kept::new();
    for caller in people() {
        let payer = caller.payer;
        let balance = shop.balance(&caller).await;
        let sums = (balance.available, balance.held, balance.debt);
        let state = format!("{sums:?} {} {}", balance.plan, balance.is_frozen);
        kept.insert(payer.to_string(), state);
        for mut row in shop.receipts(&payer).await {
            let id = std::mem::take(&mut row.id);
            let money = (row.paid, row.refunded, row.disputed, row.currency);
            let what = (row.payer, row.item, row.credits, row.taken, row.grant_id);
            let whence = (
                row.checkout_id,
                row.payment,
                row.subscription,
                row.invoice_number,
            );
            kept.insert(id, format!("{money:?} {what:?} {whence:?}"));
        }
        for row in shop.subscriptions(&payer).await {
            kept.insert(row.id.clone(), format!("{row:?}"));
        }
        for row in shop.disputes(&payer).await {
            kept.insert(row.id.clone(), format!("{row:?}"));
        }
    }
    for row in checkouts(shop).await {
        kept.insert(
            row.id.to_string(),
            format!("{} {:?}", row.state, row.session),
        );
    }
    kept
}

async fn checkouts(shop: &Shop) -> Vec<checkout::Model> {
    let all = checkout::Entity::find().all(shop.app.store.reader()).await;
    all.expect("reads")
}

/// Another platform that has opened the same pages, and has heard of nothing since.
async fn deaf_twin(shop: &Shop, url: &DatabaseUrl) -> Shop {
    let twin = Shop::beside(&shop.stripe, url, PLANS).await;
    owe(&twin).await;
    let tx = twin.app.store.begin().await.expect("begins");
    let opened = checkouts(shop).await.into_iter().map(|row| {
        let state = CheckoutState::Open.code();
        checkout::Model { state, ..row }.into_active_model()
    });
    let inserted = checkout::Entity::insert_many(opened)
        .exec_without_returning(&tx)
        .await;
    inserted.expect("inserts");
    let customers = customer::Entity::find().all(shop.app.store.reader()).await;
    let customers = customers.expect("reads").into_iter();
    let customers = customers.map(IntoActiveModel::into_active_model);
    let inserted = customer::Entity::insert_many(customers)
        .exec_without_returning(&tx)
        .await;
    inserted.expect("inserts");
    tx.commit().await.expect("commits");
    twin
}

/// All events, a tenth of them twice, in an order that nobody has thought of.
fn shuffled(stripe: &FakeStripe, seed: u64) -> Vec<Value> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut events = stripe.objects("event");
    let again: Vec<Value> = events
        .choose_multiple(&mut random, events.len() / 10)
        .cloned()
        .collect();
    events.extend(again);
    events.shuffle(&mut random);
    events
}

/// Two replicas hear of everything in some order, and handle it at the same time.
async fn hear_shuffled(replicas: [&Shop; 2], seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    for batch in shuffled(&replicas[0].stripe, seed).chunks(BATCH) {
        for event in batch {
            let replica = replicas[usize::from(random.random_bool(0.5))];
            replica.bring(event).await.expect("is taken");
        }
        tokio::join!(replicas[0].handle(), replicas[1].handle());
    }
    // What the replicas have kept each other from is tried again.
    for _ in 0..10 {
        replicas[0].pass(HOUR / 60).await;
        tokio::join!(replicas[0].handle(), replicas[1].handle());
    }
    assert_eq!(
        replicas[0].problems().await,
        Vec::<String>::new(),
        "seed {seed}"
    );
}

async fn check(databases: impl AsyncFn() -> DatabaseUrl, seeds: Range<u64>) {
    let shop = Shop::open(&databases().await).await;
    owe(&shop).await;
    live(&shop).await;
    let events = shop.stripe.objects("event").len();
    assert!(events >= 1000, "{events} events");
    let expected = kept(&shop).await;
    shop.prove().await;
    for seed in seeds {
        let url = databases().await;
        let first = deaf_twin(&shop, &url).await;
        let second = Shop::beside(&first.stripe, &url, PLANS).await;
        hear_shuffled([&first, &second], seed).await;
        compare(&expected, &kept(&first).await, seed);
        first.prove().await;
    }
}

/// Names all that differs.
#[track_caller]
fn compare(expected: &Kept, found: &Kept, seed: u64) {
    let keys = expected.keys().chain(found.keys());
    let differing = keys.filter(|key| expected.get(*key) != found.get(*key));
    let told = differing.map(|key| (key, expected.get(key), found.get(key)));
    let told: BTreeMap<_, _> = told.map(|(key, one, other)| (key, (one, other))).collect();
    assert!(told.is_empty(), "seed {seed}: {told:#?}");
    assert!(expected.len() > 3 * PEOPLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_leads_to_the_same_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let files = AtomicUsize::new(0);
    let databases = async || {
        let file = files.fetch_add(1, Ordering::Relaxed);
        let path = folder.path().join(format!("{file}.db"));
        format!("sqlite://{}", path.display()).parse().unwrap()
    };
    check(databases, 0..2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_leads_to_the_same_on_postgres() {
    let server = TestPostgres::of_this_run();
    let databases = async || server.create_database().await.parse().unwrap();
    check(databases, 2..4).await;
}

/// What a platform has not heard of for weeks it asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_webhook_brought_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| -> DatabaseUrl {
        let path = folder.path().join(name);
        format!("sqlite://{}", path.display()).parse().unwrap()
    };
    let shop = Shop::open(&url("hearing.db")).await;
    owe(&shop).await;
    let people = people();
    for caller in &people {
        buy(&shop, caller, "pack", PACK).await;
    }
    shop.advance(DAY).await;
    give_back(&shop, &people).await;
    contend(&shop, &people).await;
    shop.advance(DAY * 20).await;
    let twin = deaf_twin(&shop, &url("deaf.db")).await;
    twin.app.catch_up().await.unwrap();
    twin.hear().await;
    compare(&kept(&shop).await, &kept(&twin).await, 0);
    twin.prove().await;
}
