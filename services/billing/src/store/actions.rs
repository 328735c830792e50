//! What operators did that moves no credits: it is kept with who did it. What moves credits is in the ledger.

use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel};
use uuid::Uuid;

use super::entity::rules::operator_action;
use crate::domain::Time;
use crate::domain::payer::Payer;
use crate::error::Error;

/// Notes what an operator does, in the transaction in which it is done.
///
/// # Errors
/// [`Error::Database`].
pub async fn append(
    tx: &DatabaseTransaction,
    operator: Uuid,
    action: &'static str,
    payer: Option<&Payer>,
    detail: &str,
    now: Time,
) -> Result<(), Error> {
    let row = operator_action::Model {
        id: Uuid::now_v7(),
        time: now,
        user_id: operator,
        action: action.to_owned(),
        payer: payer.map(ToString::to_string),
        detail: detail.chars().take(600).collect(),
    };
    operator_action::Entity::insert(row.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}
