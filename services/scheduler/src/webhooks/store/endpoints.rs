//! Endpoints of an owner.

use kinora_ids::JobId;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel,
    Order, QueryFilter, QueryOrder, QuerySelect, TryInsertResult,
};
use uuid::Uuid;

use super::entity::endpoint;
use super::outbox::BOUND_ENDPOINT_LIFE;
use super::{WebhookStore, unreadable};
use crate::domain::job::Time;
use crate::store::JobStoreError;
use crate::webhooks::event::{EventKind, Subscription};
use crate::webhooks::model::{Endpoint, Health, MAX_ENDPOINTS};
use crate::webhooks::secret::{Secret, Secrets};

/// Endpoints that a list names; those of ended jobs are beyond the limit of an owner.
const LIST_LIMIT: u64 = 1000;

/// An endpoint to be made.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// Whose.
    pub owner: String,
    /// Checked.
    pub url: String,
    /// The wanted events.
    pub subscription: Subscription,
    /// The only job it is told of.
    pub job: Option<JobId>,
    /// What signs.
    pub secret: Secret,
}

/// What to change of an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Checked.
    pub url: Option<String>,
    /// The wanted events.
    pub subscription: Option<Subscription>,
    /// Whether it gets messages.
    pub enabled: Option<bool>,
    /// A new secret, and whether the one before it is dropped.
    pub secret: Option<(Secret, bool)>,
}

impl WebhookStore {
    /// Makes an endpoint; none when the owner has as many as allowed.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn create_endpoint(
        &self,
        new: &NewEndpoint,
        now: Time,
    ) -> Result<Option<Endpoint>, JobStoreError> {
        let mut row = new_row(new, now);
        // Another call may take a slot that was seen free; one of them is tried again.
        for _ in 0..=MAX_ENDPOINTS {
            let tx = self.begin().await?;
            let Some(slot) = free_slot(&tx, &new.owner).await? else {
                return Ok(None);
            };
            row.slot = Some(slot);
            let inserted = endpoint::Entity::insert(row.clone().into_active_model())
                .on_conflict_do_nothing_on([endpoint::Column::Owner, endpoint::Column::Slot])
                .exec_without_returning(&tx)
                .await?;
            if matches!(inserted, TryInsertResult::Inserted(rows) if rows > 0) {
                tx.commit().await?;
                return endpoint_from_row(row).map(Some);
            }
        }
        Err(JobStoreError::LostUpdate)
    }

    /// Whether the owner may have one more endpoint. Another call may take the place meanwhile.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn has_room(&self, owner: &str) -> Result<bool, JobStoreError> {
        Ok(free_slot(self.db.reader(), owner).await?.is_some())
    }

    /// Reads an endpoint of `owner`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn endpoint(&self, owner: &str, id: Uuid) -> Result<Option<Endpoint>, JobStoreError> {
        let row = of_owner(owner, id).one(self.db.reader()).await?;
        row.map(endpoint_from_row).transpose()
    }

    /// Lists the endpoints of `owner`: those that have a place first, then those of ended jobs, the oldest first.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn endpoints(&self, owner: &str) -> Result<Vec<Endpoint>, JobStoreError> {
        let rows = endpoint::Entity::find()
            .filter(endpoint::Column::Owner.eq(owner))
            .order_by(endpoint::Column::Slot.is_null(), Order::Asc)
            .order_by_asc(endpoint::Column::Id)
            .limit(LIST_LIMIT)
            .all(self.db.reader())
            .await?;
        rows.into_iter().map(endpoint_from_row).collect()
    }

    /// Changes an endpoint of `owner`; none when there is no such.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn change_endpoint(
        &self,
        owner: &str,
        id: Uuid,
        changes: Changes,
        now: Time,
    ) -> Result<Option<Endpoint>, JobStoreError> {
        let tx = self.begin().await?;
        let Some(mut row) = of_owner(owner, id).lock_exclusive().one(&tx).await? else {
            return Ok(None);
        };
        apply(&mut row, changes, now);
        let mut active = row.clone().into_active_model().reset_all();
        active.id = sea_orm::ActiveValue::NotSet;
        endpoint::Entity::update_many()
            .set(active)
            .filter(endpoint::Column::Id.eq(id))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        endpoint_from_row(row).map(Some)
    }

    /// Lets an endpoint go as if its job had ended now; it keeps its place until then.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn expire_endpoint(&self, id: Uuid, now: Time) -> Result<(), JobStoreError> {
        let expire_time = Some(now + BOUND_ENDPOINT_LIFE);
        endpoint::Entity::update_many()
            .col_expr(endpoint::Column::ExpireTime, Expr::value(expire_time))
            .filter(endpoint::Column::Id.eq(id))
            .exec(self.db.writer())
            .await?;
        Ok(())
    }

    /// Removes an endpoint of `owner` and its deliveries. False when there is no such.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn delete_endpoint(&self, owner: &str, id: Uuid) -> Result<bool, JobStoreError> {
        let deleted = endpoint::Entity::delete_many()
            .filter(endpoint::Column::Id.eq(id))
            .filter(endpoint::Column::Owner.eq(owner))
            .exec(self.db.writer())
            .await?;
        Ok(deleted.rows_affected == 1)
    }
}

fn of_owner(owner: &str, id: Uuid) -> sea_orm::Select<endpoint::Entity> {
    endpoint::Entity::find_by_id(id).filter(endpoint::Column::Owner.eq(owner))
}

async fn free_slot(tx: &impl ConnectionTrait, owner: &str) -> Result<Option<i16>, JobStoreError> {
    let taken: Vec<i16> = endpoint::Entity::find()
        .filter(endpoint::Column::Owner.eq(owner))
        .filter(endpoint::Column::Slot.is_not_null())
        .select_only()
        .column(endpoint::Column::Slot)
        .into_tuple()
        .all(tx)
        .await?;
    Ok((0..MAX_ENDPOINTS).find(|slot| !taken.contains(slot)))
}

fn new_row(new: &NewEndpoint, now: Time) -> endpoint::Model {
    endpoint::Model {
        id: Uuid::now_v7(),
        owner: new.owner.clone(),
        slot: None,
        url: new.url.clone(),
        events: new.subscription.bits(),
        wants_progress: new.subscription.wants(EventKind::Progress),
        job_id: new.job.map(JobId::as_uuid),
        secret: new.secret.expose().to_owned(),
        former_secret: None,
        enabled: true,
        consecutive_failures: 0,
        openings: 0,
        paused_until: None,
        next_due: None,
        expire_time: None,
        create_time: now,
    }
}

fn apply(row: &mut endpoint::Model, changes: Changes, now: Time) {
    if let Some(subscription) = changes.subscription {
        row.events = subscription.bits();
        row.wants_progress = subscription.wants(EventKind::Progress);
    }
    if let Some((secret, drops_former)) = changes.secret {
        let former = std::mem::replace(&mut row.secret, secret.expose().to_owned());
        row.former_secret = (!drops_former).then_some(former);
    }
    let is_new_start = changes.url.is_some() || changes.enabled == Some(true);
    if let Some(url) = changes.url {
        row.url = url;
    }
    if let Some(enabled) = changes.enabled {
        row.enabled = enabled;
    }
    if is_new_start {
        row.consecutive_failures = 0;
        row.openings = 0;
        row.paused_until = None;
        row.next_due = Some(now);
    }
}

/// Its health as columns.
pub(super) fn set_health(
    row: &mut endpoint::ActiveModel,
    health: &Health,
) -> Result<(), JobStoreError> {
    let number = |count: u32| {
        i32::try_from(count).map_err(|_| unreadable("webhook_endpoint", "a count is out of range"))
    };
    row.enabled = Set(health.enabled);
    row.consecutive_failures = Set(number(health.consecutive_failures)?);
    row.openings = Set(number(health.openings)?);
    row.paused_until = Set(health.paused_until);
    Ok(())
}

pub(super) fn health_of(row: &endpoint::Model) -> Health {
    Health {
        enabled: row.enabled,
        consecutive_failures: u32::try_from(row.consecutive_failures).unwrap_or(0),
        openings: u32::try_from(row.openings).unwrap_or(0),
        paused_until: row.paused_until,
    }
}

pub(super) fn secrets_of(row: &endpoint::Model) -> Result<Secrets, JobStoreError> {
    let read = |text: &String| {
        Secret::parse(text).map_err(|error| unreadable("webhook_endpoint", &error.to_string()))
    };
    Ok(Secrets {
        present: read(&row.secret)?,
        former: row.former_secret.as_ref().map(read).transpose()?,
    })
}

fn endpoint_from_row(row: endpoint::Model) -> Result<Endpoint, JobStoreError> {
    Ok(Endpoint {
        id: row.id,
        subscription: Subscription::from_bits(row.events),
        job: row.job_id.map(JobId::from_uuid),
        secrets: secrets_of(&row)?,
        health: health_of(&row),
        create_time: row.create_time,
        url: row.url,
    })
}
