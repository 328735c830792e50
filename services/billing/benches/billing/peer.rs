//! The least that double-entry accounting can do: lock an account, write two entries, change the balance, commit. Through the
//! same driver and with the same settings as the service, and without all that is around it: no call over the network, no
//! token, no prices, grants or holds, no idempotency.

use kinora_store::{Database, DatabaseUrl};
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use uuid::Uuid;

const SCHEMA: [&str; 2] = [
    "CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)",
    "CREATE TABLE entries (transfer_id UUID, line SMALLINT, account BIGINT NOT NULL, amount BIGINT NOT NULL, \
     PRIMARY KEY (transfer_id, line))",
];

const WRITE_ENTRIES: &str = "INSERT INTO entries (transfer_id, line, account, amount) \
     VALUES ($1, 0, $2, $3), ($1, 1, -1, $4)";

const CHANGE_BALANCE: &str = "UPDATE accounts SET balance = balance - $1 WHERE id = $2";

/// What a transfer moves.
const AMOUNT: i64 = 1_000;

/// Accounts in a database of their own.
#[derive(Clone)]
pub struct Peer {
    db: Database,
}

impl Peer {
    /// Makes so many accounts with more in each than is ever spent.
    pub async fn open(url: &str, accounts: usize) -> Self {
        let url: DatabaseUrl = url.parse().unwrap();
        let db = Database::connect(&url).await.unwrap();
        for table in SCHEMA {
            db.writer().execute_unprepared(table).await.unwrap();
        }
        for id in 0..accounts {
            let sql = format!("INSERT INTO accounts VALUES ({id}, {})", i64::MAX);
            db.writer().execute_unprepared(&sql).await.unwrap();
        }
        Self { db }
    }

    /// Moves credits from an account.
    pub async fn transfer(self, account: usize, id: Uuid) {
        let account = i64::try_from(account).unwrap();
        let tx = self.db.begin().await.unwrap();
        let backend = tx.get_database_backend();
        // As the service does: SQLite has no row locks, and needs none.
        let lock = match backend {
            DbBackend::Postgres => "SELECT balance FROM accounts WHERE id = $1 FOR UPDATE",
            _ => "SELECT balance FROM accounts WHERE id = $1",
        };
        let statement =
            |sql: &str, values: Vec<Value>| Statement::from_sql_and_values(backend, sql, values);
        let found = tx
            .query_one_raw(statement(lock, vec![account.into()]))
            .await;
        let balance: i64 = found.unwrap().unwrap().try_get_by_index(0).unwrap();
        assert!(balance >= AMOUNT, "{account} has only {balance}");
        let entries = vec![id.into(), account.into(), (-AMOUNT).into(), AMOUNT.into()];
        tx.execute_raw(statement(WRITE_ENTRIES, entries))
            .await
            .unwrap();
        let change = vec![AMOUNT.into(), account.into()];
        tx.execute_raw(statement(CHANGE_BALANCE, change))
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
}
