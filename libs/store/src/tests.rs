use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, FromQueryResult, Statement,
};

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

/// Lets a future wait so many times and then drops it; false when it was done before.
async fn is_broken_off(future: impl Future, waits: usize) -> bool {
    let mut future = pin!(future);
    let mut waited = 0;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(false),
        Poll::Pending => {
            waited += 1;
            if waited < waits {
                Poll::Pending
            } else {
                Poll::Ready(true)
            }
        }
    })
    .await
}

crate::on_both_databases! {
    async fn begin_that_is_broken_off_leaves_no_transaction_open(url: DatabaseUrl) {
        let db = with_counter(&url).await;
        let mut written = 0;
        for waits in 1..50 {
            let is_reading = waits % 2 == 0;
            if is_reading {
                is_broken_off(db.snapshot(), waits / 2).await;
            } else {
                is_broken_off(db.begin(), waits.div_ceil(2)).await;
            }
            // Whichever connection does it: what it writes is written, whatever becomes of transactions that come later.
            for _ in 0..5 {
                let sql = "INSERT INTO counter VALUES (1)";
                db.writer().execute_unprepared(sql).await.expect("inserts");
                written += 1;
                assert_eq!(total(db.reader()).await, written, "{waits}");
            }
            drop(db.begin().await.expect("begins"));
        }
    }

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

    async fn snapshot_sees_one_moment_and_holds_nobody_up(url: DatabaseUrl) {
        let db = with_counter(&url).await;
        let snapshot = db.snapshot().await.expect("begins");
        assert_eq!(total(&snapshot).await, 0);
        let tx = db.begin().await.expect("begins");
        insert(&tx).await;
        tx.commit().await.expect("commits");
        assert_eq!(total(&snapshot).await, 0);
        assert_eq!(total(db.reader()).await, 1);
        let sql = "INSERT INTO counter VALUES (2)";
        assert!(snapshot.execute_unprepared(sql).await.is_err(), "it only reads");
        drop(snapshot);
        assert_eq!(total(&db.snapshot().await.expect("begins")).await, 1);
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

    async fn a_schema_that_cannot_be_brought_up_to_date_keeps_nobody_out(url: DatabaseUrl) {
        let db = Database::connect(&url).await.expect("opens");
        let fails = async |_: &DatabaseConnection| Err(DbErr::Custom("odd".to_owned()));
        let failed = db.migrate(fails).await.expect_err("fails");
        assert!(matches!(failed, StoreError::Migration(_)) && !failed.is_transient());
        for _ in 0..2 {
            db.migrate(async |_: &DatabaseConnection| Ok(())).await.expect("goes up");
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
