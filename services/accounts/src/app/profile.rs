//! What people see and say of themselves.

use sea_orm::ActiveValue::Set;

use super::App;
use super::sign_up::display_name_of;
use crate::domain::caller::Caller;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::entity::people::user;
use crate::store::user_view::UserView;
use crate::store::users;

impl App {
    /// The account of the caller.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Error::Database`].
    pub(crate) async fn own_user(&self, caller: &Caller) -> Result<UserView, Error> {
        let conn = self.store.reader();
        let user = users::find(conn, caller.id).await?;
        self.view_of(conn, user.ok_or(Refusal::NotFound)?).await
    }

    /// Changes the name of the caller; an empty one is none.
    ///
    /// # Errors
    /// [`Refusal::NameInvalid`]; [`Refusal::NotFound`]; [`Error::Database`].
    pub(crate) async fn rename_user(
        &self,
        caller: &Caller,
        display_name: &str,
    ) -> Result<UserView, Error> {
        let display_name = display_name_of(display_name)?;
        let tx = self.store.begin().await?;
        let user = users::lock(&tx, caller.id).await?;
        let mut user = user.ok_or(Refusal::NotFound)?;
        let change = user::ActiveModel {
            display_name: Set(display_name.clone()),
            ..Default::default()
        };
        users::update(&tx, caller.id, change).await?;
        user.display_name = display_name;
        let view = self.view_of(&tx, user).await?;
        tx.commit().await?;
        Ok(view)
    }
}
