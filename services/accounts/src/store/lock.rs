//! Locks on what has no row of its own to lock.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

/// Names the locks of this service: "acct" in ASCII. PostgreSQL shares them by database.
const SPACE: i32 = 0x6163_6374;

/// What only one transaction decides at a time.
#[derive(Clone, Copy, Debug)]
pub enum Topic {
    /// Which version of the terms comes next.
    Terms = 1,
    /// Who is an operator.
    Operators = 2,
}

/// Waits until no other transaction holds `topic`, and holds it until the end of `tx`.
///
/// On SQLite a transaction is the only one that writes, so there is nothing to do.
///
/// # Errors
/// [`DbErr`] when the database does not answer, or another transaction holds it for seconds.
pub async fn hold(tx: &impl ConnectionTrait, topic: Topic) -> Result<(), DbErr> {
    if tx.get_database_backend() == DbBackend::Postgres {
        let number = topic as i32;
        tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({SPACE}, {number})"))
            .await?;
    }
    Ok(())
}
