//! The log of deliveries, and sending one again.

use kinora_ids::JobId;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::deliveries::{DELIVERED, FAILED, PENDING, event_of, set_next_due, update_delivery};
use super::entity::{delivery, endpoint};
use super::{WebhookStore, unreadable};
use crate::domain::job::Time;
use crate::store::JobStoreError;
use crate::webhooks::model::{Delivery, DeliveryState, MessageId};

impl WebhookStore {
    /// Lists up to `limit` deliveries of an endpoint, newest first, from those older than `before`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn deliveries(
        &self,
        owner: &str,
        endpoint: Uuid,
        before: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<Delivery>, JobStoreError> {
        let mut query = delivery::Entity::find()
            .filter(delivery::Column::EndpointId.eq(endpoint))
            .filter(delivery::Column::Owner.eq(owner));
        if let Some(before) = before {
            query = query.filter(delivery::Column::Id.lt(before));
        }
        let rows = query
            .order_by_desc(delivery::Column::Id)
            .limit(limit)
            .all(self.db.reader())
            .await?;
        rows.into_iter().map(delivery_from_row).collect()
    }

    /// Lets a delivery of `owner` go out again; one that is on its way is left as it is. Answers with the delivery
    /// and whether its endpoint is enabled, or none when there is no such.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn replay(
        &self,
        owner: &str,
        id: Uuid,
        give_up_time: Time,
        now: Time,
    ) -> Result<Option<(Delivery, bool)>, JobStoreError> {
        let of_owner =
            || delivery::Entity::find_by_id(id).filter(delivery::Column::Owner.eq(owner));
        let tx = self.begin().await?;
        let Some(seen) = of_owner().one(&tx).await? else {
            return Ok(None);
        };
        // The endpoint first, as everywhere.
        let at = endpoint::Entity::find_by_id(seen.endpoint_id);
        let Some(at) = at.lock_exclusive().one(&tx).await? else {
            return Ok(None);
        };
        let Some(mut row) = of_owner().lock_exclusive().one(&tx).await? else {
            return Ok(None);
        };
        let is_under_way = row.is_leased && row.next_attempt_time > now;
        if at.enabled && !is_under_way {
            row.state = PENDING;
            row.failures = 0;
            row.is_leased = false;
            row.next_attempt_time = now;
            row.give_up_time = give_up_time;
            let changed = delivery::ActiveModel {
                state: Set(row.state),
                failures: Set(row.failures),
                is_leased: Set(row.is_leased),
                next_attempt_time: Set(row.next_attempt_time),
                give_up_time: Set(row.give_up_time),
                ..Default::default()
            };
            update_delivery(&tx, id, changed).await?;
            set_next_due(&tx, at.id, Some(now)).await?;
            tx.commit().await?;
        }
        Ok(Some((delivery_from_row(row)?, at.enabled)))
    }

    /// Gives deliveries up whose time is over, wherever they stand, up to `limit`. Returns how many.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn give_up(&self, now: Time, limit: u64) -> Result<u64, JobStoreError> {
        let is_idle = Condition::any()
            .add(delivery::Column::IsLeased.eq(false))
            .add(delivery::Column::NextAttemptTime.lte(now));
        let over: Vec<Uuid> = delivery::Entity::find()
            .filter(delivery::Column::State.eq(PENDING))
            .filter(delivery::Column::GiveUpTime.lte(now))
            .filter(is_idle.clone())
            .select_only()
            .column(delivery::Column::Id)
            .limit(limit)
            .into_tuple()
            .all(self.db.reader())
            .await?;
        if over.is_empty() {
            return Ok(0);
        }
        let changed = delivery::ActiveModel {
            state: Set(FAILED),
            is_leased: Set(false),
            ..Default::default()
        };
        let given_up = delivery::Entity::update_many()
            .set(changed)
            .filter(delivery::Column::Id.is_in(over))
            .filter(delivery::Column::State.eq(PENDING))
            .filter(delivery::Column::GiveUpTime.lte(now))
            .filter(is_idle)
            .exec(self.db.writer())
            .await?;
        Ok(given_up.rows_affected)
    }
}

fn delivery_from_row(row: delivery::Model) -> Result<Delivery, JobStoreError> {
    let state = match row.state {
        PENDING => DeliveryState::Pending,
        DELIVERED => DeliveryState::Delivered,
        FAILED => DeliveryState::Failed,
        _ => return Err(unreadable("webhook_delivery", "the state is unknown")),
    };
    Ok(Delivery {
        id: row.id,
        endpoint: row.endpoint_id,
        message: MessageId(row.message_id),
        event: event_of(row.event)?,
        job: JobId::from_uuid(row.job_id),
        state,
        attempts: u32::try_from(row.attempts).unwrap_or(0),
        last_status: u16::try_from(row.last_status).unwrap_or(0),
        last_error: row.last_error,
        create_time: row.create_time,
        next_attempt_time: row.next_attempt_time,
        last_attempt_time: row.last_attempt_time,
    })
}
