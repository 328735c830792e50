//! Connections and transactions on PostgreSQL or SQLite.
//!
//! A service opens one [`Database`] by URL and then writes the same code for both engines:
//! [`Database::reader`] for queries, [`Database::begin`] for everything that writes. What differs lives
//! here and nowhere else:
//!
//! * SQLite has one writer. All write transactions share one connection and begin with
//!   `BEGIN IMMEDIATE`, so that a transaction never fails halfway because it has to be upgraded. Readers
//!   have a pool of their own and, in WAL mode, are never blocked. Commits are `synchronous = FULL`: an
//!   acknowledged write survives a loss of power, at one fsync a commit.
//! * PostgreSQL has a pool; row locks (`FOR UPDATE SKIP LOCKED`) keep replicas of a service apart. The
//!   query builder leaves them out on SQLite, where `BEGIN IMMEDIATE` already does that.

mod database;
mod error;
pub mod page;
mod url;

pub use database::Database;
pub use error::StoreError;
pub use url::DatabaseUrl;

/// Declares tests that each run on SQLite and on PostgreSQL, with an empty database of their own.
///
/// The calling crate needs `kinora-testkit` (feature `postgres`), `tempfile` and `tokio` for its tests.
///
/// ```ignore
/// kinora_store::on_both_databases! {
///     async fn row_survives_its_connection(url: DatabaseUrl) { … }
/// }
/// ```
#[macro_export]
macro_rules! on_both_databases {
    ($(async fn $name:ident($url:ident: DatabaseUrl) $body:block)*) => {
        $(
            mod $name {
                #[allow(unused_imports, reason = "a test may need nothing from its module")]
                use super::*;

                async fn check($url: $crate::DatabaseUrl) $body

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    let folder = ::tempfile::tempdir().expect("a temporary folder");
                    let path = folder.path().join("test.db");
                    let url = format!("sqlite://{}", path.display());
                    check(url.parse().expect("a SQLite URL")).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    let server = ::kinora_testkit::postgres::TestPostgres::of_this_run();
                    let url = server.create_database().await;
                    check(url.parse().expect("a PostgreSQL URL")).await;
                }
            }
        )*
    };
}

#[cfg(test)]
mod tests;
