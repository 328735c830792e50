//! Deliveries: who sends which next, how it went, and the log.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
};
use uuid::Uuid;

use super::endpoints::{health_of, secrets_of, set_health};
use super::entity::{delivery, endpoint, message};
use super::{WebhookStore, unreadable};
use crate::domain::job::Time;
use crate::store::JobStoreError;
use crate::webhooks::event::EventKind;
use crate::webhooks::model::{DeliveryState, MessageId, Outcome};
use crate::webhooks::retry::{RetryRules, Trial, Verdict};
use crate::webhooks::secret::Secrets;

/// Endpoints that are looked at in one transaction.
const ENDPOINT_BATCH: u64 = 32;

/// An owner who sends as much as allowed is looked at again after this long.
const OWNER_PAUSE: Duration = Duration::from_secs(1);

pub(super) const PENDING: i16 = 0;
pub(super) const DELIVERED: i16 = 1;
pub(super) const FAILED: i16 = 2;

/// How much may be sent at a time.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// By this process, now.
    pub total: usize,
    /// To the endpoints of one owner, by all replicas together. Not exact while several claim at once.
    pub per_owner: usize,
    /// To one endpoint, by all replicas together. Exact.
    pub per_endpoint: usize,
    /// Whoever claims a delivery has this long; then another may.
    pub lease: Duration,
}

/// A claimed delivery.
#[derive(Clone, Debug)]
pub struct Due {
    /// Which.
    pub id: Uuid,
    /// Where it goes.
    pub endpoint: Uuid,
    /// Where that is.
    pub url: String,
    /// What signs.
    pub secrets: Secrets,
    /// What it is.
    pub message: MessageId,
    /// What it tells of.
    pub event: EventKind,
    /// JSON.
    pub body: String,
    /// When it happened.
    pub event_time: Time,
    /// The number of this try, from 1. Fences off claims before this one.
    pub attempt: i32,
}

impl WebhookStore {
    /// Claims deliveries that are due. Each try is counted here, before it is made.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn claim(
        &self,
        room: Room,
        rules: &RetryRules,
        now: Time,
    ) -> Result<Vec<Due>, JobStoreError> {
        let due = endpoint::Entity::find()
            .filter(endpoint::Column::Enabled.eq(true))
            .filter(endpoint::Column::NextDue.lte(now));
        if due.clone().one(self.db.reader()).await?.is_none() {
            return Ok(Vec::new());
        }
        let tx = self.begin().await?;
        let endpoints = due
            .order_by_asc(endpoint::Column::NextDue)
            .limit(ENDPOINT_BATCH)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(&tx)
            .await?;
        let mut in_flight = in_flight(&tx, &endpoints, now).await?;
        let mut claimed = Vec::new();
        for row in &endpoints {
            let left = room.total.saturating_sub(claimed.len());
            if left == 0 {
                break;
            }
            let space = in_flight.space(row, room, rules).min(left);
            let taken = take(&tx, row, space, room.lease, now).await?;
            in_flight.add(row, taken.len());
            let is_full = in_flight.space(row, room, rules) == 0;
            let next_due = next_due(&tx, row, is_full, room.lease, now).await?;
            set_next_due(&tx, row.id, next_due).await?;
            claimed.extend(taken);
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Writes down how a claimed delivery went, and what follows. None when the claim had lapsed and another took
    /// over, or when the endpoint is gone.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn settle(
        &self,
        due: &Due,
        outcome: &Outcome,
        rules: &RetryRules,
        now: Time,
        chance: f64,
    ) -> Result<Option<Verdict>, JobStoreError> {
        let tx = self.begin().await?;
        let row = endpoint::Entity::find_by_id(due.endpoint);
        let Some(row) = row.lock_exclusive().one(&tx).await? else {
            return Ok(None);
        };
        let held = delivery::Entity::find_by_id(due.id)
            .filter(delivery::Column::IsLeased.eq(true))
            .filter(delivery::Column::Attempts.eq(due.attempt));
        let Some(held) = held.lock_exclusive().one(&tx).await? else {
            return Ok(None);
        };
        let mut health = health_of(&row);
        let trial = Trial {
            failures: u32::try_from(held.failures).unwrap_or(0),
            give_up_time: held.give_up_time,
        };
        let verdict = rules.settle(&mut health, trial, outcome, now, chance);
        let mut changed = endpoint::ActiveModel {
            next_due: Set(Some(now)),
            ..Default::default()
        };
        set_health(&mut changed, &health)?;
        endpoint::Entity::update_many()
            .set(changed)
            .filter(endpoint::Column::Id.eq(row.id))
            .exec(&tx)
            .await?;
        update_delivery(&tx, due.id, settled(&held, outcome, &verdict)).await?;
        tx.commit().await?;
        Ok(Some(verdict))
    }
}

/// Tries under way, by all replicas.
struct InFlight {
    by_endpoint: HashMap<Uuid, usize>,
    by_owner: HashMap<String, usize>,
}

impl InFlight {
    /// How many more tries an endpoint may have now.
    fn space(&self, row: &endpoint::Model, room: Room, rules: &RetryRules) -> usize {
        // Whether it is back is found out with a single try.
        let most = if rules.is_half_open(&health_of(row)) {
            1
        } else {
            room.per_endpoint
        };
        let of_endpoint = self.by_endpoint.get(&row.id).copied().unwrap_or(0);
        let of_owner = self.by_owner.get(&row.owner).copied().unwrap_or(0);
        let in_endpoint = most.saturating_sub(of_endpoint);
        in_endpoint.min(room.per_owner.saturating_sub(of_owner))
    }

    fn add(&mut self, row: &endpoint::Model, count: usize) {
        *self.by_endpoint.entry(row.id).or_default() += count;
        *self.by_owner.entry(row.owner.clone()).or_default() += count;
    }
}

async fn in_flight(
    tx: &impl ConnectionTrait,
    endpoints: &[endpoint::Model],
    now: Time,
) -> Result<InFlight, JobStoreError> {
    let owners: HashSet<&str> = endpoints.iter().map(|row| row.owner.as_str()).collect();
    let leased: Vec<(String, Uuid, i64)> = delivery::Entity::find()
        .filter(delivery::Column::IsLeased.eq(true))
        .filter(delivery::Column::Owner.is_in(owners))
        .filter(delivery::Column::NextAttemptTime.gt(now))
        .select_only()
        .column(delivery::Column::Owner)
        .column(delivery::Column::EndpointId)
        .column_as(delivery::Column::Id.count(), "count")
        .group_by(delivery::Column::Owner)
        .group_by(delivery::Column::EndpointId)
        .into_tuple()
        .all(tx)
        .await?;
    let mut in_flight = InFlight {
        by_endpoint: HashMap::new(),
        by_owner: HashMap::new(),
    };
    for (owner, endpoint, count) in leased {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        *in_flight.by_owner.entry(owner).or_default() += count;
        in_flight.by_endpoint.insert(endpoint, count);
    }
    Ok(in_flight)
}

fn pending_of(endpoint: Uuid) -> Select<delivery::Entity> {
    delivery::Entity::find()
        .filter(delivery::Column::EndpointId.eq(endpoint))
        .filter(delivery::Column::State.eq(PENDING))
}

/// Leases up to `space` due deliveries of an endpoint whose row is locked.
async fn take(
    tx: &impl ConnectionTrait,
    row: &endpoint::Model,
    space: usize,
    lease: Duration,
    now: Time,
) -> Result<Vec<Due>, JobStoreError> {
    if space == 0 || row.paused_until.is_some_and(|until| until > now) {
        return Ok(Vec::new());
    }
    let due = pending_of(row.id)
        .filter(delivery::Column::NextAttemptTime.lte(now))
        .order_by_asc(delivery::Column::NextAttemptTime)
        .order_by_asc(delivery::Column::Id)
        .limit(space as u64)
        .all(tx)
        .await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    delivery::Entity::update_many()
        .col_expr(
            delivery::Column::Attempts,
            Expr::col(delivery::Column::Attempts).add(1),
        )
        .col_expr(delivery::Column::IsLeased, Expr::value(true))
        .col_expr(delivery::Column::NextAttemptTime, Expr::value(now + lease))
        .col_expr(delivery::Column::LastAttemptTime, Expr::value(now))
        .filter(delivery::Column::Id.is_in(due.iter().map(|it| it.id)))
        .exec(tx)
        .await?;
    let messages = message::Entity::find()
        .filter(message::Column::Id.is_in(due.iter().map(|it| it.message_id)))
        .all(tx)
        .await?;
    let messages: HashMap<Uuid, message::Model> =
        messages.into_iter().map(|it| (it.id, it)).collect();
    let secrets = secrets_of(row)?;
    let claimed = due.into_iter().map(|it| {
        let message = messages.get(&it.message_id);
        due_of(row, &it, message, secrets.clone())
    });
    claimed.collect()
}

fn due_of(
    row: &endpoint::Model,
    it: &delivery::Model,
    message: Option<&message::Model>,
    secrets: Secrets,
) -> Result<Due, JobStoreError> {
    let message = message.ok_or_else(|| unreadable("webhook_message", "it is missing"))?;
    Ok(Due {
        id: it.id,
        endpoint: row.id,
        url: row.url.clone(),
        secrets,
        message: MessageId(message.id),
        event: event_of(it.event)?,
        body: message.body.clone(),
        event_time: message.create_time,
        attempt: it.attempts + 1,
    })
}

/// When an endpoint is to be looked at again.
async fn next_due(
    tx: &impl ConnectionTrait,
    row: &endpoint::Model,
    is_full: bool,
    lease: Duration,
    now: Time,
) -> Result<Option<Time>, JobStoreError> {
    if let Some(until) = row.paused_until.filter(|until| *until > now) {
        return Ok(Some(until));
    }
    let first: Option<Option<Time>> = pending_of(row.id)
        .select_only()
        .column_as(delivery::Column::NextAttemptTime.min(), "first")
        .into_tuple()
        .one(tx)
        .await?;
    let first = first.flatten();
    // The end of a try looks again at once; an owner may be held up by another endpoint of hers.
    let soonest = now + OWNER_PAUSE.min(lease);
    Ok(match first {
        Some(first) if is_full && first < soonest => Some(soonest),
        first => first,
    })
}

pub(super) async fn set_next_due(
    tx: &impl ConnectionTrait,
    id: Uuid,
    next_due: Option<Time>,
) -> Result<(), JobStoreError> {
    endpoint::Entity::update_many()
        .col_expr(endpoint::Column::NextDue, Expr::value(next_due))
        .filter(endpoint::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

pub(super) async fn update_delivery(
    tx: &impl ConnectionTrait,
    id: Uuid,
    changed: delivery::ActiveModel,
) -> Result<(), JobStoreError> {
    delivery::Entity::update_many()
        .set(changed)
        .filter(delivery::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

fn settled(held: &delivery::Model, outcome: &Outcome, verdict: &Verdict) -> delivery::ActiveModel {
    let (status, error) = match outcome {
        Outcome::Delivered { status } => (*status, ""),
        Outcome::Gone => (410, "wants no more messages; the endpoint is disabled"),
        Outcome::Failed(failed) => (failed.status.unwrap_or(0), failed.error),
    };
    let has_failed = verdict.state != DeliveryState::Delivered;
    delivery::ActiveModel {
        state: Set(state_number(verdict.state)),
        failures: Set(held.failures.saturating_add(i32::from(has_failed))),
        last_status: Set(status.into()),
        last_error: Set(error.to_owned()),
        is_leased: Set(false),
        next_attempt_time: Set(verdict.next_attempt_time),
        ..Default::default()
    }
}

const fn state_number(state: DeliveryState) -> i16 {
    match state {
        DeliveryState::Pending => PENDING,
        DeliveryState::Delivered => DELIVERED,
        DeliveryState::Failed => FAILED,
    }
}

pub(super) fn event_of(number: i16) -> Result<EventKind, JobStoreError> {
    let kind = EventKind::from_number(number);
    kind.ok_or_else(|| unreadable("webhook_delivery", "the event is unknown"))
}
