//! What can go wrong between a service and its database.

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// The database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database that is supported. Its text may hold a password and is not kept.
    #[error(
        "the database URL must begin with postgres:// or sqlite://, and have that engine's form"
    )]
    InvalidUrl,
    /// The database could not be reached at the start.
    #[error("the database cannot be opened")]
    Open(#[source] sqlx::Error),
    /// A statement failed.
    #[error("a database statement failed")]
    Statement(#[from] DbErr),
    /// The schema cannot be brought up to date.
    #[error("the schema cannot be brought up to date")]
    Migration(#[source] DbErr),
}

/// PostgreSQL's serialization failure, deadlock, lock time-out and idle transaction, and SQLite's busy
/// codes: nothing was written.
const LOST_RACES: [&str; 7] = ["40001", "40P01", "55P03", "25P03", "5", "261", "517"];

impl StoreError {
    /// Whether the same call may succeed a little later: the database was away, or too busy.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::InvalidUrl | Self::Migration(_) => false,
            Self::Open(_) => true,
            Self::Statement(error) => is_transient(error),
        }
    }
}

fn is_transient(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match error.as_ref() {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Tls(_)
                | sqlx::Error::WorkerCrashed => true,
                sqlx::Error::Database(error) => error
                    .code()
                    .is_some_and(|code| LOST_RACES.contains(&code.as_ref()) || is_outage(&code)),
                _ => false,
            }
        }
        _ => false,
    }
}

/// PostgreSQL's classes 08 (connection), 53 (out of resources) and 57P (shutting down).
fn is_outage(code: &str) -> bool {
    code.len() == 5 && (code.starts_with("08") || code.starts_with("53") || code.starts_with("57P"))
}
