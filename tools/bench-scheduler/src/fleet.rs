//! Workers that take what the policy gives them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use kinora_scheduler::domain::job::Job;
use kinora_scheduler::policy::{PolicyOptions, Situation, Turns, WorkerView, plan};
use kinora_scheduler::store::{Attachment, Bounds, TenantChange};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::place::{MODEL, Place, now};

/// Tenants of the usual crowd.
pub const TENANTS: u32 = 50;

/// Users of each.
pub const USERS: u32 = 4;

/// Of those tenants, so many may run one job only, so that limits do not merely stand there.
const CAPPED: u32 = 4;

/// Jobs that end at the same time.
const REPORTS: usize = 8;

/// Users of the usual crowd.
pub fn crowd() -> impl Iterator<Item = String> {
    let user = |tenant| move |user| format!("tenant-{tenant}:user-{user}");
    (0..TENANTS).flat_map(move |tenant| (0..USERS).map(user(tenant)))
}

/// Workers with one slot each, and what a scheduler remembers.
#[derive(Debug)]
pub struct Fleet {
    views: Vec<WorkerView>,
    turns: Turns,
    options: PolicyOptions,
}

impl Fleet {
    /// Attaches workers, and sets the limits of the capped tenants.
    pub async fn attach(place: &Place, workers: u32) -> Result<Self> {
        for tenant in 0..CAPPED {
            let change = TenantChange {
                max_running: Some(1),
                ..TenantChange::default()
            };
            place
                .store
                .set_tenant(&format!("tenant-{tenant}"), change)
                .await?;
        }
        let models = Arc::new([(MODEL.to_owned(), None)].into());
        let mut views = Vec::new();
        for number in 0..workers {
            let attachment = Attachment {
                worker: format!("worker-{number}"),
                session: Uuid::now_v7(),
                slots: 1,
                protocol: 2,
                ..Attachment::default()
            };
            place
                .store
                .attach(&attachment, now(), now(), |_| (None, Vec::new()))
                .await?;
            views.push(WorkerView {
                worker: attachment.worker,
                session: attachment.session,
                free_slots: 1,
                models: Arc::clone(&models),
                resident: vec![MODEL.to_owned()],
                memory_bytes: None,
                can_stitch: true,
                running: Vec::new(),
            });
        }
        Ok(Self {
            views,
            turns: Turns::default(),
            options: PolicyOptions::default(),
        })
    }

    /// The workers.
    pub fn views(&self) -> Vec<WorkerView> {
        self.views.clone()
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.views.len()
    }

    /// One round of dispatch for these idle workers: look, plan, lease.
    pub async fn round(&mut self, place: &Place, idle: &[WorkerView]) -> Result<Vec<Job>> {
        let models = [MODEL.to_owned(), String::new()];
        let now = now();
        place.store.promote(now).await?;
        let bounds = Bounds::default().for_slots(u32::try_from(idle.len())?);
        let snapshot = place.store.snapshot(&models, bounds).await?;
        self.turns.see(&snapshot, &models, now);
        let situation = Situation {
            snapshot: &snapshot,
            idle,
            busy: &[],
            turns: &self.turns,
            now,
        };
        let plan = plan(&situation, &self.options);
        let time_limit = Duration::from_secs(600);
        let leased = place
            .store
            .claim(&plan.assignments, now, time_limit)
            .await?;
        let leased: Vec<Job> = leased.into_iter().map(|(job, _)| job).collect();
        let ids: Vec<_> = leased.iter().map(|job| job.id).collect();
        self.turns.record(&snapshot, &ids, now);
        Ok(leased)
    }
}

/// Completes jobs, as many at a time as reports come in from a busy fleet.
pub async fn complete_all(place: &Arc<Place>, jobs: Vec<Job>) -> Result<()> {
    let mut running = JoinSet::new();
    for job in jobs {
        if running.len() == REPORTS {
            running.join_next().await.transpose()?.transpose()?;
        }
        let place = Arc::clone(place);
        running.spawn(async move { place.complete(&job).await });
    }
    for completed in running.join_all().await {
        completed?;
    }
    Ok(())
}
