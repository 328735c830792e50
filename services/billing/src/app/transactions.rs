//! What moved, as a payer sees it.

use kinora_store::page::{Page, Sizes};
use uuid::Uuid;

use super::App;
use crate::domain::payer::Payer;
use crate::error::Error;
use crate::store::ledger::{self, Movement};

const SIZES: Sizes = Sizes {
    usual: 50,
    most: 200,
};

impl App {
    /// Reads a payer's transfers, newest first, with the token of the next page; those of one job alone when it is named.
    ///
    /// # Errors
    /// [`crate::domain::refusal::Refusal::PageTokenInvalid`], [`Error::Field`], [`Error::Database`].
    pub(crate) async fn transactions(
        &self,
        payer: &Payer,
        job: Option<Uuid>,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<Movement>, String), Error> {
        let (of, about) = (payer.to_string(), job.map(|job| job.to_string()));
        let scope = ["transactions", &of, about.as_deref().unwrap_or_default()];
        let page = Page::of(SIZES, &scope, page_size, page_token)?;
        let tx = self.store.snapshot().await?;
        let movements = ledger::newest(&tx, payer, job, page.after, page.rows()).await?;
        Ok(page.cut(movements, |movement| movement.seq))
    }
}

#[cfg(test)]
mod tests;
