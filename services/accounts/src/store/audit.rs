//! The audit log. Lines are written in the transaction of what they tell, and never changed.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::entity::trust::audit;
use crate::domain::Time;
use crate::domain::origin::Origin;

/// Something that was done, or refused.
#[derive(Clone, Debug)]
pub struct Line {
    /// Id of a user, service account or key; "system" or "operator:<workload>".
    pub actor: String,
    /// Whose account or organisation it concerns.
    pub subject: Option<Uuid>,
    /// For example "sign_in" or "password.change".
    pub action: &'static str,
    /// Whether it was done.
    pub succeeded: bool,
    /// At most 512 characters; no secret, no address of mail.
    pub detail: String,
    /// From where.
    pub origin: Origin,
}

impl Line {
    /// Something a user did to the own account.
    #[must_use]
    pub fn own(user: Uuid, action: &'static str, origin: &Origin) -> Self {
        Self::by(user, Some(user), action, origin)
    }

    /// Something somebody did to somebody or something.
    #[must_use]
    pub fn by(actor: Uuid, subject: Option<Uuid>, action: &'static str, origin: &Origin) -> Self {
        Self {
            actor: actor.to_string(),
            subject,
            action,
            succeeded: true,
            detail: String::new(),
            origin: origin.clone(),
        }
    }

    /// It was refused.
    #[must_use]
    pub fn refused(mut self, why: impl Into<String>) -> Self {
        self.succeeded = false;
        self.detail = why.into();
        self
    }

    /// Says more.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

/// Appends a line.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn append(tx: &impl ConnectionTrait, line: Line, now: Time) -> Result<(), DbErr> {
    let row = audit::ActiveModel {
        id: Set(Uuid::now_v7()),
        time: Set(now),
        actor: Set(line.actor),
        subject: Set(line.subject),
        action: Set(line.action.to_owned()),
        succeeded: Set(line.succeeded),
        detail: Set(line.detail.chars().take(512).collect()),
        address: Set(line.origin.address),
        user_agent: Set(line.origin.user_agent),
    };
    audit::Entity::insert(row)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Whether somebody has done something before.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn has(
    conn: &impl ConnectionTrait,
    actor: &str,
    action: &str,
    detail: &str,
) -> Result<bool, DbErr> {
    let line = audit::Entity::find()
        .filter(audit::Column::Actor.eq(actor))
        .filter(audit::Column::Action.eq(action))
        .filter(audit::Column::Detail.eq(detail));
    Ok(line.one(conn).await?.is_some())
}
