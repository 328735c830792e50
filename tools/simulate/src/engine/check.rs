//! Whether the scheduler has kept its promises.

use anyhow::{Context, bail};

use super::Engine;

impl Engine {
    /// Every accepted job has exactly one outcome, in the database as in the reports that were taken, and one record
    /// of each of its attempts.
    pub(super) async fn check(&mut self) -> anyhow::Result<()> {
        let store = &self.queue.store;
        if !store.queues().await?.is_empty() {
            bail!("jobs wait although all have ended");
        }
        let mut attempts = 0;
        for (id, end) in &self.ends {
            let job = store.find(*id).await?;
            let job = job.with_context(|| format!("the job {id} was lost"))?;
            let end = end.with_context(|| format!("the job {id} has no outcome"))?;
            if job.state != end || job.end_time.is_none() {
                bail!(
                    "the job {id} ended as {end:?} and is stored as {:?}",
                    job.state
                );
            }
            let ended = store.attempts(*id).await?.len();
            if u64::try_from(ended)? != job.lease {
                bail!("the job {id} has {} leases and {ended} attempts", job.lease);
            }
            attempts += ended;
        }
        self.outcome.attempts = attempts as u64;
        let ended = self.outcome.completed
            + self.outcome.failed
            + self.outcome.quarantined
            + self.outcome.cancelled;
        if ended != self.outcome.submitted {
            bail!(
                "{} jobs were accepted and {ended} have ended",
                self.outcome.submitted
            );
        }
        Ok(())
    }
}
