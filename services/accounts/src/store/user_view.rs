//! A user, with the ways to sign in: what the person and operators are shown.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::entity::people::{identity, passkey, recovery_code, totp, user};
use crate::domain::age::{Age, Assurance};

/// A user, with the ways to sign in.
#[derive(Clone, Debug)]
pub struct UserView {
    /// The row.
    pub row: user::Model,
    /// Whether time-based codes are asked for.
    pub has_totp: bool,
    /// How many there are.
    pub passkeys: u32,
    /// How many have not been used.
    pub recovery_codes_left: u32,
    /// At other providers.
    pub identities: Vec<identity::Model>,
}

/// What is known of a user's age. A number that no version has written counts as nothing.
#[must_use]
pub fn age_of(row: &user::Model) -> Age {
    let assurance = match row.age_assurance {
        2 => Assurance::Declared,
        3 => Assurance::Verified,
        _ => return Age::unknown(),
    };
    Age {
        assurance,
        method: row.age_method.clone(),
        is_adult: row.age_is_adult,
        time: row.age_time,
    }
}

/// The number that a row has for how well an age is known.
#[must_use]
pub const fn assurance_number(assurance: Assurance) -> i16 {
    match assurance {
        Assurance::Unverified => 1,
        Assurance::Declared => 2,
        Assurance::Verified => 3,
    }
}

/// Reads how users sign in. The order stays.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn of(db: &impl ConnectionTrait, rows: Vec<user::Model>) -> Result<Vec<UserView>, DbErr> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let totp = of_totp(db, &ids).await?;
    let passkeys = of_passkeys(db, &ids).await?;
    let codes = of_recovery_codes(db, &ids).await?;
    let mut identities = of_identities(db, &ids).await?;
    let view = |row: user::Model| UserView {
        has_totp: totp.contains(&row.id),
        passkeys: passkeys.get(&row.id).copied().unwrap_or_default(),
        recovery_codes_left: codes.get(&row.id).copied().unwrap_or_default(),
        identities: identities.remove(&row.id).unwrap_or_default(),
        row,
    };
    Ok(rows.into_iter().map(view).collect())
}

async fn of_totp(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Uuid>, DbErr> {
    totp::Entity::find()
        .select_only()
        .column(totp::Column::UserId)
        .filter(totp::Column::UserId.is_in(ids.iter().copied()))
        .filter(totp::Column::IsConfirmed.eq(true))
        .into_tuple()
        .all(db)
        .await
}

async fn of_passkeys(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<HashMap<Uuid, u32>, DbErr> {
    let counted: Vec<(Uuid, i64)> = passkey::Entity::find()
        .select_only()
        .column(passkey::Column::UserId)
        .column_as(passkey::Column::UserId.count(), "number")
        .filter(passkey::Column::UserId.is_in(ids.iter().copied()))
        .group_by(passkey::Column::UserId)
        .into_tuple()
        .all(db)
        .await?;
    Ok(counts(counted))
}

async fn of_recovery_codes(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, u32>, DbErr> {
    let counted: Vec<(Uuid, i64)> = recovery_code::Entity::find()
        .select_only()
        .column(recovery_code::Column::UserId)
        .column_as(recovery_code::Column::UserId.count(), "number")
        .filter(recovery_code::Column::UserId.is_in(ids.iter().copied()))
        .filter(recovery_code::Column::UseTime.is_null())
        .group_by(recovery_code::Column::UserId)
        .into_tuple()
        .all(db)
        .await?;
    Ok(counts(counted))
}

async fn of_identities(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<identity::Model>>, DbErr> {
    let rows = identity::Entity::find()
        .filter(identity::Column::UserId.is_in(ids.iter().copied()))
        .all(db)
        .await?;
    let mut by_user: HashMap<Uuid, Vec<identity::Model>> = HashMap::new();
    for row in rows {
        by_user.entry(row.user_id).or_default().push(row);
    }
    Ok(by_user)
}

fn counts(counted: Vec<(Uuid, i64)>) -> HashMap<Uuid, u32> {
    let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
    let counted = counted.into_iter();
    counted.map(|(id, count)| (id, number(count))).collect()
}
