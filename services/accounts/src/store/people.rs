//! People as operators see and change them.

use sea_orm::sea_query::{Expr, Func, LikeExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::people::user;

/// May sign in.
pub const ACTIVE: i16 = 1;

/// An operator has disabled the account.
pub const DISABLED: i16 = 2;

/// To be erased when the grace period ends.
pub const LEAVING: i16 = 3;

/// Nothing personal is left. The row stays, so that ids in the audit log name something.
pub const ERASED: i16 = 4;

/// Reads a user who was not erased, and keeps others from changing the row until the end of the transaction.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock(tx: &impl ConnectionTrait, id: Uuid) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find_by_id(id)
        .filter(user::Column::State.ne(ERASED))
        .lock_exclusive()
        .one(tx)
        .await
}

/// Reads a user who was not erased, by id or by the key of the address.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(
    db: &impl ConnectionTrait,
    id_or_address: &str,
) -> Result<Option<user::Model>, DbErr> {
    let named = match id_or_address.parse::<Uuid>() {
        Ok(id) => user::Column::Id.eq(id),
        Err(_) => user::Column::EmailKey.eq(id_or_address.to_lowercase()),
    };
    user::Entity::find()
        .filter(named)
        .filter(user::Column::State.ne(ERASED))
        .one(db)
        .await
}

/// Changes what is set of a user.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn update(
    tx: &impl ConnectionTrait,
    id: Uuid,
    changed: user::ActiveModel,
) -> Result<(), DbErr> {
    user::Entity::update_many()
        .set(changed)
        .filter(user::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Lists users who fit `query` (part of address or name, or an id; empty for all), newest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn page(
    db: &impl ConnectionTrait,
    query: &str,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<user::Model>, DbErr> {
    let mut found = user::Entity::find().filter(user::Column::State.ne(ERASED));
    if let Ok(id) = query.parse::<Uuid>() {
        found = found.filter(user::Column::Id.eq(id));
    } else if !query.is_empty() {
        let fits = Condition::any()
            .add(holds(user::Column::EmailKey, query))
            .add(holds(user::Column::DisplayName, query));
        found = found.filter(fits);
    }
    if let Some(before) = before {
        found = found.filter(user::Column::Id.lt(before));
    }
    found
        .order_by_desc(user::Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Counts operators who may sign in, but for one.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn operators_beside(tx: &impl ConnectionTrait, id: Uuid) -> Result<u64, DbErr> {
    user::Entity::find()
        .filter(user::Column::IsOperator.eq(true))
        .filter(user::Column::State.eq(ACTIVE))
        .filter(user::Column::Id.ne(id))
        .count(tx)
        .await
}

/// Whether a column holds a text somewhere, in upper or lower case. SQLite knows the case of ASCII letters only.
pub fn holds(column: impl ColumnTrait, text: &str) -> Expr {
    let pattern = format!("%{}%", escaped(&text.to_lowercase()));
    Expr::expr(Func::lower(Expr::col(column))).like(LikeExpr::new(pattern).escape('\\'))
}

/// Whether a column begins with a text.
pub fn begins_with(column: impl ColumnTrait, text: &str) -> Expr {
    let pattern = format!("{}%", escaped(text));
    Expr::col(column).like(LikeExpr::new(pattern).escape('\\'))
}

/// A text in which no character has a meaning to LIKE.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '%' | '_') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
