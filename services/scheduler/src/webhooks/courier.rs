//! Sends what is due, until stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kinora_mesh::error::chain;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::model::{DeliveryState, Outcome};
use super::sender::Letter;
use super::service::Webhooks;
use super::store::{Due, Room};
use crate::store::JobStoreError;

/// Tries under way at a time, of one owner and to one endpoint, by all replicas.
const PER_OWNER: usize = 16;
const PER_ENDPOINT: usize = 4;

/// Longer than any try and its record; a claim older than this belongs to nobody.
const LEASE: Duration = Duration::from_secs(60);

/// At the end, tries under way have this long. The others are made again by whoever claims them next.
const LAST_WAIT: Duration = Duration::from_secs(3);

const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);
const UPKEEP_BATCH: u64 = 1000;

/// Owners and jobs that one statement reads for their progress.
const PROGRESS_OWNERS: u64 = 200;
const PROGRESS_JOBS: u64 = 1000;

/// Sends what is due until `stop`. Any number of replicas may do so at a time.
pub async fn run(webhooks: Arc<Webhooks>, stop: CancellationToken) {
    let mut ticks = interval(webhooks.options.poll_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tries = JoinSet::new();
    loop {
        let is_tick = tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => true,
            Some(ended) = tries.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a webhook try broke off");
                }
                false
            }
        };
        let worked = tokio::select! {
            () = stop.cancelled() => break,
            worked = work(&webhooks, &mut tries, is_tick) => worked,
        };
        if let Err(error) = worked {
            tracing::warn!(error = %chain(&error), "webhooks wait");
            // A broken database is not asked at every end of a try.
            ticks.reset();
        }
    }
    let ending = async { while tries.join_next().await.is_some() {} };
    // What is cut off here has sent its message perhaps; the next one repeats it under the same id.
    let _ = timeout(LAST_WAIT, ending).await;
}

async fn work(
    webhooks: &Arc<Webhooks>,
    tries: &mut JoinSet<()>,
    is_tick: bool,
) -> Result<(), JobStoreError> {
    if is_tick {
        webhooks.do_duties().await?;
        webhooks.relay().await?;
    }
    loop {
        let total = usize::from(webhooks.options.concurrency).saturating_sub(tries.len());
        if total == 0 {
            return Ok(());
        }
        let claimed = webhooks.claim(total).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        for due in claimed {
            let webhooks = Arc::clone(webhooks);
            tries.spawn(async move { webhooks.deliver(due).await });
        }
    }
}

impl Webhooks {
    async fn relay(&self) -> Result<(), JobStoreError> {
        loop {
            let now = self.clock.now();
            let relayed = self.store.relay(now, self.options.give_up).await?;
            if relayed == 0 {
                return Ok(());
            }
            self.metrics.relayed(relayed);
        }
    }

    async fn claim(&self, total: usize) -> Result<Vec<Due>, JobStoreError> {
        let room = Room {
            total,
            per_owner: PER_OWNER,
            per_endpoint: PER_ENDPOINT,
            lease: LEASE,
        };
        let rules = self.options.retry_rules();
        self.store.claim(room, &rules, self.clock.now()).await
    }

    async fn deliver(&self, due: Due) {
        let began = Instant::now();
        let id = due.message.to_string();
        let letter = Letter {
            url: &due.url,
            secrets: &due.secrets,
            id: &id,
            body: &due.body,
        };
        let outcome = self.sender.send(letter, self.clock.now()).await;
        let lag = (self.clock.now() - due.event_time).to_std();
        self.metrics.tried(
            due.event,
            outcome.name(),
            began.elapsed(),
            lag.unwrap_or_default(),
        );
        if let Err(error) = self.record(&due, &outcome).await {
            // Its claim lapses, and it is sent again under the same id.
            tracing::warn!(delivery_id = %due.id, error = %chain(&error), "the end of a webhook try was not recorded");
        }
    }

    async fn record(&self, due: &Due, outcome: &Outcome) -> Result<(), JobStoreError> {
        let rules = self.options.retry_rules();
        let (now, chance) = (self.clock.now(), rand::random());
        let settled = self.store.settle(due, outcome, &rules, now, chance).await?;
        let Some(verdict) = settled else {
            return Ok(());
        };
        if let Outcome::Failed(failed) = outcome {
            tracing::debug!(endpoint_id = %due.endpoint, delivery_id = %due.id, status = failed.status, error = failed.error, "webhook try failed");
        }
        if verdict.opened_circuit {
            tracing::info!(endpoint_id = %due.endpoint, "webhook endpoint is left alone for a while");
            self.metrics.circuit_opened();
        }
        if verdict.state == DeliveryState::Failed {
            self.metrics.given_up(1);
        }
        Ok(())
    }

    async fn do_duties(&self) -> Result<(), JobStoreError> {
        let now = self.clock.now();
        let interval = self.options.progress_interval;
        if self.store.begin_pass("progress", interval, now).await? {
            self.collect_progress().await?;
        }
        if self
            .store
            .begin_pass("upkeep", UPKEEP_INTERVAL, now)
            .await?
        {
            self.keep_up().await?;
        }
        Ok(())
    }

    /// Writes down where running jobs stand, for those who want to know.
    async fn collect_progress(&self) -> Result<(), JobStoreError> {
        let mut after: Option<String> = None;
        loop {
            let owners = self
                .store
                .owners_for_progress(after.as_deref(), PROGRESS_OWNERS);
            let owners = owners.await?;
            let Some(last) = owners.last() else {
                return Ok(());
            };
            let jobs = self.jobs.running_of(&owners, PROGRESS_JOBS).await?;
            self.store.note_progress(&jobs, self.clock.now()).await?;
            after = Some(last.clone());
        }
    }

    async fn keep_up(&self) -> Result<(), JobStoreError> {
        let now = self.clock.now();
        loop {
            let given_up = self.store.give_up(now, UPKEEP_BATCH).await?;
            self.metrics.given_up(given_up);
            if given_up < UPKEEP_BATCH {
                break;
            }
        }
        self.store.purge_endpoints(now).await?;
        let before = now - self.options.retention;
        while self.store.purge_messages(before, UPKEEP_BATCH).await? == UPKEEP_BATCH {}
        Ok(())
    }
}
