//! Removes what is good for nothing any more.

use super::App;
use crate::error::Error;
use crate::store::sweep::Leftover;

/// Rows removed in one transaction. Calls that write wait for it on SQLite.
const BATCH: u64 = 500;

impl App {
    /// Removes all there is of one kind, in small transactions, and answers how many rows they were.
    ///
    /// # Errors
    /// [`Error::Database`]; what was removed before is gone.
    pub(crate) async fn sweep(&self, leftover: Leftover) -> Result<u64, Error> {
        let now = self.now();
        let mut removed = 0;
        loop {
            let tx = self.store.begin().await?;
            let batch = leftover.remove(&tx, now, BATCH).await?;
            tx.commit().await?;
            removed += batch;
            if batch < BATCH {
                return Ok(removed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
