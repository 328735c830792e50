//! What holds for everybody: the present prices, and the window that an operator has set.

use sea_orm::sea_query::Expr;
use sea_orm::{ConnectionTrait, EntityTrait, ExprTrait, QueryOrder, QuerySelect};

use super::entity::rules::{operator_window, price_book};
use super::{prices, windows};
use crate::domain::price::PriceBook;
use crate::domain::window::Window;
use crate::error::Error;

/// Reads both at once: every hold needs them.
///
/// # Errors
/// [`Error::Broken`] when there are no prices, or they cannot be read; [`Error::Database`].
pub async fn present(conn: &impl ConnectionTrait) -> Result<(PriceBook, Option<Window>), Error> {
    let mut query = price_book::Entity::find()
        .select_also(operator_window::Entity)
        .order_by_desc(price_book::Column::Version);
    let id = Expr::col((operator_window::Entity, operator_window::Column::Id));
    QuerySelect::query(&mut query).left_join(operator_window::Entity, id.eq(windows::ID));
    let row = query.one(conn).await?;
    let (book, window) = row.ok_or_else(prices::none)?;
    Ok((prices::from_row(book)?, window.map(windows::from_row)))
}
