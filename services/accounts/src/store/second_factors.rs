//! Secrets of time-based codes, and recovery codes.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::entity::people::{recovery_code, totp};
use crate::domain::Time;

/// The secret of a user, confirmed or not.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find_totp(
    tx: &impl ConnectionTrait,
    user: Uuid,
) -> Result<Option<totp::Model>, DbErr> {
    totp::Entity::find_by_id(user).one(tx).await
}

/// Whether a user's sign-ins ask for a second step.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn has_totp(tx: &impl ConnectionTrait, user: Uuid) -> Result<bool, DbErr> {
    let found = find_totp(tx, user).await?;
    Ok(found.is_some_and(|row| row.is_confirmed))
}

/// Keeps a secret that waits to be confirmed, in place of one that did.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn keep_totp(
    tx: &impl ConnectionTrait,
    user: Uuid,
    sealed_secret: Vec<u8>,
    now: Time,
) -> Result<(), DbErr> {
    let row = totp::ActiveModel {
        user_id: Set(user),
        sealed_secret: Set(sealed_secret),
        is_confirmed: Set(false),
        last_step: Set(0),
        create_time: Set(now),
    };
    let replace = OnConflict::column(totp::Column::UserId)
        .update_columns([
            totp::Column::SealedSecret,
            totp::Column::IsConfirmed,
            totp::Column::LastStep,
            totp::Column::CreateTime,
        ])
        .to_owned();
    totp::Entity::insert(row)
        .on_conflict(replace)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Notes that the code of a step was taken, which confirms the secret. False when that step or a later one was taken
/// already.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn take_step(tx: &impl ConnectionTrait, user: Uuid, step: i64) -> Result<bool, DbErr> {
    let taken = totp::Entity::update_many()
        .col_expr(totp::Column::LastStep, Expr::value(step))
        .col_expr(totp::Column::IsConfirmed, Expr::value(true))
        .filter(totp::Column::UserId.eq(user))
        .filter(totp::Column::LastStep.lt(step))
        .exec(tx)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Forgets a user's secret and recovery codes. False when there was no secret.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn remove(tx: &impl ConnectionTrait, user: Uuid) -> Result<bool, DbErr> {
    let removed = totp::Entity::delete_by_id(user).exec(tx).await?;
    recovery_code::Entity::delete_many()
        .filter(recovery_code::Column::UserId.eq(user))
        .exec(tx)
        .await?;
    Ok(removed.rows_affected == 1)
}

/// Keeps recovery codes in place of all that there were.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn replace_recovery_codes(
    tx: &impl ConnectionTrait,
    user: Uuid,
    hashes: Vec<Vec<u8>>,
) -> Result<(), DbErr> {
    recovery_code::Entity::delete_many()
        .filter(recovery_code::Column::UserId.eq(user))
        .exec(tx)
        .await?;
    let rows = hashes.into_iter().map(|sha256| recovery_code::ActiveModel {
        id: Set(Uuid::now_v7()),
        user_id: Set(user),
        sha256: Set(sha256),
        use_time: Set(None),
    });
    recovery_code::Entity::insert_many(rows)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Uses a recovery code up. False when it is not the user's, or was used.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn use_recovery_code(
    tx: &impl ConnectionTrait,
    user: Uuid,
    sha256: &[u8],
    now: Time,
) -> Result<bool, DbErr> {
    let used = recovery_code::Entity::update_many()
        .col_expr(recovery_code::Column::UseTime, Expr::value(now))
        .filter(recovery_code::Column::UserId.eq(user))
        .filter(recovery_code::Column::Sha256.eq(sha256))
        .filter(recovery_code::Column::UseTime.is_null())
        .exec(tx)
        .await?;
    Ok(used.rows_affected == 1)
}
