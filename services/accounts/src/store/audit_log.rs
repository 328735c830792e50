//! The audit log as it is read. Ids grow with time, so they are the order.

use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait};
use sea_orm::{QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use super::entity::trust::audit;
use super::search::begins_with;
use crate::domain::audit::Filter;

/// Reads lines that fit, newest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn newest(
    db: &impl ConnectionTrait,
    filter: &Filter,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<audit::Model>, DbErr> {
    let mut lines = fitting(filter);
    if let Some(before) = before {
        lines = lines.filter(audit::Column::Id.lt(before));
    }
    lines
        .order_by_desc(audit::Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Reads lines that fit, oldest first, up to and with the line `last`.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn oldest(
    db: &impl ConnectionTrait,
    filter: &Filter,
    after: Option<Uuid>,
    last: Uuid,
    limit: u64,
) -> Result<Vec<audit::Model>, DbErr> {
    let mut lines = fitting(filter).filter(audit::Column::Id.lte(last));
    if let Some(after) = after {
        lines = lines.filter(audit::Column::Id.gt(after));
    }
    lines
        .order_by_asc(audit::Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Reads lines that a user did or that concern the user, newest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn of_user(
    db: &impl ConnectionTrait,
    user: Uuid,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<audit::Model>, DbErr> {
    let mut lines = Vec::new();
    for way in ways_to(user) {
        let before = before.map(|before| audit::Column::Id.lt(before));
        let some = audit::Entity::find().filter(way.add_option(before));
        lines.extend(
            some.order_by_desc(audit::Column::Id)
                .limit(limit)
                .all(db)
                .await?,
        );
    }
    lines.sort_unstable_by_key(|line| std::cmp::Reverse(line.id));
    Ok(first(lines, limit))
}

/// The same, oldest first, of those after `after` up to and with `last`.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn of_user_from(
    db: &impl ConnectionTrait,
    user: Uuid,
    after: Uuid,
    last: Uuid,
    limit: u64,
) -> Result<Vec<audit::Model>, DbErr> {
    let mut lines = Vec::new();
    for way in ways_to(user) {
        let some = audit::Entity::find()
            .filter(way.add(audit::Column::Id.gt(after)))
            .filter(audit::Column::Id.lte(last));
        lines.extend(
            some.order_by_asc(audit::Column::Id)
                .limit(limit)
                .all(db)
                .await?,
        );
    }
    lines.sort_unstable_by_key(|line| line.id);
    Ok(first(lines, limit))
}

/// Each is a range of an index. In one query they would be read to their ends and sorted for every page.
fn ways_to(user: Uuid) -> [Condition; 2] {
    [
        Condition::all().add(audit::Column::Subject.eq(user)),
        Condition::all().add(audit::Column::Actor.eq(user.to_string())),
    ]
}

fn first(mut lines: Vec<audit::Model>, limit: u64) -> Vec<audit::Model> {
    lines.dedup_by_key(|line| line.id);
    lines.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    lines
}

fn fitting(filter: &Filter) -> Select<audit::Entity> {
    let mut lines = audit::Entity::find();
    if let Some(actor) = &filter.actor {
        lines = lines.filter(audit::Column::Actor.eq(actor));
    }
    if let Some(subject) = filter.subject {
        lines = lines.filter(audit::Column::Subject.eq(subject));
    }
    if let Some(action) = &filter.action {
        lines = lines.filter(begins_with(audit::Column::Action, action));
    }
    if let Some(since) = filter.since {
        lines = lines.filter(audit::Column::Time.gte(since));
    }
    if let Some(until) = filter.until {
        lines = lines.filter(audit::Column::Time.lt(until));
    }
    lines
}
