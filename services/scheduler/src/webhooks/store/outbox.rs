//! From an event to its deliveries.
//!
//! The message is written in the transaction of the event, so that there is no event without its message and no
//! message without its event. The relay makes deliveries of it later, in a transaction of its own that also takes the
//! message out of the outbox: each endpoint gets one.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use kinora_ids::JobId;
use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::{delivery, endpoint, message};
use super::{WebhookStore, unreadable};
use crate::domain::job::{Event, Job, Time};
use crate::store::JobStoreError;
use crate::webhooks::event::{EventKind, Subscription};
use crate::webhooks::model::MessageId;
use crate::webhooks::payload;

/// An endpoint of one job is removed this long after the end of the job: all tries are over by then.
pub(super) const BOUND_ENDPOINT_LIFE: Duration = Duration::from_secs(48 * 3600);

/// Messages that are relayed in one transaction.
const RELAY_BATCH: u64 = 200;

/// Writes down that `job` has had the transition `event`, for the endpoints that want to know.
///
/// To be called in the transaction of the event, for transitions alone: not for progress. It costs one look into an
/// index for owners without endpoints. A repeated call for the same `seq` changes nothing.
///
/// # Errors
/// [`JobStoreError`] when the database fails.
pub async fn note(
    tx: &impl ConnectionTrait,
    job: &Job,
    event: &Event,
) -> Result<(), JobStoreError> {
    note_all(tx, &[(job, event)]).await
}

/// [`note`] for many transitions, in as many statements as for one.
///
/// # Errors
/// [`JobStoreError`] when the database fails.
pub async fn note_all(
    tx: &impl ConnectionTrait,
    changes: &[(&Job, &Event)],
) -> Result<(), JobStoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let listeners = listeners(tx, changes.iter().map(|(job, _)| *job)).await?;
    if listeners.is_empty() {
        return Ok(());
    }
    mark_bound(tx, &listeners, changes).await?;
    let noted = changes.iter().map(|(job, event)| {
        let kind = EventKind::of_transition(event.state);
        (*job, *event, kind)
    });
    write(tx, &listeners, noted).await
}

/// Writes progress down for those who want it, at most once for each `seq`.
pub(super) async fn note_progress(
    tx: &impl ConnectionTrait,
    jobs: &[Job],
    now: Time,
) -> Result<(), JobStoreError> {
    let listeners = listeners(tx, jobs.iter()).await?;
    let events: Vec<Event> = jobs.iter().map(|job| job.event(now)).collect();
    let noted = jobs.iter().zip(&events);
    let noted = noted.map(|(job, event)| (job, event, EventKind::Progress));
    write(tx, &listeners, noted).await
}

/// As much of an endpoint as decides whether a message is written.
#[derive(FromQueryResult)]
struct Listener {
    id: Uuid,
    owner: String,
    job_id: Option<Uuid>,
    events: i32,
    enabled: bool,
    expire_time: Option<Time>,
}

impl Listener {
    fn wants(&self, owner: &str, job: JobId, kind: EventKind) -> bool {
        self.enabled
            && self.owner == owner
            && self.job_id.is_none_or(|bound| bound == job.as_uuid())
            && Subscription::from_bits(self.events).wants(kind)
    }
}

async fn listeners<'a>(
    tx: &impl ConnectionTrait,
    jobs: impl Iterator<Item = &'a Job>,
) -> Result<Vec<Listener>, JobStoreError> {
    let (owners, ids): (BTreeSet<&str>, BTreeSet<Uuid>) = jobs
        .map(|job| (job.owner.as_str(), job.id.as_uuid()))
        .unzip();
    let concerned = Condition::any()
        .add(endpoint::Column::JobId.is_null())
        .add(endpoint::Column::JobId.is_in(ids));
    let found = endpoint::Entity::find()
        .filter(endpoint::Column::Owner.is_in(owners))
        .filter(concerned)
        .select_only()
        .columns([
            endpoint::Column::Id,
            endpoint::Column::Owner,
            endpoint::Column::JobId,
            endpoint::Column::Events,
            endpoint::Column::Enabled,
            endpoint::Column::ExpireTime,
        ]);
    Ok(found.into_model::<Listener>().all(tx).await?)
}

/// Endpoints of one job go some time after it, and give their place free at once.
async fn mark_bound(
    tx: &impl ConnectionTrait,
    listeners: &[Listener],
    changes: &[(&Job, &Event)],
) -> Result<(), JobStoreError> {
    for (job, event) in changes {
        let bound = listeners
            .iter()
            .filter(|it| it.job_id == Some(job.id.as_uuid()));
        let stale = bound.filter(|it| it.expire_time.is_some() != event.state.is_terminal());
        let stale: BTreeSet<Uuid> = stale.map(|it| it.id).collect();
        if stale.is_empty() {
            continue;
        }
        let is_over = event.state.is_terminal();
        let expire_time = is_over.then(|| event.time + BOUND_ENDPOINT_LIFE);
        let mut update = endpoint::Entity::update_many()
            .col_expr(endpoint::Column::ExpireTime, Expr::value(expire_time));
        if is_over {
            update = update.col_expr(endpoint::Column::Slot, Expr::value(None::<i16>));
        }
        update
            .filter(endpoint::Column::Id.is_in(stale))
            .exec(tx)
            .await?;
    }
    Ok(())
}

async fn write<'a>(
    tx: &impl ConnectionTrait,
    listeners: &[Listener],
    noted: impl Iterator<Item = (&'a Job, &'a Event, EventKind)>,
) -> Result<(), JobStoreError> {
    let mut rows = Vec::new();
    for (job, event, kind) in noted {
        if listeners
            .iter()
            .any(|it| it.wants(&job.owner, job.id, kind))
        {
            rows.push(message_row(job, event, kind)?.into_active_model());
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    message::Entity::insert_many(rows)
        .on_conflict_do_nothing_on([message::Column::JobId, message::Column::Seq])
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

fn message_row(job: &Job, event: &Event, kind: EventKind) -> Result<message::Model, JobStoreError> {
    let table = "webhook_message";
    let id = Uuid::now_v7();
    let body = payload::body(MessageId(id), kind, job, event.time);
    Ok(message::Model {
        id,
        owner: job.owner.clone(),
        job_id: job.id.as_uuid(),
        seq: i64::try_from(event.seq).map_err(|_| unreadable(table, "seq is out of range"))?,
        event: kind.number(),
        body: body.map_err(|error| unreadable(table, &error.to_string()))?,
        create_time: event.time,
        is_relayed: false,
    })
}

impl WebhookStore {
    /// Makes deliveries of the oldest messages in the outbox. Returns how many messages were taken.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn relay(&self, now: Time, give_up: Duration) -> Result<usize, JobStoreError> {
        let new = message::Entity::find().filter(message::Column::IsRelayed.eq(false));
        if new.clone().one(self.db.reader()).await?.is_none() {
            return Ok(0);
        }
        let tx = self.begin().await?;
        let messages = new
            .order_by_asc(message::Column::Id)
            .limit(RELAY_BATCH)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(&tx)
            .await?;
        let owners: BTreeSet<&str> = messages.iter().map(|it| it.owner.as_str()).collect();
        // In one order, so that replicas never wait for each other in a ring.
        let endpoints = endpoint::Entity::find()
            .filter(endpoint::Column::Owner.is_in(owners))
            .filter(endpoint::Column::Enabled.eq(true))
            // Those of other jobs would be looked at and locked for nothing, and there may be many.
            .filter(any_of(&messages))
            .order_by_asc(endpoint::Column::Id)
            .lock_exclusive()
            .all(&tx)
            .await?;
        let deliveries = fan_out(&messages, &endpoints, now, give_up);
        settle(&tx, &messages, &deliveries).await?;
        wake(&tx, &deliveries, now).await?;
        tx.commit().await?;
        Ok(messages.len())
    }
}

/// Endpoints of all jobs, or of those that the messages are about.
fn any_of(messages: &[message::Model]) -> Condition {
    let jobs: BTreeSet<Uuid> = messages.iter().map(|it| it.job_id).collect();
    Condition::any()
        .add(endpoint::Column::JobId.is_null())
        .add(endpoint::Column::JobId.is_in(jobs))
}

fn fan_out(
    messages: &[message::Model],
    endpoints: &[endpoint::Model],
    now: Time,
    give_up: Duration,
) -> Vec<delivery::Model> {
    let mut deliveries = Vec::new();
    for message in messages {
        for endpoint in endpoints.iter().filter(|it| is_for(message, it)) {
            deliveries.push(delivery::Model {
                id: Uuid::now_v7(),
                endpoint_id: endpoint.id,
                owner: message.owner.clone(),
                message_id: message.id,
                job_id: message.job_id,
                event: message.event,
                state: 0,
                attempts: 0,
                failures: 0,
                last_status: 0,
                last_error: String::new(),
                is_leased: false,
                create_time: now,
                next_attempt_time: now,
                last_attempt_time: None,
                give_up_time: now + give_up,
            });
        }
    }
    deliveries
}

fn is_for(message: &message::Model, endpoint: &endpoint::Model) -> bool {
    let subscription = Subscription::from_bits(endpoint.events);
    endpoint.owner == message.owner
        && endpoint.job_id.is_none_or(|bound| bound == message.job_id)
        && EventKind::from_number(message.event).is_some_and(|kind| subscription.wants(kind))
}

/// Stores the deliveries and empties the outbox.
async fn settle(
    tx: &impl ConnectionTrait,
    messages: &[message::Model],
    deliveries: &[delivery::Model],
) -> Result<(), JobStoreError> {
    let wanted: HashSet<Uuid> = deliveries.iter().map(|it| it.message_id).collect();
    let (kept, idle): (Vec<Uuid>, Vec<Uuid>) = messages
        .iter()
        .map(|it| it.id)
        .partition(|id| wanted.contains(id));
    if !idle.is_empty() {
        message::Entity::delete_many()
            .filter(message::Column::Id.is_in(idle))
            .exec(tx)
            .await?;
    }
    if kept.is_empty() {
        return Ok(());
    }
    message::Entity::update_many()
        .set(message::ActiveModel {
            is_relayed: Set(true),
            ..Default::default()
        })
        .filter(message::Column::Id.is_in(kept))
        .exec(tx)
        .await?;
    // SQLite takes 32,766 parameters at a time.
    for rows in deliveries.chunks(1000) {
        let rows = rows.iter().map(|row| row.clone().into_active_model());
        delivery::Entity::insert_many(rows)
            .exec_without_returning(tx)
            .await?;
    }
    Ok(())
}

/// Lets deliverers look at the endpoints, whose rows are locked.
async fn wake(
    tx: &impl ConnectionTrait,
    deliveries: &[delivery::Model],
    now: Time,
) -> Result<(), JobStoreError> {
    let ids: BTreeSet<Uuid> = deliveries.iter().map(|it| it.endpoint_id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let is_later = Condition::any()
        .add(endpoint::Column::NextDue.is_null())
        .add(endpoint::Column::NextDue.gt(now));
    endpoint::Entity::update_many()
        .col_expr(endpoint::Column::NextDue, Expr::value(now))
        .filter(endpoint::Column::Id.is_in(ids))
        .filter(is_later)
        .exec(tx)
        .await?;
    Ok(())
}
