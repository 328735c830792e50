//! A user as the person and operators are shown.

use sea_orm::ConnectionTrait;

use super::App;
use crate::domain::age::Tier;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::entity::people::user;
use crate::store::user_view::{self, UserView, age_of};

impl App {
    /// Reads how a user signs in, beside the row.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn view_of(
        &self,
        db: &impl ConnectionTrait,
        row: user::Model,
    ) -> Result<UserView, Error> {
        let mut views = user_view::of(db, vec![row]).await?;
        Ok(views.pop().ok_or(Refusal::NotFound)?)
    }

    /// The highest tier of content that a user may make.
    pub(crate) fn content_tier_of(&self, row: &user::Model) -> Tier {
        age_of(row).content_tier(self.options.adult_content)
    }
}
