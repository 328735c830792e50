//! Mails that wait to be sent. They are written in the transaction of what they tell.

use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::entity::people::mail;
use crate::domain::Time;

/// Nobody needs a mail that comes later.
const GIVE_UP: TimeDelta = TimeDelta::hours(24);

/// A mail to one person, as plain text.
#[derive(Clone)]
pub struct Mail {
    /// The address.
    pub recipient: String,
    /// One line.
    pub subject: String,
    /// Plain text. May hold a code, which is why it is never printed.
    pub body: String,
}

/// Lets a mail be sent once the transaction is committed.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn enqueue(tx: &impl ConnectionTrait, mail: Mail, now: Time) -> Result<(), DbErr> {
    let row = mail::ActiveModel {
        id: Set(Uuid::now_v7()),
        recipient: Set(mail.recipient),
        subject: Set(mail.subject),
        body: Set(mail.body),
        attempts: Set(0),
        create_time: Set(now),
        next_attempt_time: Set(now),
        give_up_time: Set(now + GIVE_UP),
    };
    mail::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// Whether a mail is to be sent now.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn is_any_due(conn: &impl ConnectionTrait, now: Time) -> Result<bool, DbErr> {
    let due = mail::Entity::find()
        .select_only()
        .column(mail::Column::Id)
        .filter(mail::Column::NextAttemptTime.lte(now))
        .limit(1);
    Ok(due.into_tuple::<Uuid>().one(conn).await?.is_some())
}

/// Takes up to `most` mails that are due, those that wait longest first. Nobody else gets them before `until`; who has died
/// by then has them sent by others.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn claim(
    tx: &impl ConnectionTrait,
    now: Time,
    until: Time,
    most: u64,
) -> Result<Vec<mail::Model>, DbErr> {
    let mut mails = mail::Entity::find()
        .filter(mail::Column::NextAttemptTime.lte(now))
        .order_by_asc(mail::Column::NextAttemptTime)
        .order_by_asc(mail::Column::Id)
        .limit(most)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(tx)
        .await?;
    let attempts = Expr::col(mail::Column::Attempts).add(1);
    mail::Entity::update_many()
        .col_expr(mail::Column::Attempts, attempts)
        .col_expr(mail::Column::NextAttemptTime, Expr::value(until))
        .filter(mail::Column::Id.is_in(mails.iter().map(|mail| mail.id)))
        .exec(tx)
        .await?;
    for mail in &mut mails {
        mail.attempts += 1;
        mail.next_attempt_time = until;
    }
    Ok(mails)
}

/// Forgets a mail.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn remove(tx: &impl ConnectionTrait, id: Uuid) -> Result<(), DbErr> {
    mail::Entity::delete_by_id(id).exec(tx).await?;
    Ok(())
}

/// Lets a claimed mail be tried again at `time`, unless somebody else has claimed it since.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn put_off(
    tx: &impl ConnectionTrait,
    claimed: &mail::Model,
    time: Time,
) -> Result<(), DbErr> {
    mail::Entity::update_many()
        .col_expr(mail::Column::NextAttemptTime, Expr::value(time))
        .filter(mail::Column::Id.eq(claimed.id))
        .filter(mail::Column::Attempts.eq(claimed.attempts))
        .exec(tx)
        .await?;
    Ok(())
}
