//! What the scheduler does on its own: attempts of silent workers, objects due for removal.

use std::time::Duration;

use kinora_mesh::error::chain;

use super::App;
use crate::domain::job::{Failure, Job, Time};
use crate::domain::retry::{ATTEMPT_TIME_LIMIT, WORKER_LOST};
use crate::error::Error;
use crate::store::DueRemoval;

/// Removals tried in one go.
const SWEEP_BATCH: u64 = 32;

/// A removal that another replica began is tried here after this long.
const REMOVAL_LEASE: Duration = Duration::from_secs(120);

const LONGEST_BACKOFF: Duration = Duration::from_secs(600);

impl App {
    /// Queues the jobs of workers again that fell silent, and those whose time is up.
    ///
    /// `listening` is how long workers could be heard without a break.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn reap(&self, listening: Duration) -> Result<(), Error> {
        let now = self.clock.now();
        // While nobody could be heard, silence tells nothing: after a break workers get their time first.
        let patience = if listening < self.options.worker_ttl {
            Duration::MAX
        } else {
            self.options.worker_ttl
        };
        let silent_since = chrono::TimeDelta::from_std(patience)
            .ok()
            .and_then(|patience| now.checked_sub_signed(patience))
            .unwrap_or(Time::UNIX_EPOCH);
        for job in self.store.lapsed(silent_since, now).await? {
            let failure = loss(&job, now);
            let is_back = failure.reason == WORKER_LOST
                && self
                    .store
                    .is_heard(job.worker.as_deref(), silent_since)
                    .await?;
            if is_back {
                continue;
            }
            // One job that cannot be changed now must not hold up those after it.
            if let Err(error) = self.take_away(&job, failure).await {
                tracing::warn!(job_id = %job.id, error = %chain(&error), "a lost attempt was not ended");
            }
        }
        Ok(())
    }

    /// Removes objects that are due, until none is left; those that fail are put off.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn sweep(&self) -> Result<(), Error> {
        loop {
            let now = self.clock.now();
            let due = self
                .store
                .due_removals(now, REMOVAL_LEASE, SWEEP_BATCH)
                .await?;
            if due.is_empty() {
                return Ok(());
            }
            for removal in due {
                self.remove(&removal).await?;
            }
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
        }
    }

    async fn remove(&self, removal: &DueRemoval) -> Result<(), Error> {
        match self.objects.remove_prefix(&removal.prefix).await {
            Ok(()) => Ok(self.store.removal_done(removal.id).await?),
            Err(error) => {
                let delay = backoff(removal.attempts);
                tracing::warn!(prefix = removal.prefix, attempts = removal.attempts, error = %chain(&*error), "objects not removed");
                let not_before = self.clock.now() + delay;
                Ok(self.store.postpone_removal(removal.id, not_before).await?)
            }
        }
    }
}

fn backoff(attempts: u32) -> Duration {
    (Duration::from_secs(1) * 2_u32.pow(attempts.min(16))).min(LONGEST_BACKOFF)
}

fn loss(job: &Job, now: Time) -> Failure {
    let (reason, message) = if job.deadline.is_some_and(|deadline| deadline < now) {
        (ATTEMPT_TIME_LIMIT, "the attempt took too long")
    } else {
        (WORKER_LOST, "the worker that generated this clip was lost")
    };
    Failure {
        reason: reason.to_owned(),
        message: message.to_owned(),
        retryable: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_ten_minutes() {
        assert_eq!(backoff(0), Duration::from_secs(1));
        assert_eq!(backoff(3), Duration::from_secs(8));
        assert_eq!(backoff(u32::MAX), LONGEST_BACKOFF);
    }
}
