//! Who did what.

use kinora_store::page::{Page, Sizes};
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use crate::domain::Time;
use crate::error::Error;
use crate::store::audit::{self, Filter};
use crate::store::entity::vouchers::audit as lines;

const LINES: Sizes = Sizes {
    usual: 50,
    most: 200,
};

/// Leaves a line about what an operator does, in the transaction in which it is done. `detail` says what came of it in a few
/// words, or nothing.
///
/// # Errors
/// [`Error::Database`].
pub(super) async fn audit_done(
    tx: &DatabaseTransaction,
    operator: Uuid,
    action: &'static str,
    target: &str,
    detail: &str,
    now: Time,
) -> Result<(), Error> {
    let mut result = audit::DONE.to_owned();
    if !detail.is_empty() {
        result = format!("{result}: {detail}");
    }
    let actor = operator.to_string();
    Ok(audit::audit(tx, &actor, action, target, &result, now).await?)
}

impl App {
    /// Reads lines that fit, newest first, with the token of the next page.
    ///
    /// # Errors
    /// [`crate::domain::refusal::Refusal::PageTokenInvalid`], [`Error::Field`], [`Error::Database`].
    pub(crate) async fn audit_lines(
        &self,
        filter: &Filter,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<lines::Model>, String), Error> {
        let scope = ["audit", &filter.actor, &filter.action, &filter.target];
        let page = Page::of(LINES, &scope, page_size, page_token)?;
        let reader = self.store.reader();
        let found = audit::newest(reader, filter, page.after, page.rows()).await?;
        Ok(page.cut(found, |line| line.id))
    }

    /// Leaves a line about a call of an operator that was refused. What was done leaves its own, in its transaction.
    ///
    /// # Errors
    /// What `done` says, whether the line can be written or not.
    pub(crate) async fn audit_refusal<T>(
        &self,
        operator: Uuid,
        action: &'static str,
        target: &str,
        done: Result<T, Error>,
    ) -> Result<T, Error> {
        let reason = match &done {
            Err(Error::Refused(refusal)) => refusal.reason(),
            Err(Error::Field { .. }) => "FIELD_INVALID",
            _ => return done,
        };
        if let Err(error) = self.write_refusal(operator, action, target, reason).await {
            tracing::warn!(%error, action, "a refused call is not in the audit log");
        }
        done
    }

    async fn write_refusal(
        &self,
        operator: Uuid,
        action: &'static str,
        target: &str,
        reason: &str,
    ) -> Result<(), Error> {
        let result = format!("refused: {reason}");
        let tx = self.store.begin().await?;
        audit::audit(
            &tx,
            &operator.to_string(),
            action,
            target,
            &result,
            self.now(),
        )
        .await?;
        Ok(tx.commit().await?)
    }
}
