//! The inbox: what happened at Stripe, once an event, until it is handled and for a while longer.

use kinora_stripe_gateway::{Event, EventKind};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, Select,
};

use super::entity::payments::event;
use crate::domain::Time;
use crate::error::Error;

/// A statement has a bounded number of parameters.
const IDS_AT_ONCE: usize = 5_000;

const MAX_PROBLEM_CHARACTERS: usize = 500;

/// All kinds that are kept.
const KINDS: [EventKind; 7] = [
    EventKind::Purchase,
    EventKind::Subscription,
    EventKind::Invoice,
    EventKind::Payment,
    EventKind::Charge,
    EventKind::Refund,
    EventKind::Dispute,
];

/// How a kind stands in the database; None of one that is not kept.
const fn code_of(kind: EventKind) -> Option<i16> {
    match kind {
        EventKind::Purchase => Some(1),
        EventKind::Subscription => Some(2),
        EventKind::Invoice => Some(3),
        EventKind::Payment => Some(4),
        EventKind::Charge => Some(5),
        EventKind::Refund => Some(6),
        EventKind::Dispute => Some(7),
        EventKind::Other => None,
    }
}

/// What kind of object an event is about.
///
/// # Errors
/// [`Error::Broken`] when no kind stands so in the database.
pub fn kind_of(row: &event::Model) -> Result<EventKind, Error> {
    let kind = KINDS.into_iter().find(|it| code_of(*it) == Some(row.kind));
    kind.ok_or_else(|| Error::Broken(format!("no kind of event is {}", row.kind)))
}

/// Keeps an event, and answers whether it is a new one that has something to do with us.
///
/// # Errors
/// [`Error::Database`].
pub async fn insert(conn: &impl ConnectionTrait, event: &Event, now: Time) -> Result<bool, Error> {
    let Some((kind, object)) = code_of(event.kind).zip(event.object.as_ref()) else {
        return Ok(false);
    };
    let row = event::Model {
        id: event.id.to_string(),
        name: event.name.clone(),
        kind,
        object: object.to_string(),
        create_time: event.created,
        receive_time: now,
        tries: 0,
        next_time: now,
        done_time: None,
        problem: None,
    };
    let there = OnConflict::column(event::Column::Id)
        .do_nothing()
        .to_owned();
    let made = event::Entity::insert(row.into_active_model())
        .on_conflict(there)
        .exec_without_returning(conn)
        .await?;
    Ok(made == 1)
}

/// Some of the events that wait and whose time has come, the longest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn due(
    conn: &impl ConnectionTrait,
    now: Time,
    limit: u64,
) -> Result<Vec<event::Model>, Error> {
    let rows = waiting()
        .filter(event::Column::NextTime.lte(now))
        .order_by_asc(event::Column::NextTime)
        .order_by_asc(event::Column::Id)
        .limit(limit);
    Ok(rows.all(conn).await?)
}

/// The ids of all events about an object that wait, also of those whose time has not come, and how often each was tried.
/// Read before the object is fetched: what comes later may be about something newer.
///
/// # Errors
/// [`Error::Database`].
pub async fn waiting_for(
    conn: &impl ConnectionTrait,
    kind: i16,
    object: &str,
) -> Result<Vec<(String, i32)>, Error> {
    let rows = waiting()
        .select_only()
        .columns([event::Column::Id, event::Column::Tries])
        .filter(event::Column::Object.eq(object))
        .filter(event::Column::Kind.eq(kind))
        .order_by_asc(event::Column::Id);
    Ok(rows.into_tuple().all(conn).await?)
}

/// Notes that events are handled, in the transaction of what they led to.
///
/// # Errors
/// [`Error::Database`].
pub async fn done(tx: &DatabaseTransaction, ids: &[String], now: Time) -> Result<(), Error> {
    for some in ids.chunks(IDS_AT_ONCE) {
        event::Entity::update_many()
            .col_expr(event::Column::DoneTime, Expr::value(now))
            .col_expr(event::Column::Problem, Expr::value(None::<String>))
            .filter(event::Column::Id.is_in(some.iter().map(String::as_str)))
            .filter(event::Column::DoneTime.is_null())
            .exec(tx)
            .await?;
    }
    Ok(())
}

/// Notes why events that wait could not be handled, and when they are tried next.
///
/// # Errors
/// [`Error::Database`].
pub async fn failed(
    tx: &DatabaseTransaction,
    ids: &[String],
    problem: &str,
    next_time: Time,
) -> Result<(), Error> {
    let problem: String = problem.chars().take(MAX_PROBLEM_CHARACTERS).collect();
    let tries = Expr::col(event::Column::Tries).add(1);
    for some in ids.chunks(IDS_AT_ONCE) {
        event::Entity::update_many()
            .col_expr(event::Column::Tries, tries.clone())
            .col_expr(event::Column::NextTime, Expr::value(next_time))
            .col_expr(event::Column::Problem, Expr::value(problem.clone()))
            .filter(event::Column::Id.is_in(some.iter().map(String::as_str)))
            .filter(event::Column::DoneTime.is_null())
            .exec(tx)
            .await?;
    }
    Ok(())
}

/// Forgets events that were handled before some time, and answers how many these are.
///
/// # Errors
/// [`Error::Database`].
pub async fn sweep(tx: &DatabaseTransaction, before: Time) -> Result<u64, Error> {
    let removed = event::Entity::delete_many()
        .filter(event::Column::DoneTime.lt(before))
        .exec(tx)
        .await?;
    Ok(removed.rows_affected)
}

fn waiting() -> Select<event::Entity> {
    event::Entity::find().filter(event::Column::DoneTime.is_null())
}

#[cfg(test)]
mod tests;
