//! What one call began and another one completes. Of the token that completes it only the hash is kept.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter,
};
use uuid::Uuid;

use super::entity::people::flow;
use crate::domain::Time;

/// What a flow is for. A token is good for the purpose that it was made for only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The second step of a sign-in.
    SecondStep = 1,
    /// A sign-in with a passkey.
    PasskeySignIn = 2,
    /// A new passkey.
    PasskeyRegistration = 3,
    /// A sign-in at another provider.
    ProviderSignIn = 4,
    /// A link to another provider.
    ProviderLink = 5,
    /// A verification of age by somebody else.
    AgeVerification = 6,
}

impl Purpose {
    const fn number(self) -> i16 {
        self as i16
    }
}

/// A flow that begins.
pub struct NewFlow {
    /// Of its token.
    pub sha256: Vec<u8>,
    /// What for.
    pub purpose: Purpose,
    /// Whose, as far as that is known.
    pub user: Option<Uuid>,
    /// JSON.
    pub payload: String,
    /// When it ends by itself.
    pub expire_time: Time,
}

/// Notes that a flow has begun.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, new: NewFlow, now: Time) -> Result<Uuid, DbErr> {
    let id = Uuid::now_v7();
    let row = flow::ActiveModel {
        id: Set(id),
        sha256: Set(new.sha256),
        purpose: Set(new.purpose.number()),
        user_id: Set(new.user),
        payload: Set(new.payload),
        tries: Set(0),
        create_time: Set(now),
        expire_time: Set(new.expire_time),
        use_time: Set(None),
    };
    flow::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(id)
}

/// The flow of a token, if it has neither been used nor ended. It locks nothing: what changes the flow checks again.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(
    tx: &impl ConnectionTrait,
    sha256: &[u8],
    purpose: Purpose,
    now: Time,
) -> Result<Option<flow::Model>, DbErr> {
    flow::Entity::find()
        .filter(flow::Column::Sha256.eq(sha256))
        .filter(flow::Column::Purpose.eq(purpose.number()))
        .filter(is_open(now))
        .one(tx)
        .await
}

/// Counts a try. False when the flow has been used, has ended, or has had `most` tries already.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn count_try(
    tx: &impl ConnectionTrait,
    id: Uuid,
    most: i32,
    now: Time,
) -> Result<bool, DbErr> {
    let counted = flow::Entity::update_many()
        .col_expr(flow::Column::Tries, Expr::col(flow::Column::Tries).add(1))
        .filter(flow::Column::Id.eq(id))
        .filter(flow::Column::Tries.lt(most))
        .filter(is_open(now))
        .exec(tx)
        .await?;
    Ok(counted.rows_affected == 1)
}

/// Uses a flow up, and forgets what it held. False when somebody else was faster, or it has ended.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn use_up(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<bool, DbErr> {
    let used = flow::Entity::update_many()
        .col_expr(flow::Column::UseTime, Expr::value(now))
        .col_expr(flow::Column::Payload, Expr::value("{}"))
        .filter(flow::Column::Id.eq(id))
        .filter(is_open(now))
        .exec(tx)
        .await?;
    Ok(used.rows_affected == 1)
}

fn is_open(now: Time) -> Condition {
    Condition::all()
        .add(flow::Column::UseTime.is_null())
        .add(flow::Column::ExpireTime.gt(now))
}
