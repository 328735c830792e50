//! Databases of the layout with two audit logs, and alerts that nobody was told of.

use kinora_store::{Database, DatabaseUrl, on_both_databases};
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, Statement, Value};
use sea_orm_migration::MigratorTrait;
use uuid::Uuid;

use super::audit::{Filter, newest};
use super::entity::payers::spend_alert;
use crate::app::testing::{TestApp, id_of, time, user};

/// Down to before what is tested here.
const STEPS: u32 = 2;

/// The tables when vouchers were new.
async fn older(url: &DatabaseUrl) -> Database {
    let db = Database::connect(url).await.expect("opens");
    let migrated = kinora_migrations::billing::Migrator::up(db.writer(), Some(3));
    migrated.await.expect("migrates");
    db
}

async fn run(conn: &DatabaseConnection, sql: &str, values: Vec<Value>) {
    let backend = conn.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql, values);
    conn.execute_raw(statement).await.expect(sql);
}

async fn insert_action(db: &Database, action: &str, payer: Option<&str>, detail: &str) -> Uuid {
    let id = Uuid::now_v7();
    let values: Vec<Value> = vec![
        id.into(),
        time("2026-11-20T12:00:00Z").into(),
        id_of("op").into(),
        action.into(),
        payer.map(str::to_owned).into(),
        detail.into(),
    ];
    let sql = "INSERT INTO operator_actions (id, \"time\", user_id, action, payer, detail) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    run(db.writer(), sql, values).await;
    id
}

/// Action, target and result of all lines, oldest first.
async fn lines(test: &TestApp) -> Vec<(String, String, String)> {
    let lines = newest(test.app.store.reader(), &Filter::default(), None, 99).await;
    let lines = lines.expect("reads").into_iter().rev();
    lines
        .map(|line| (line.action, line.target, line.result))
        .collect()
}

fn line(action: &str, target: &str, result: &str) -> (String, String, String) {
    (action.to_owned(), target.to_owned(), result.to_owned())
}

on_both_databases! {
    async fn what_operators_did_is_carried_into_the_audit_log(url: DatabaseUrl) {
        let db = older(&url).await;
        let ada = user("ada").payer.to_string();
        let first = insert_action(&db, "payer.freeze", Some(&ada), "a dispute").await;
        insert_action(&db, "payer.unfreeze", Some(&ada), "").await;
        insert_action(&db, "payer.plan", Some(&ada), "creator").await;
        insert_action(&db, "prices.publish", None, "version 2").await;
        insert_action(&db, "window.set", None, &"x".repeat(600)).await;
        db.close().await.expect("closes");
        let test = TestApp::on(&url).await;
        let expected = [
            line("payer.freeze", &ada, "done: a dispute"),
            line("payer.unfreeze", &ada, "done"),
            line("payer.plan", &ada, "done: creator"),
            line("prices.publish", "prices", "done: version 2"),
            line("window.set", "window", &format!("done: {}", "x".repeat(506))),
        ];
        assert_eq!(lines(&test).await, expected);
        let filter = Filter { actor: id_of("op").to_string(), ..Filter::default() };
        let read = newest(test.app.store.reader(), &filter, None, 99).await.expect("reads");
        assert_eq!(read.len(), 5);
        assert_eq!((read[4].id, read[4].time), (first, time("2026-11-20T12:00:00Z")));
        let tx = test.app.store.begin().await.expect("begins");
        assert!(tx.execute_unprepared("SELECT 1 FROM operator_actions").await.is_err());
    }

    async fn going_back_and_forth_loses_no_line(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (op, ada) = (id_of("op"), user("ada").payer);
        test.app.set_frozen(op, &ada, true, "a dispute").await.expect("freezes");
        test.app.set_plan(op, &ada, "gone").await.expect_err("there is no such plan");
        test.app.set_window(op, None).await.expect("sets");
        let before = lines(&test).await;
        assert_eq!(before.len(), 3);
        let db = Database::connect(&url).await.expect("opens");
        let down = kinora_migrations::billing::Migrator::down(db.writer(), Some(STEPS));
        down.await.expect("goes down");
        // As it stood there: two were done, and the older version can add more.
        insert_action(&db, "payer.plan", Some(&ada.to_string()), "creator").await;
        let done = "SELECT detail FROM operator_actions ORDER BY id";
        let rows = Statement::from_string(db.writer().get_database_backend(), done);
        let rows = db.writer().query_all_raw(rows).await.expect("reads");
        let details: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0).expect("text")).collect();
        assert_eq!(details, ["a dispute", "by the month", "creator"]);
        for sql in ["UPDATE operator_actions SET detail = 'x'", "DELETE FROM operator_actions"] {
            assert!(db.writer().execute_unprepared(sql).await.is_err(), "{sql}");
        }
        kinora_migrations::billing::migrate(db.writer()).await.expect("goes up");
        let mut expected = before;
        expected.push(line("payer.plan", &ada.to_string(), "done: creator"));
        assert_eq!(lines(&test).await, expected);
    }

    async fn alerts_of_before_count_as_told(url: DatabaseUrl) {
        let db = older(&url).await;
        let then = time("2026-11-01T00:00:00Z");
        let values: Vec<Value> = vec![
            user("ada").payer.to_string().into(),
            then.into(),
            50_i16.into(),
            10_000_i64.into(),
            5000_i64.into(),
            time("2026-11-20T12:00:00Z").into(),
        ];
        let sql = "INSERT INTO spend_alerts (payer, window_start, percent, soft_credits, spent, create_time) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        run(db.writer(), sql, values).await;
        db.close().await.expect("closes");
        let test = TestApp::on(&url).await;
        let row = spend_alert::Entity::find().one(test.app.store.reader()).await;
        let row = row.expect("reads").expect("it is there");
        assert_eq!(row.told_time, Some(time("2026-11-20T12:00:00Z")));
        assert_eq!((row.attempts, row.next_attempt_time), (0, None));
    }
}
