//! One database, opened for reading and for writing.

use std::str::FromStr;
use std::time::Duration;

use sea_orm::prelude::ChronoDateTimeUtc;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{Connection, SqliteConnection};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    IsolationLevel, RuntimeErr, SqliteTransactionMode, SqlxPostgresConnector, SqlxSqliteConnector,
    Statement, TransactionOptions, TransactionTrait,
};
use tracing::Instrument;

use crate::StoreError;
use crate::url::{DatabaseUrl, Engine};

/// Of every session. Generic plans cannot use partial indices, so that a claim would walk all finished
/// jobs; and a row that a dead client has locked, or a client that died in a transaction, must not
/// hold up the others for longer than seconds.
const POSTGRES_SETTINGS: [(&str, &str); 3] = [
    ("plan_cache_mode", "force_custom_plan"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// How long a statement waits for a connection or for SQLite's write lock.
const WAIT: Duration = Duration::from_secs(10);

/// Readers of a SQLite file.
const SQLITE_READERS: u32 = 4;

/// Connections to PostgreSQL a process.
const POSTGRES_CONNECTIONS: u32 = 16;

/// Names the lock that replicas take while they migrate: "kinora" in ASCII.
const MIGRATION_LOCK: i64 = 0x6B69_6E6F_7261;

/// An open database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    engine: Engine,
}

/// Keeps other replicas from migrating until it is released.
#[must_use = "the lock is given back when this drops"]
struct MigrationLock(Option<DatabaseTransaction>);

impl Database {
    /// Opens a database; a SQLite file is created when it is missing.
    ///
    /// # Errors
    /// [`StoreError::InvalidUrl`], or [`StoreError::Open`] when the database does not answer within 10 s.
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url.engine() {
            Engine::Postgres => connect_postgres(url).await,
            Engine::Sqlite => connect_sqlite(url).await,
        }
    }

    /// The connection for queries that write nothing and need no transaction.
    #[must_use]
    pub const fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// The connection for migrations and for single statements that write.
    #[must_use]
    pub const fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Begins a transaction that may write. Dropped without a commit it changes nothing.
    ///
    /// On SQLite no other transaction writes meanwhile; on PostgreSQL the isolation is read committed,
    /// so that rows read for a decision must be locked.
    ///
    /// # Errors
    /// [`StoreError::Statement`] when the database is away or stays busy for 10 s.
    pub async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        begin_whole(self.writer.clone(), options).await
    }

    /// Begins a transaction that writes nothing, and whose queries all see the same moment. It holds nobody up.
    ///
    /// # Errors
    /// [`StoreError::Statement`] when the database is away.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction, StoreError> {
        let mut options = TransactionOptions::default();
        if self.engine == Engine::Postgres {
            options.isolation_level = Some(IsolationLevel::RepeatableRead);
            options.access_mode = Some(AccessMode::ReadOnly);
        }
        begin_whole(self.reader.clone(), options).await
    }

    /// The time by the server's clock, which all its clients share. None for SQLite, which has no clock of its own.
    ///
    /// # Errors
    /// [`StoreError::Statement`] when the database does not answer.
    pub async fn server_time(&self) -> Result<Option<ChronoDateTimeUtc>, StoreError> {
        if self.engine == Engine::Sqlite {
            return Ok(None);
        }
        let question = Statement::from_string(DbBackend::Postgres, "SELECT clock_timestamp()");
        let row = self.reader.query_one_raw(question).await?;
        Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
    }

    /// Brings the schema up to date with `up`, while no other replica does.
    ///
    /// # Errors
    /// [`StoreError::Migration`] when `up` fails, [`StoreError::Statement`] when the database does not answer.
    pub async fn migrate(
        &self,
        up: impl AsyncFnOnce(&DatabaseConnection) -> Result<(), DbErr>,
    ) -> Result<(), StoreError> {
        let lock = self.lock_for_migration().await?;
        up(&self.writer).await.map_err(StoreError::Migration)?;
        lock.release().await
    }

    /// Waits until no other replica migrates this database, and keeps them out.
    async fn lock_for_migration(&self) -> Result<MigrationLock, StoreError> {
        if self.engine == Engine::Sqlite {
            // A SQLite file belongs to one process.
            return Ok(MigrationLock(None));
        }
        let tx = self.begin().await?;
        // It waits for other replicas, and then idles while the schema changes.
        tx.execute_unprepared("SET LOCAL lock_timeout = 0").await?;
        tx.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0")
            .await?;
        tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            .await?;
        Ok(MigrationLock(Some(tx)))
    }

    /// Closes all connections; clones of this database fail from now on.
    ///
    /// # Errors
    /// [`StoreError::Statement`] when a connection cannot be closed.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.reader.close_by_ref().await?;
        Ok(self.writer.close_by_ref().await?)
    }
}

impl MigrationLock {
    /// Lets other replicas go on. When the connection was lost, the lock is gone, too.
    async fn release(self) -> Result<(), StoreError> {
        match self.0 {
            Some(tx) => Ok(tx.commit().await?),
            None => Ok(()),
        }
    }
}

/// Begins a transaction also when the caller goes away meanwhile; it then ends at once.
///
/// A `BEGIN` that is broken off on its way to PostgreSQL opens a transaction that the driver does not know of. The
/// connection would go back to the pool with it, and what its next users write as single statements would be lost with the
/// first transaction after them that is rolled back. A task of its own is not broken off.
async fn begin_whole(
    connection: DatabaseConnection,
    options: TransactionOptions,
) -> Result<DatabaseTransaction, StoreError> {
    let begin = async move { connection.begin_with_options(options).await };
    match tokio::spawn(begin.in_current_span()).await {
        Ok(begun) => Ok(begun?),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => {
                let stops = RuntimeErr::Internal(error.to_string());
                Err(DbErr::Conn(stops).into())
            }
        },
    }
}

async fn connect_postgres(url: &DatabaseUrl) -> Result<Database, StoreError> {
    let options = PgConnectOptions::from_str(url.expose())
        .map_err(|_| StoreError::InvalidUrl)?
        .options(POSTGRES_SETTINGS);
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(WAIT)
        .connect_with(options)
        .await
        .map_err(StoreError::Open)?;
    let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    Ok(Database {
        reader: connection.clone(),
        writer: connection,
        engine: Engine::Postgres,
    })
}

async fn connect_sqlite(url: &DatabaseUrl) -> Result<Database, StoreError> {
    let options = SqliteConnectOptions::from_str(url.expose())
        .map_err(|_| StoreError::InvalidUrl)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(WAIT)
        .foreign_keys(true);
    // The writer comes first: it creates the file and switches it to WAL.
    let writer = sqlite_pool(1).connect_with(options.clone()).await;
    let writer = writer.map_err(StoreError::Open)?;
    let readers = sqlite_pool(SQLITE_READERS)
        .connect_with(options.read_only(true))
        .await;
    let reader = readers.map_err(StoreError::Open)?;
    Ok(Database {
        reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
        writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        engine: Engine::Sqlite,
    })
}

fn sqlite_pool(connections: u32) -> SqlitePoolOptions {
    // Connections to a file do not go stale, and a new one costs its pragmas again.
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(WAIT)
        .idle_timeout(None)
        .max_lifetime(None)
        .before_acquire(|connection, _| Box::pin(async move { Ok(is_at_rest(connection)) }))
}

/// Whether no transaction is left over from the last user of a connection.
///
/// SQLite ends a transaction by itself when a disk is full or broken; the driver's own `ROLLBACK` then fails, and it
/// goes on to count the transaction as open. The next one would become a savepoint in none, the one after an error
/// would never end, and commits in it would be lost with the process.
fn is_at_rest(connection: &SqliteConnection) -> bool {
    !connection.is_in_transaction()
}
