//! Rows of payments, as they are compared with each other and with Stripe.

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::payments::{event, receipt, subscription};
use crate::domain::Time;
use crate::domain::payment::SubscriptionStanding;
use crate::error::Error;

/// Reads receipts by their ids.
///
/// # Errors
/// [`Error::Database`].
pub async fn receipts(
    conn: &impl ConnectionTrait,
    ids: &[String],
) -> Result<Vec<receipt::Model>, Error> {
    let found = receipt::Entity::find().filter(receipt::Column::Id.is_in(ids));
    Ok(found.all(conn).await?)
}

/// Reads receipts of everybody, oldest first, of those after `after`.
///
/// # Errors
/// [`Error::Database`].
pub async fn receipts_after(
    conn: &impl ConnectionTrait,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<receipt::Model>, Error> {
    let mut found = receipt::Entity::find();
    if let Some(after) = after {
        found = found.filter(receipt::Column::Seq.gt(after));
    }
    let oldest = found.order_by_asc(receipt::Column::Seq).limit(limit);
    Ok(oldest.all(conn).await?)
}

/// When the first receipt was made.
///
/// # Errors
/// [`Error::Database`].
pub async fn first_receipt_time(conn: &impl ConnectionTrait) -> Result<Option<Time>, Error> {
    let first = receipt::Entity::find().order_by_asc(receipt::Column::CreateTime);
    Ok(first.one(conn).await?.map(|row| row.create_time))
}

/// Reads subscriptions that are paid, of those after `after`, in the order of their ids.
///
/// # Errors
/// [`Error::Database`].
pub async fn active_subscriptions_after(
    conn: &impl ConnectionTrait,
    after: &str,
    limit: u64,
) -> Result<Vec<subscription::Model>, Error> {
    let found = subscription::Entity::find()
        .filter(subscription::Column::Status.eq(SubscriptionStanding::Active.code()))
        .filter(subscription::Column::Id.gt(after))
        .order_by_asc(subscription::Column::Id)
        .limit(limit);
    Ok(found.all(conn).await?)
}

/// When receipts of these subscriptions were made, in no order.
///
/// # Errors
/// [`Error::Database`].
pub async fn receipt_times(
    conn: &impl ConnectionTrait,
    subscriptions: &[String],
) -> Result<Vec<(String, Time)>, Error> {
    let found = receipt::Entity::find()
        .select_only()
        .columns([receipt::Column::Subscription, receipt::Column::CreateTime])
        .filter(receipt::Column::Subscription.is_in(subscriptions))
        .into_tuple();
    Ok(found.all(conn).await?)
}

/// Subscriptions whose period was over before `time` and that have not ended: nothing was heard of them since.
///
/// # Errors
/// [`Error::Database`].
pub async fn overdue_subscriptions(
    conn: &impl ConnectionTrait,
    time: Time,
    limit: u64,
) -> Result<Vec<String>, Error> {
    let found = subscription::Entity::find()
        .select_only()
        .column(subscription::Column::Id)
        .filter(subscription::Column::Status.ne(SubscriptionStanding::Ended.code()))
        .filter(subscription::Column::PeriodEnd.lt(time))
        .order_by_asc(subscription::Column::PeriodEnd)
        .limit(limit)
        .into_tuple();
    Ok(found.all(conn).await?)
}

/// Events that wait since before `time`, oldest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn events_waiting_since(
    conn: &impl ConnectionTrait,
    time: Time,
    limit: u64,
) -> Result<Vec<event::Model>, Error> {
    let found = event::Entity::find()
        .filter(event::Column::DoneTime.is_null())
        .filter(event::Column::ReceiveTime.lt(time))
        .order_by_asc(event::Column::ReceiveTime)
        .limit(limit);
    Ok(found.all(conn).await?)
}

/// How many events wait.
///
/// # Errors
/// [`Error::Database`].
pub async fn events_waiting(conn: &impl ConnectionTrait) -> Result<u64, Error> {
    let waiting = event::Entity::find().filter(event::Column::DoneTime.is_null());
    Ok(waiting.count(conn).await?)
}
