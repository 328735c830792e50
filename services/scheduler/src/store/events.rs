//! Writing what happened.

use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel};

use super::JobStoreError;
use super::entity::job_event;
use super::hooks::on_events;
use super::rows::event_to_row;
use crate::domain::job::{Event, Job};

/// Appends transitions and tells those who must know in the same transaction.
pub async fn record(
    tx: &DatabaseTransaction,
    events: &[(&Job, &Event)],
) -> Result<(), JobStoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::with_capacity(events.len());
    for (_, event) in events {
        rows.push(event_to_row(event)?.into_active_model());
    }
    job_event::Entity::insert_many(rows)
        .exec_without_returning(tx)
        .await?;
    on_events(tx, events).await
}
