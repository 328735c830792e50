//! A database of its own for each test, on the PostgreSQL server of the test run.
//!
//! `scripts/with-postgres` starts one server for the whole run, names it in `KINORA_TEST_POSTGRES_URL` and throws it
//! away afterwards; databases are therefore never dropped one by one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The server of this test run.
#[derive(Clone, Debug)]
pub struct TestPostgres {
    admin_url: String,
}

impl TestPostgres {
    /// Finds the server of this test run.
    ///
    /// # Panics
    /// When `KINORA_TEST_POSTGRES_URL` is not set, as it is under `make test`.
    #[must_use]
    pub fn of_this_run() -> Self {
        let admin_url = crate::env::required("KINORA_TEST_POSTGRES_URL", "a PostgreSQL for tests");
        Self { admin_url }
    }

    /// Creates an empty database that no other test knows, and returns its URL.
    ///
    /// # Panics
    /// When the server does not answer or refuses.
    pub async fn create_database(&self) -> String {
        let name = unique_name();
        let mut connection = PgConnection::connect(&self.admin_url)
            .await
            .unwrap_or_else(|error| panic!("the test PostgreSQL does not answer: {error}"));
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("the test PostgreSQL made no database: {error}"));
        connection
            .close()
            .await
            .unwrap_or_else(|error| panic!("the test PostgreSQL hung up: {error}"));
        let (server, _) = self
            .admin_url
            .rsplit_once('/')
            .expect("a database URL ends in /name");
        format!("{server}/{name}")
    }

    /// Cuts connections to a database of this server that call themselves `application`; how many there were.
    ///
    /// # Panics
    /// When the server does not answer or refuses.
    pub async fn cut_connections(&self, database_url: &str, application: &str) -> usize {
        let (_, database) = database_url.rsplit_once('/').expect("a URL ends in /name");
        let mut connection = PgConnection::connect(&self.admin_url)
            .await
            .unwrap_or_else(|error| panic!("the test PostgreSQL does not answer: {error}"));
        let cut = sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name = $2",
        )
        .bind(database)
        .bind(application)
        .fetch_all(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("the test PostgreSQL cut nothing: {error}"));
        cut.len()
    }
}

/// A name that is new to the server, whatever other test processes do at the same time.
fn unique_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!(
        "test_{}_{}_{count}",
        std::process::id(),
        since_epoch.as_nanos()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_database_is_new_and_empty() {
        let server = TestPostgres::of_this_run();
        let (first, second) = tokio::join!(server.create_database(), server.create_database());
        assert_ne!(first, second);
        for url in [first, second] {
            let mut connection = PgConnection::connect(&url).await.expect("connects");
            let created = sqlx::query("CREATE TABLE only_here (id INT)")
                .execute(&mut connection)
                .await;
            created.expect("the table is not there yet");
        }
    }
}
