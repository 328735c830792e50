//! Who did what: for everybody about oneself, for operators about all.

use futures::{Stream, TryStreamExt, stream};
use kinora_store::page::Page;
use uuid::Uuid;

use super::{App, PAGES};
use crate::domain::audit::Filter;
use crate::domain::caller::Caller;
use crate::error::Error;
use crate::store::entity::trust::audit as rows;
use crate::store::{audit, audit_log};

/// Lines in a message of an export: about 1 MiB when all of them are as long as they may be.
const EXPORT_LINES: u64 = 200;

impl App {
    /// Reads what a user did and what was done to the user, newest first, with the token of the next page. From where
    /// others did it is left out.
    ///
    /// # Errors
    /// [`crate::domain::refusal::Refusal::PageTokenInvalid`], [`Error::Database`].
    pub(crate) async fn activity(
        &self,
        user: Uuid,
        page_size: u32,
        page_token: &str,
    ) -> Result<(Vec<rows::Model>, String), Error> {
        let page = Page::of(
            PAGES,
            &["activity", &user.to_string()],
            page_size,
            page_token,
        )?;
        let reader = self.store.reader();
        let mut lines = audit_log::of_user(reader, user, page.after, page.rows()).await?;
        let is_of_another = |actor: &str| actor.parse().is_ok_and(|id: Uuid| id != user);
        for line in lines.iter_mut().filter(|line| is_of_another(&line.actor)) {
            line.address.clear();
            line.user_agent.clear();
        }
        Ok(page.cut(lines, |line| line.id))
    }

    /// Reads lines that fit, newest first, with the token of the next page.
    ///
    /// # Errors
    /// [`crate::domain::refusal::Refusal::PageTokenInvalid`], [`Error::Database`].
    pub(crate) async fn audit_lines(
        &self,
        filter: &Filter,
        page_size: u32,
        page_token: &str,
    ) -> Result<(Vec<rows::Model>, String), Error> {
        let parts = filter.parts();
        let parts = parts.each_ref().map(String::as_str);
        let page = Page::of(PAGES, &parts, page_size, page_token)?;
        let reader = self.store.reader();
        let lines = audit_log::newest(reader, filter, page.after, page.rows()).await?;
        Ok(page.cut(lines, |line| line.id))
    }

    /// Reads all lines that fit, oldest first, a few hundred at a time: as fast as they are taken, and with no query
    /// open in between. What is written after the call is not part of it; the call itself is its last line.
    ///
    /// # Errors
    /// [`Error::Database`], also later in the stream.
    pub(crate) async fn export_audit(
        &self,
        operator: &Caller,
        filter: Filter,
    ) -> Result<impl Stream<Item = Result<Vec<rows::Model>, Error>> + Send + use<>, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let line = audit::Line::by(operator.id, None, "audit.export", &operator.origin);
        audit::append(&tx, line, now).await?;
        tx.commit().await?;
        // Every line until here has an id that is not greater.
        let last = Uuid::now_v7();
        let store = self.store.clone();
        let chunks = stream::try_unfold(None, move |after| {
            let (store, filter) = (store.clone(), filter.clone());
            async move {
                let reader = store.reader();
                let lines = audit_log::oldest(reader, &filter, after, last, EXPORT_LINES).await?;
                let after = lines.last().map(|line| line.id);
                Ok::<_, Error>(after.map(|after| (lines, Some(after))))
            }
        });
        Ok(chunks.into_stream())
    }
}

#[cfg(test)]
mod tests;
