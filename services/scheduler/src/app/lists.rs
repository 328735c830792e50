//! Lists of a caller's jobs, page by page.

use kinora_ids::JobId;
use kinora_store::page::Page;

use super::{App, PAGES, View};
use crate::domain::job::Job;
use crate::domain::listing::{Filter, Order};
use crate::error::Error;
use crate::store::Stretch;

/// How much work a page may be.
const BOUNDS: Bounds = Bounds {
    look: 200,
    most: 2000,
};

/// What a list of jobs is to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoQuery {
    /// Which jobs.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// How many at most; 0 for the usual number.
    pub page_size: i32,
    /// From the page before. Empty for the first one.
    pub page_token: String,
    /// The job after which the page begins, instead of a token.
    pub after: Option<JobId>,
}

/// How much is looked at for a page when few jobs fit.
#[derive(Clone, Copy)]
struct Bounds {
    /// Jobs that are read at a time after the first look, which reads as many as may be shown.
    look: u64,
    /// No further look is made when so many jobs were read.
    most: u64,
}

impl App {
    /// Lists jobs, with the token of the next page if there may be one. A page may be shorter than was asked for, or empty,
    /// and not be the last: what has no index is looked for in a bounded number of jobs.
    ///
    /// Who follows the tokens to the end sees every job once that fits and was there at the beginning, in order.
    ///
    /// # Errors
    /// [`Error::PageSize`], [`Error::PageToken`], [`Error::AfterUnknown`], [`Error::Store`].
    pub async fn list(
        &self,
        owner: &str,
        query: &VideoQuery,
    ) -> Result<(Vec<View>, String), Error> {
        let page = Page::of(
            PAGES,
            &[owner, &scope(query)],
            query.page_size,
            &query.page_token,
        )?;
        if let Some(id) = query.after {
            let after = self.store.get(owner, id).await?;
            after.ok_or(Error::AfterUnknown)?;
        }
        let (jobs, next) = self.page_of(owner, query, &page, BOUNDS).await?;
        let mut views = Vec::with_capacity(jobs.len());
        for job in jobs {
            views.push(self.view(job).await?);
        }
        Ok((views, next))
    }

    async fn page_of(
        &self,
        owner: &str,
        query: &VideoQuery,
        page: &Page,
        bounds: Bounds,
    ) -> Result<(Vec<Job>, String), Error> {
        let filter = &query.filter;
        let mut found = Vec::new();
        let mut looked_at = 0;
        let mut stretch = Stretch {
            filter,
            order: query.order,
            after: query.after.or(page.after.map(JobId::from_uuid)),
            limit: page.rows(),
        };
        loop {
            let jobs = self.store.list(owner, stretch).await?;
            let read = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
            let is_end = read < stretch.limit;
            stretch.after = jobs.last().map(|job| job.id).or(stretch.after);
            found.extend(jobs.into_iter().filter(|job| filter.fits(job)));
            looked_at += read;
            let is_full = u64::try_from(found.len()).is_ok_and(|found| found > page.limit);
            if is_end || is_full {
                return Ok(page.cut(found, |job| job.id.as_uuid()));
            }
            if looked_at >= bounds.most {
                let next = stretch.after.map(|last| page.token_after(last.as_uuid()));
                return Ok((found, next.unwrap_or_default()));
            }
            stretch.limit = bounds.look;
        }
    }
}

/// What a page token is bound to besides its owner.
fn scope(query: &VideoQuery) -> String {
    let VideoQuery { filter, order, .. } = query;
    let Filter {
        states,
        model,
        words,
        created_after,
        created_before,
    } = filter;
    let mut states: Vec<String> = states.iter().map(|state| format!("{state:?}")).collect();
    states.sort_unstable();
    states.dedup();
    format!("{order:?} {states:?} {model:?} {words:?} {created_after:?} {created_before:?}")
}

#[cfg(test)]
mod tests;
