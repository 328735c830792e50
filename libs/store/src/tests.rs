use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult, Statement};

use crate::{Database, DatabaseUrl, StoreError};

#[derive(FromQueryResult)]
struct Total {
    total: i64,
}

async fn with_counter(url: &DatabaseUrl) -> Database {
    let db = Database::connect(url).await.expect("opens");
    let schema = "CREATE TABLE counter (value BIGINT NOT NULL)";
    db.writer()
        .execute_unprepared(schema)
        .await
        .expect("schema");
    db
}

async fn total(connection: &impl ConnectionTrait) -> i64 {
    let sql = "SELECT COUNT(*) AS total FROM counter";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = Total::find_by_statement(statement).one(connection).await;
    row.expect("query").expect("one row").total
}

async fn insert(tx: &DatabaseTransaction) {
    let sql = "INSERT INTO counter VALUES (1)";
    tx.execute_unprepared(sql).await.expect("insert");
}

crate::on_both_databases! {
    async fn committed_rows_survive_reopening(url: DatabaseUrl) {
        let db = with_counter(&url).await;
        let tx = db.begin().await.expect("begins");
        insert(&tx).await;
        tx.commit().await.expect("commits");
        db.close().await.expect("closes");
        let again = Database::connect(&url).await.expect("opens again");
        assert_eq!(total(again.reader()).await, 1);
    }

    async fn dropped_transaction_changes_nothing(url: DatabaseUrl) {
        let db = with_counter(&url).await;
        let tx = db.begin().await.expect("begins");
        insert(&tx).await;
        drop(tx);
        let tx = db.begin().await.expect("begins again");
        assert_eq!(total(&tx).await, 0);
    }

    async fn readers_go_on_while_a_transaction_writes(url: DatabaseUrl) {
        let db = with_counter(&url).await;
        let tx = db.begin().await.expect("begins");
        insert(&tx).await;
        assert_eq!(total(db.reader()).await, 0);
        tx.commit().await.expect("commits");
        assert_eq!(total(db.reader()).await, 1);
    }

    async fn many_writers_at_once_all_succeed(url: DatabaseUrl) {
        let db = with_counter(&url).await;
        let mut writers = Vec::new();
        for _ in 0..20 {
            let db = db.clone();
            writers.push(tokio::spawn(async move {
                let tx = db.begin().await.expect("begins");
                insert(&tx).await;
                tx.commit().await.expect("commits");
            }));
        }
        for writer in writers {
            writer.await.expect("a writer");
        }
        assert_eq!(total(db.reader()).await, 20);
    }

    async fn migration_lock_is_held_by_one_at_a_time(url: DatabaseUrl) {
        let db = Database::connect(&url).await.expect("opens");
        for _ in 0..2 {
            let lock = db.lock_for_migration().await.expect("locks");
            lock.release().await.expect("releases");
        }
    }
}

/// Fails as on a full disk: SQLite ends the transaction itself.
async fn run_out_of_room(db: &Database) {
    let limit = "PRAGMA max_page_count = 8";
    db.writer().execute_unprepared(limit).await.expect("limits");
    let tx = db.begin().await.expect("begins");
    let sql = "INSERT INTO counter VALUES (zeroblob(100000))";
    let refused = tx.execute_unprepared(sql).await;
    assert!(refused.is_err(), "there was room");
}

#[tokio::test]
async fn commits_are_kept_after_a_disk_was_full() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let db = with_counter(&url.parse().expect("a URL")).await;
    run_out_of_room(&db).await;
    let dropped = db.begin().await.expect("begins");
    insert(&dropped).await;
    drop(dropped);
    for committed in 1..4 {
        let tx = db.begin().await.expect("begins");
        insert(&tx).await;
        tx.commit().await.expect("commits");
        assert_eq!(total(db.reader()).await, committed);
    }
}

#[test]
fn urls_of_other_engines_are_refused() {
    for text in ["", "mysql://a/b", "sqlite:", "sqlite://", "/tmp/x.db"] {
        assert!(
            matches!(text.parse::<DatabaseUrl>(), Err(StoreError::InvalidUrl)),
            "{text}"
        );
    }
}

#[test]
fn a_password_is_never_shown() {
    let url: DatabaseUrl = "postgres://me:hunter2@db/jobs".parse().expect("parses");
    assert_eq!(format!("{url} {url:?}"), "postgres://… postgres://…");
}
