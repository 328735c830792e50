//! What operators have set, as it is at some moment.

use sea_orm::ConnectionTrait;

use super::App;
use crate::domain::Time;
use crate::domain::price::PriceBook;
use crate::domain::window::{Window, window_at};
use crate::error::Error;
use crate::store::payers::PayerRow;
use crate::store::rules;

/// What holds for everybody at some moment.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) now: Time,
    pub(super) book: PriceBook,
    operators_window: Option<Window>,
}

impl InForce {
    /// The window in which a payer's allowance and spending are counted.
    pub(super) fn window_of(&self, row: &PayerRow) -> Window {
        window_at(row.create_time, self.operators_window, self.now)
    }
}

impl App {
    /// Reads what is in force.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(super) async fn in_force(&self, conn: &impl ConnectionTrait) -> Result<InForce, Error> {
        let now = self.now();
        let (book, operators_window) = rules::present(conn).await?;
        Ok(InForce {
            now,
            book,
            operators_window,
        })
    }
}
