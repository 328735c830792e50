//! Codes that went out by mail. Of a code only the hash is kept.

use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Select,
};
use uuid::Uuid;

use super::entity::people::code;
use crate::domain::Time;

/// What a code is for. It is good for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Ends a sign-up.
    SignUp = 1,
    /// Sets a new password.
    Reset = 2,
    /// Gives an account another address.
    ChangeAddress = 3,
}

impl Purpose {
    const fn number(self) -> i16 {
        self as i16
    }

    /// Reads it from a row.
    #[must_use]
    pub const fn from_number(number: i16) -> Option<Self> {
        match number {
            1 => Some(Self::SignUp),
            2 => Some(Self::Reset),
            3 => Some(Self::ChangeAddress),
            _ => None,
        }
    }
}

/// A code that is to be sent.
pub struct NewCode {
    /// Of the code.
    pub sha256: Vec<u8>,
    /// What for.
    pub purpose: Purpose,
    /// Whose. None for a sign-up.
    pub user: Option<Uuid>,
    /// Of the address it is sent to.
    pub email_key: String,
    /// JSON: what takes effect with it.
    pub payload: Option<String>,
    /// When it ends by itself.
    pub expire_time: Time,
}

/// Keeps a code.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, new: NewCode, now: Time) -> Result<(), DbErr> {
    let row = code::Model {
        id: Uuid::now_v7(),
        sha256: new.sha256,
        purpose: new.purpose.number(),
        user_id: new.user,
        email_key: new.email_key,
        payload: new.payload,
        create_time: now,
        expire_time: new.expire_time,
        use_time: None,
    };
    code::Entity::insert(row.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// A code that was not used and has not ended.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(
    conn: &impl ConnectionTrait,
    sha256: Vec<u8>,
    now: Time,
) -> Result<Option<code::Model>, DbErr> {
    usable(now)
        .filter(code::Column::Sha256.eq(sha256))
        .one(conn)
        .await
}

/// Uses a code up. False when another call did so first.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn take(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<bool, DbErr> {
    let used = code::Entity::update_many()
        .set(used_at(now))
        .filter(code::Column::Id.eq(id))
        .filter(code::Column::UseTime.is_null())
        .exec(tx)
        .await?;
    Ok(used.rows_affected > 0)
}

/// The newest sign-ups with an address that wait to be verified, at most so many.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn pending_sign_ups(
    conn: &impl ConnectionTrait,
    email_key: &str,
    now: Time,
    limit: u64,
) -> Result<Vec<code::Model>, DbErr> {
    usable(now)
        .filter(code::Column::EmailKey.eq(email_key))
        .filter(code::Column::Purpose.eq(Purpose::SignUp.number()))
        .order_by_desc(code::Column::Id)
        .limit(limit)
        .all(conn)
        .await
}

/// Ends all sign-ups with an address: it has an account now.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn end_sign_ups(
    tx: &impl ConnectionTrait,
    email_key: &str,
    now: Time,
) -> Result<(), DbErr> {
    code::Entity::update_many()
        .set(used_at(now))
        .filter(code::Column::EmailKey.eq(email_key))
        .filter(code::Column::Purpose.eq(Purpose::SignUp.number()))
        .filter(code::Column::UseTime.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

/// Ends all codes of a user: what they were sent for has changed.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn end_all_of(tx: &impl ConnectionTrait, user: Uuid, now: Time) -> Result<(), DbErr> {
    code::Entity::update_many()
        .set(used_at(now))
        .filter(code::Column::UserId.eq(user))
        .filter(code::Column::UseTime.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

/// What a code was good for is forgotten with it.
fn used_at(now: Time) -> code::ActiveModel {
    code::ActiveModel {
        use_time: Set(Some(now)),
        payload: Set(None),
        ..Default::default()
    }
}

fn usable(now: Time) -> Select<code::Entity> {
    code::Entity::find()
        .filter(code::Column::UseTime.is_null())
        .filter(code::Column::ExpireTime.gt(now))
}
