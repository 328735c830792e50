//! What happens with every durable event, in its transaction.

use sea_orm::DatabaseTransaction;

use super::JobStoreError;
use super::settlements::note_ends;
use crate::domain::job::{Event, Job};
use crate::webhooks::outbox;

/// Called once a transaction with everything that it made durable.
pub async fn on_events(
    tx: &DatabaseTransaction,
    events: &[(&Job, &Event)],
) -> Result<(), JobStoreError> {
    note_ends(tx, events).await?;
    outbox::note_all(tx, events).await
}
