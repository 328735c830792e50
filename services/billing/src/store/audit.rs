//! The audit log of operators and of redemptions. Lines are written in the transaction of what they tell, and never
//! changed. Ids grow with time, so they are the order.

use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::vouchers::audit as lines;
use crate::domain::Time;

/// The result of what was done.
pub const DONE: &str = "done";

const MAX_TARGET_CHARACTERS: usize = 200;
const MAX_RESULT_CHARACTERS: usize = 512;

/// Which lines are asked for. What is empty fits every line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
}

/// Appends a line: `actor` is the id of a user, or `system`; `action` is for example `campaign.create`; `target` is what it
/// was done to, a payer, a job or a campaign; `result` is [`DONE`], why it was refused, or what came of it in a few words.
/// No code of a voucher, no address of mail.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn audit(
    tx: &impl ConnectionTrait,
    actor: &str,
    action: &'static str,
    target: &str,
    result: &str,
    now: Time,
) -> Result<(), DbErr> {
    let row = lines::ActiveModel {
        id: Set(Uuid::now_v7()),
        time: Set(now),
        actor: Set(actor.to_owned()),
        action: Set(action.to_owned()),
        target: Set(target.chars().take(MAX_TARGET_CHARACTERS).collect()),
        result: Set(result.chars().take(MAX_RESULT_CHARACTERS).collect()),
    };
    lines::Entity::insert(row)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Reads lines that fit, newest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn newest(
    db: &impl ConnectionTrait,
    filter: &Filter,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<lines::Model>, DbErr> {
    let mut found = lines::Entity::find();
    for (column, wanted) in [
        (lines::Column::Actor, &filter.actor),
        (lines::Column::Action, &filter.action),
        (lines::Column::Target, &filter.target),
    ] {
        if !wanted.is_empty() {
            found = found.filter(column.eq(wanted));
        }
    }
    if let Some(before) = before {
        found = found.filter(lines::Column::Id.lt(before));
    }
    found
        .order_by_desc(lines::Column::Id)
        .limit(limit)
        .all(db)
        .await
}
