//! Workers: attaching, heartbeats, and the jobs of those who fell silent.

use kinora_ids::LeaseRef;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult,
    IntoActiveModel, QueryFilter, QueryOrder, Select,
};
use uuid::Uuid;

use super::change::Step;
use super::entity::{job, model, worker};
use super::removal::schedule_removal;
use super::rows::{from_json, number, state_to_text, to_json};
use super::sql::{FOR_UPDATE, Sql};
use super::tables::Jobs;
use super::worker_list::{DeviceState, Wishes};
use super::{JobStore, JobStoreError, Removal};
use crate::domain::job::{Event, Job, State, Time};
use crate::domain::model::Model;
use crate::domain::transition::{self, Reporter};

const RETURNING_WISHES: &str = " RETURNING cordoned AS is_cordoned, drain_ordered AS is_drained";

/// A worker that opens a stream.
#[derive(Clone, Debug, Default)]
pub struct Attachment {
    /// Its stable name.
    pub worker: String,
    /// This stream.
    pub session: Uuid,
    /// For people.
    pub version: String,
    /// For people.
    pub device: String,
    /// Leases it takes at a time.
    pub slots: u32,
    /// What it can run.
    pub models: Vec<Model>,
    /// Leases it still works on, or whose last report it will repeat.
    pub held: Vec<LeaseRef>,
    /// This process of it; another one is a restart. Empty for workers that do not tell.
    pub instance: String,
    /// The pool it belongs to. May be empty.
    pub pool: String,
    /// What it speaks.
    pub protocol: u32,
    /// Its device as it is now.
    pub device_state: DeviceState,
}

/// A model that workers have announced.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// As it was announced last.
    pub model: Model,
    /// When it was announced first.
    pub announced: Time,
}

/// What an attachment did to the worker's leases.
#[derive(Clone, Debug, Default)]
pub struct Reconciled {
    /// Held leases that stand.
    pub standing: Vec<LeaseRef>,
    /// Held leases that do not.
    pub stale: Vec<LeaseRef>,
    /// Jobs that run under the leases that stand.
    pub running: Vec<Job>,
    /// Jobs leased to this very process of the worker that it was never told of: its stream ended first.
    pub untold: Vec<Job>,
    /// What operators want of the worker.
    pub wishes: Wishes,
    /// What happened to jobs that the worker no longer works on.
    pub events: Vec<Event>,
}

impl JobStore {
    /// Records a worker and its models, and settles which leases it has. None, and nothing changes, while another
    /// instance is attached under its name, at whichever replica, and was heard at or after `heard_since`.
    ///
    /// A job that runs on this worker by our record and is not held has lost its attempt: `lose` decides. But when the
    /// worker's process is still the same it has lost nothing; it was only not told, and can be told again.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn attach(
        &self,
        attachment: &Attachment,
        now: Time,
        heard_since: Time,
        lose: impl Fn(&mut Job) -> (Option<Event>, Vec<Removal>),
    ) -> Result<Option<Reconciled>, JobStoreError> {
        let tx = self.begin().await?;
        let is_restarted = is_restarted(&tx, attachment).await?;
        if !upsert_worker(&tx, attachment, now, heard_since).await? {
            tx.rollback().await?;
            return Ok(None);
        }
        for model in &attachment.models {
            upsert_model(&tx, model, now).await?;
        }
        let mut reconciled = reconcile(&tx, attachment).await?;
        let mut lost = Vec::new();
        reconciled.wishes = wishes(&tx, &attachment.worker).await?;
        for mut job in recorded(&tx, &attachment.worker).await? {
            if reconciled.standing.contains(&job.newest_lease()) {
                reconciled.running.push(job);
                continue;
            }
            if !is_restarted {
                reconciled.untold.push(job);
                continue;
            }
            let before = job.clone();
            let (event, removals) = lose(&mut job);
            if let Some(event) = event {
                lost.push(Step {
                    before,
                    after: job,
                    event,
                });
            }
            schedule_removal(&tx, &removals).await?;
        }
        reconciled.events = self.apply_all(&tx, lost).await?;
        tx.commit().await?;
        Ok(Some(reconciled))
    }

    /// Renews a worker, with what its device is like where that has changed. What operators want of it; None when a
    /// newer stream of the same worker has taken over.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn heartbeat(
        &self,
        worker: &str,
        session: Uuid,
        is_draining: bool,
        device: Option<&DeviceState>,
        now: Time,
    ) -> Result<Option<Wishes>, JobStoreError> {
        let mut update = Sql::new(
            self.backend(),
            "UPDATE worker SET attached = TRUE, seen_at = ",
        )
        .bind(now)
        .then(", draining = ")
        .bind(is_draining);
        if let Some(device) = device {
            let total: i64 = number("worker", device.memory_total_bytes)?;
            let free: i64 = number("worker", device.memory_free_bytes)?;
            update = update
                .then(", resident_models = ")
                .bind(to_json("worker", &device.resident_models)?)
                .then(", memory_total = ")
                .bind(total)
                .then(", memory_free = ")
                .bind(free);
        }
        let update = update
            .then(" WHERE id = ")
            .bind(worker)
            .then(" AND session = ")
            .bind(session)
            .then(RETURNING_WISHES);
        let rows = self.db.writer().query_all_raw(update.build()).await?;
        let renewed = rows.first().map(|row| Wishes::from_query_result(row, ""));
        Ok(renewed.transpose()?)
    }

    /// Those of `held` that no longer stand for this worker.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn stale_leases(
        &self,
        worker: &str,
        held: &[LeaseRef],
    ) -> Result<Vec<LeaseRef>, JobStoreError> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let query = named(held);
        let reader = self.db.reader();
        let mut jobs = Jobs::Hot.read_readable(reader, query.clone()).await?;
        if jobs.len() < held.len() {
            jobs.extend(Jobs::Finished.read_readable(reader, query).await?);
        }
        let (_, stale) = split(&jobs, worker, held);
        Ok(stale)
    }

    /// Reads the catalogue that workers announced, by id.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn models(&self) -> Result<Vec<Model>, JobStoreError> {
        let offers = self.offers().await?;
        Ok(offers.into_iter().map(|offer| offer.model).collect())
    }

    /// As [`JobStore::models`], with the time at which each was first announced.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn offers(&self) -> Result<Vec<Offer>, JobStoreError> {
        let rows = model::Entity::find()
            .order_by_asc(model::Column::Id)
            .all(self.db.reader())
            .await?;
        // A card that this version cannot read must not hide the others.
        let read = |row: model::Model| {
            let model = from_json("model", row.card)
                .inspect_err(|error| tracing::warn!(model = row.id, %error, "a model is left out"))
                .ok()?;
            let announced = row.announced_at;
            Some(Offer { model, announced })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }
}

/// Whether this is another process of the worker than the one that attached last. Locks its row.
async fn is_restarted(
    tx: &DatabaseTransaction,
    attachment: &Attachment,
) -> Result<bool, JobStoreError> {
    if attachment.instance.is_empty() {
        return Ok(true);
    }
    let query = Sql::new(
        tx.get_database_backend(),
        "SELECT instance FROM worker WHERE id = ",
    )
    .bind(&attachment.worker)
    .locked(FOR_UPDATE);
    let row = tx.query_one_raw(query.build()).await?;
    let latest: Option<String> = row.map(|row| row.try_get("", "instance")).transpose()?;
    Ok(latest.as_ref() != Some(&attachment.instance))
}

/// False when the name is another instance's. The row itself decides, so that of two that come at once one is refused.
async fn upsert_worker(
    tx: &DatabaseTransaction,
    attachment: &Attachment,
    now: Time,
    heard_since: Time,
) -> Result<bool, JobStoreError> {
    let models: Vec<&str> = attachment
        .models
        .iter()
        .map(|model| model.id.as_str())
        .collect();
    let row = worker::Model {
        id: attachment.worker.clone(),
        session: attachment.session,
        version: attachment.version.clone(),
        device: attachment.device.clone(),
        slots: number("worker", attachment.slots)?,
        models: to_json("worker", &models)?,
        draining: false,
        attached_at: now,
        seen_at: now,
        instance: attachment.instance.clone(),
        pool: attachment.pool.clone(),
        protocol: number("worker", attachment.protocol)?,
        cordoned: false,
        drain_ordered: false,
        attached: true,
        resident_models: Some(to_json("worker", &attachment.device_state.resident_models)?),
        memory_total: number("worker", attachment.device_state.memory_total_bytes)?,
        memory_free: number("worker", attachment.device_state.memory_free_bytes)?,
    };
    let update = OnConflict::column(worker::Column::Id)
        .update_columns([
            worker::Column::Session,
            worker::Column::Version,
            worker::Column::Device,
            worker::Column::Slots,
            worker::Column::Models,
            worker::Column::Draining,
            worker::Column::AttachedAt,
            worker::Column::SeenAt,
            worker::Column::Instance,
            worker::Column::Pool,
            worker::Column::Protocol,
            worker::Column::Attached,
            worker::Column::ResidentModels,
            worker::Column::MemoryTotal,
            worker::Column::MemoryFree,
        ])
        // A new process of the worker is not the one that was told to end.
        .value(
            worker::Column::DrainOrdered,
            Expr::cust("worker.drain_ordered AND worker.instance = excluded.instance"),
        )
        .action_cond_where(is_free(&attachment.instance, heard_since))
        .to_owned();
    let written = worker::Entity::insert(row.into_active_model())
        .on_conflict(update)
        .exec_without_returning(tx)
        .await?;
    Ok(written == 1)
}

/// When a name may be taken from the instance that had it. Workers that do not tell their instance take it at once.
fn is_free(instance: &str, heard_since: Time) -> Condition {
    if instance.is_empty() {
        return Condition::all();
    }
    Condition::any()
        .add(worker::Column::Attached.eq(false))
        .add(worker::Column::SeenAt.lt(heard_since))
        .add(worker::Column::Instance.is_in(["", instance]))
}

async fn upsert_model(
    tx: &DatabaseTransaction,
    model: &Model,
    now: Time,
) -> Result<(), JobStoreError> {
    let row = model::Model {
        id: model.id.clone(),
        card: to_json("model", model)?,
        announced_at: now,
    };
    // Workers of a kind must not wait for each other to write the same.
    let known = model::Entity::find_by_id(&row.id).one(tx).await?;
    if known.is_some_and(|known| known.card == row.card) {
        return Ok(());
    }
    let update = OnConflict::column(model::Column::Id)
        .update_column(model::Column::Card)
        .to_owned();
    model::Entity::insert(row.into_active_model())
        .on_conflict(update)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

async fn reconcile(
    tx: &DatabaseTransaction,
    attachment: &Attachment,
) -> Result<Reconciled, JobStoreError> {
    let query = named(&attachment.held);
    let mut jobs = Jobs::Hot.read_readable_locked(tx, query.clone()).await?;
    if jobs.len() < attachment.held.len() {
        // Those that have ended stay as they are.
        jobs.extend(Jobs::Finished.read_readable(tx, query).await?);
    }
    let (standing, stale) = split(&jobs, &attachment.worker, &attachment.held);
    Ok(Reconciled {
        standing,
        stale,
        ..Reconciled::default()
    })
}

async fn wishes(tx: &DatabaseTransaction, worker: &str) -> Result<Wishes, JobStoreError> {
    let row = worker::Entity::find_by_id(worker).one(tx).await?;
    Ok(row.map_or_else(Wishes::default, |row| Wishes {
        is_cordoned: row.cordoned,
        is_drained: row.drain_ordered,
    }))
}

/// The jobs that run on a worker by our record, locked. What cannot be read stays as it is.
async fn recorded(tx: &DatabaseTransaction, worker: &str) -> Result<Vec<Job>, JobStoreError> {
    let query = job::Entity::find()
        .filter(job::Column::State.eq(state_to_text(State::Running)))
        .filter(job::Column::WorkerId.eq(worker))
        .order_by_asc(job::Column::Id);
    Jobs::Hot.read_readable_locked(tx, query).await
}

/// The jobs of leases, in the order in which rows are locked.
fn named(held: &[LeaseRef]) -> Select<job::Entity> {
    job::Entity::find()
        .filter(job::Column::Id.is_in(held.iter().map(|lease| lease.job.as_uuid())))
        .order_by_asc(job::Column::Id)
}

/// Splits held leases into those that stand and those that do not.
fn split(jobs: &[Job], worker: &str, held: &[LeaseRef]) -> (Vec<LeaseRef>, Vec<LeaseRef>) {
    held.iter().copied().partition(|lease| {
        let reporter = Reporter {
            worker,
            lease: *lease,
        };
        jobs.iter().any(|job| transition::stands(job, reporter))
    })
}
