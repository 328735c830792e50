use chrono::TimeDelta;
use kinora_store::on_both_databases;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::app::testing::{TestApp, amount, frames, id_of, user};
use crate::store::{grants, payers};

/// Changes rows behind the service's back, in a transaction of their own.
async fn meddle(test: &TestApp, sql: &str) -> Result<(), sea_orm::DbErr> {
    let tx = test.app.store.begin().await.unwrap();
    tx.execute_unprepared(sql).await?;
    tx.commit().await
}

/// What the check says that does not hold.
async fn problems(test: &TestApp) -> Vec<String> {
    test.app.check_ledger().await.unwrap().problems
}

/// A payer with a captured hold and an open one.
async fn busy(test: &TestApp) -> (Uuid, Uuid) {
    let ada = user("ada");
    test.give(&ada.payer, 5000, Some(9)).await;
    let captured = test.captured(&ada, frames(16), Some(600)).await;
    let open = test.hold(&ada, frames(16)).await.unwrap();
    test.check().await;
    (captured, open)
}

on_both_databases! {
    async fn a_check_counts_what_there_is(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        busy(&test).await;
        let findings = test.app.check_ledger().await.unwrap();
        assert_eq!((findings.transfers, findings.sum), (4, 0));
        assert_eq!((findings.open_holds, findings.held), (1, 1000));
    }

    async fn a_check_sees_every_row_that_was_meddled_with(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        busy(&test).await;
        for (sql, undo, problem) in [
            ("UPDATE grants SET available = available + 1", "UPDATE grants SET available = available - 1", "what is left of the grant"),
            ("UPDATE payers SET held = held + 1", "UPDATE payers SET held = held - 1", "what the payer has set aside is not the sum"),
            ("UPDATE payers SET debt = 1", "UPDATE payers SET debt = 0", "what the payer owes"),
            ("UPDATE holds SET state = 4 WHERE state = 1", "UPDATE holds SET state = 1 WHERE state = 4", "what the open holds say"),
            ("UPDATE holds SET captured = 599 WHERE state = 2", "UPDATE holds SET captured = 600 WHERE state = 2", "what was paid for the job"),
            ("UPDATE holds SET refunded = 1 WHERE state = 2", "UPDATE holds SET refunded = 0 WHERE state = 2", "what was paid for the job"),
            ("UPDATE holds SET credits = 999 WHERE state = 1", "UPDATE holds SET credits = 1000 WHERE state = 1", "the hold is not the sum of its parts"),
            ("UPDATE hold_parts SET credits = credits + 1", "UPDATE hold_parts SET credits = credits - 1", "the hold is not the sum of its parts"),
            ("UPDATE window_spend SET spent = spent + 1", "UPDATE window_spend SET spent = spent - 1", "what the payer spent in a window"),
        ] {
            meddle(&test, sql).await.unwrap();
            let found = problems(&test).await;
            assert!(found.iter().any(|it| it.contains(problem)), "{sql}: {found:?}");
            meddle(&test, undo).await.unwrap();
            test.check().await;
        }
        for sql in [
            "INSERT INTO entries (transfer_id, line, account, amount) SELECT id, 9, 'system:revenue', 1 FROM transfers WHERE kind = 1",
            "INSERT INTO entries (transfer_id, line, account, amount) SELECT id, 8, 'grant:none', -1 FROM transfers WHERE kind = 1",
            "INSERT INTO entries (transfer_id, line, account, amount) SELECT id, 7, 'held:none', 0 FROM transfers WHERE kind = 1",
        ] {
            meddle(&test, sql).await.unwrap();
        }
        let found = problems(&test).await;
        for problem in ["is of no grant", "is of no payer"] {
            assert!(found.iter().any(|it| it.contains(problem)), "{problem}: {found:?}");
        }
        let sql = "INSERT INTO entries (transfer_id, line, account, amount) SELECT id, 6, 'system:revenue', 5 FROM transfers WHERE kind = 1";
        meddle(&test, sql).await.unwrap();
        let findings = test.app.check_ledger().await.unwrap();
        assert_eq!(findings.sum, 5);
        for problem in ["all entries together sum to 5", "does not sum to zero"] {
            assert!(findings.problems.iter().any(|it| it.contains(problem)), "{findings:?}");
        }
    }

    async fn the_database_refuses_to_change_the_ledger(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        busy(&test).await;
        test.app.set_frozen(id_of("op"), &user("ada").payer, false, "").await.unwrap();
        for table in ["transfers", "entries", "price_books", "billing_audit"] {
            assert!(meddle(&test, &format!("DELETE FROM {table}")).await.is_err(), "{table}");
        }
        for sql in [
            "UPDATE entries SET amount = 0",
            "UPDATE transfers SET note = 'x'",
            "UPDATE price_books SET body = '{}'",
            "UPDATE billing_audit SET result = 'x'",
            "UPDATE grants SET available = -1",
            "UPDATE payers SET held = -1",
            "UPDATE payers SET debt = -1",
            "UPDATE holds SET captured = credits + 1",
            "UPDATE holds SET refunded = captured + 1",
            "UPDATE window_spend SET spent = -1",
        ] {
            assert!(meddle(&test, sql).await.is_err(), "{sql}");
        }
        test.check().await;
    }

    async fn grants_that_ended_are_emptied_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, ben) = (user("ada"), user("ben"));
        test.give(&ada.payer, 700, Some(1)).await;
        test.give(&ada.payer, 100, Some(2)).await;
        test.give(&ben.payer, 300, Some(1)).await;
        test.give(&ben.payer, 50, None).await;
        assert_eq!(test.app.expire_grants().await.unwrap(), 0);
        test.clock.advance(TimeDelta::days(1));
        assert_eq!((test.sums(&ada).await.0, test.sums(&ben).await.0), (100, 50));
        let (one, other) = tokio::join!(test.app.expire_grants(), test.app.expire_grants());
        assert_eq!(one.unwrap() + other.unwrap(), 2);
        assert_eq!(test.account("system:expired").await, 1000);
        assert_eq!((test.sums(&ada).await.0, test.sums(&ben).await.0), (100, 50));
        assert_eq!(test.app.expire_grants().await.unwrap(), 0);
        test.check().await;
    }

    async fn what_is_taken_back_of_a_grant_is_what_is_left(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let grant = test.give(&ada.payer, 2000, Some(9)).await;
        let job = test.hold(&ada, frames(16)).await.unwrap();
        for _ in 0..2 {
            let tx = test.app.store.begin().await.unwrap();
            let now = test.app.now();
            payers::lock(&tx, &ada.payer, now).await.unwrap();
            let back = grants::take_back(&tx, grant, "back:1", now).await.unwrap();
            assert_eq!(back, amount(1000));
            tx.commit().await.unwrap();
        }
        assert_eq!(test.sums(&ada).await, (0, 1000, 0));
        assert_eq!(test.account("system:promotion").await, -1000);
        // What was held of it does not come back either.
        test.app.release(job).await.unwrap();
        assert_eq!(test.sums(&ada).await, (0, 0, 0));
        assert_eq!(test.account("system:expired").await, 1000);
        test.check().await;
    }
}
