//! Subscriptions, as people read them.

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::payments::subscription;
use crate::domain::payer::Payer;
use crate::domain::payment::SubscriptionStanding;
use crate::error::Error;

/// Nobody has more; Stripe would let them.
const MOST_SUBSCRIPTIONS: u64 = 100;

/// Reads the subscriptions of a payer that have not ended, newest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn subscriptions(
    conn: &impl ConnectionTrait,
    payer: &Payer,
) -> Result<Vec<subscription::Model>, Error> {
    let found = subscription::Entity::find()
        .filter(subscription::Column::Payer.eq(payer.to_string()))
        .filter(subscription::Column::Status.ne(SubscriptionStanding::Ended.code()))
        .order_by_desc(subscription::Column::CreateTime)
        .order_by_desc(subscription::Column::Id)
        .limit(MOST_SUBSCRIPTIONS);
    Ok(found.all(conn).await?)
}
