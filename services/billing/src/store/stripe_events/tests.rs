use chrono::TimeDelta;
use kinora_store::on_both_databases;
use kinora_stripe_gateway::ObjectId;

use super::*;
use crate::app::testing::TestApp;

/// `pi_1`, as a payment.
const PAYMENT: i16 = 4;

fn event(test: &TestApp, id: &str, kind: EventKind, object: &str) -> Event {
    Event {
        id: ObjectId::parse(id).unwrap(),
        kind,
        name: "something.happened".to_owned(),
        object: ObjectId::parse(object).ok(),
        created: test.app.now(),
        is_live: false,
    }
}

async fn kept(test: &TestApp, id: &str, kind: EventKind, object: &str) -> bool {
    let tx = test.app.store.begin().await.unwrap();
    let event = event(test, id, kind, object);
    let is_new = insert(&tx, &event, test.app.now()).await.unwrap();
    tx.commit().await.unwrap();
    is_new
}

async fn due_ids(test: &TestApp) -> Vec<String> {
    let due = due(test.app.store.reader(), test.app.now(), 100)
        .await
        .unwrap();
    due.into_iter().map(|row| row.id).collect()
}

async fn mark_done(test: &TestApp, ids: &[&str]) {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let tx = test.app.store.begin().await.unwrap();
    done(&tx, &ids, test.app.now()).await.unwrap();
    tx.commit().await.unwrap();
}

async fn mark_failed(test: &TestApp, ids: &[&str], problem: &str) {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let tx = test.app.store.begin().await.unwrap();
    let next_time = test.app.now() + TimeDelta::seconds(5);
    failed(&tx, &ids, problem, next_time).await.unwrap();
    tx.commit().await.unwrap();
}

#[test]
fn kinds_are_kept_by_their_codes() {
    let codes = KINDS.map(|kind| code_of(kind).unwrap());
    assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(code_of(EventKind::Other), None);
}

on_both_databases! {
    async fn an_event_is_kept_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        assert!(kept(&test, "evt_1", EventKind::Payment, "pi_1").await);
        assert!(!kept(&test, "evt_1", EventKind::Payment, "pi_1").await);
        assert!(!kept(&test, "evt_2", EventKind::Other, "acct_1").await);
        assert!(!kept(&test, "evt_3", EventKind::Invoice, "").await, "it names no object");
        assert_eq!(due_ids(&test).await, ["evt_1"]);
        let row = event::Entity::find().one(test.app.store.reader()).await.unwrap().unwrap();
        assert_eq!(kind_of(&row).unwrap(), EventKind::Payment);
        mark_done(&test, &["evt_1"]).await;
        assert!(!kept(&test, "evt_1", EventKind::Payment, "pi_1").await, "also when it is done");
        assert_eq!(due_ids(&test).await, [""; 0]);
    }

    async fn who_failed_waits_and_says_why(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        for id in ["evt_1", "evt_2", "evt_3"] {
            kept(&test, id, EventKind::Payment, "pi_1").await;
        }
        kept(&test, "evt_4", EventKind::Charge, "pi_1").await;
        mark_done(&test, &["evt_3"]).await;
        mark_failed(&test, &["evt_1", "evt_3"], &"ü".repeat(600)).await;
        assert_eq!(due_ids(&test).await, ["evt_2", "evt_4"]);
        let reader = test.app.store.reader();
        let waiting = waiting_for(reader, PAYMENT, "pi_1").await.unwrap();
        assert_eq!(waiting, [("evt_1".to_owned(), 1), ("evt_2".to_owned(), 0)]);
        test.clock.advance(TimeDelta::seconds(5));
        assert_eq!(due_ids(&test).await, ["evt_2", "evt_4", "evt_1"], "the longest first");
        let failed = event::Entity::find_by_id("evt_1").one(reader).await.unwrap().unwrap();
        assert_eq!(failed.problem, Some("ü".repeat(500)));
        mark_done(&test, &["evt_1"]).await;
        for id in ["evt_1", "evt_3"] {
            let row = event::Entity::find_by_id(id).one(reader).await.unwrap().unwrap();
            assert_eq!(row.problem, None, "{id} is done");
        }
    }

    async fn what_waits_is_never_swept(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        for id in ["evt_1", "evt_2"] {
            kept(&test, id, EventKind::Payment, "pi_1").await;
        }
        mark_done(&test, &["evt_1"]).await;
        let almost = TimeDelta::days(60);
        test.clock.advance(almost);
        assert_eq!(test.app.sweep_events().await.unwrap(), 0);
        test.clock.advance(TimeDelta::seconds(1));
        assert_eq!(test.app.sweep_events().await.unwrap(), 1);
        assert_eq!(due_ids(&test).await, ["evt_2"]);
    }

    async fn ten_thousand_events_of_one_object_are_marked_at_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let tx = test.app.store.begin().await.unwrap();
        let ids: Vec<String> = (0..10_000).map(|n| format!("evt_{n:05}")).collect();
        for id in &ids {
            let event = event(&test, id, EventKind::Payment, "pi_1");
            insert(&tx, &event, test.app.now()).await.unwrap();
        }
        let waiting = waiting_for(&tx, PAYMENT, "pi_1").await.unwrap();
        assert!(waiting.into_iter().map(|(id, _)| id).eq(ids.iter().cloned()));
        failed(&tx, &ids, "away", test.app.now()).await.unwrap();
        done(&tx, &ids, test.app.now()).await.unwrap();
        assert_eq!(waiting_for(&tx, PAYMENT, "pi_1").await.unwrap(), []);
        tx.commit().await.unwrap();
    }
}
