//! Mails that wait to be sent. They are written in the transaction of what they tell.

use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait};
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
