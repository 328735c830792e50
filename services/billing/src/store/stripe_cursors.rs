//! How far lists of Stripe's have been read.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel};

use super::entity::payments::cursor;
use crate::domain::Time;
use crate::error::Error;

/// A list of Stripe's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// What happened.
    Events,
    /// What money moved.
    Movements,
}

impl List {
    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Movements => "movements",
        }
    }
}

/// Until when a list has been read. None when it never was.
///
/// # Errors
/// [`Error::Database`].
pub async fn find(conn: &impl ConnectionTrait, list: List) -> Result<Option<Time>, Error> {
    let row = cursor::Entity::find_by_id(list.name()).one(conn).await?;
    Ok(row.map(|row| row.time))
}

/// Notes that a list has been read until a time. What another replica read beyond that stays.
///
/// # Errors
/// [`Error::Database`].
pub async fn advance(conn: &impl ConnectionTrait, list: List, time: Time) -> Result<(), Error> {
    let row = cursor::Model {
        name: list.name().to_owned(),
        time,
    };
    let is_later =
        Expr::cust("excluded.time").gt(Expr::col((cursor::Entity, cursor::Column::Time)));
    let latest = OnConflict::column(cursor::Column::Name)
        .update_column(cursor::Column::Time)
        .action_and_where(is_later)
        .to_owned();
    cursor::Entity::insert(row.into_active_model())
        .on_conflict(latest)
        .exec_without_returning(conn)
        .await?;
    Ok(())
}
