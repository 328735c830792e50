//! Holds of jobs that go on.

use chrono::TimeDelta;
use kinora_store::page::{Page, Sizes};
use uuid::Uuid;

use super::App;
use crate::domain::Time;
use crate::domain::hold::Hold;
use crate::error::Error;
use crate::store::holds;

/// No call renews more.
const MAX_RENEWED: usize = 1_000;

const SIZES: Sizes = Sizes {
    usual: 500,
    most: 1_000,
};

impl App {
    /// Puts off the end of open holds, and answers which ones these are.
    ///
    /// # Errors
    /// [`Error::Field`] for too many; [`Error::Database`].
    pub(crate) async fn renew_holds(&self, jobs: &[Uuid]) -> Result<Vec<Uuid>, Error> {
        if jobs.len() > MAX_RENEWED {
            return Err(Error::Field {
                field: "job_ids",
                problem: "has at most 1000 entries",
            });
        }
        let broken = |_| Error::Broken("the lifetime of holds is too long".to_owned());
        let lifetime = TimeDelta::from_std(self.options.hold_lifetime).map_err(broken)?;
        let tx = self.store.begin().await?;
        let renewed = holds::renew(&tx, jobs, self.now() + lifetime).await?;
        tx.commit().await?;
        Ok(renewed)
    }

    /// Reads holds that are open, oldest first, with the token of the next page.
    ///
    /// # Errors
    /// [`crate::domain::refusal::Refusal::PageTokenInvalid`], [`Error::Field`], [`Error::Database`].
    pub(crate) async fn open_holds(
        &self,
        made_before: Option<Time>,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<Hold>, String), Error> {
        let before = made_before.map(|time| time.timestamp_micros().to_string());
        let scope = ["open holds", before.as_deref().unwrap_or_default()];
        let page = Page::of(SIZES, &scope, page_size, page_token)?;
        let reader = self.store.reader();
        let holds = holds::open(reader, made_before, page.after, page.rows()).await?;
        Ok(page.cut(holds, |hold| hold.job))
    }
}
