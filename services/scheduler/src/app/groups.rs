//! Batches and sequences as their owners see them.

use uuid::Uuid;

use super::{App, View};
use crate::domain::job::Job;
use crate::error::Error;
use crate::store::Group;

/// A group as its owner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupView {
    /// The group.
    pub group: Group,
    /// Its jobs, in the order of submission.
    pub views: Vec<View>,
}

impl App {
    /// Reads a group with its jobs.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::Store`].
    pub async fn group(&self, owner: &str, id: Uuid) -> Result<GroupView, Error> {
        let found = self.store.group(owner, id).await?;
        let (group, jobs) = found.ok_or(Error::GroupNotFound)?;
        self.group_view(group, jobs).await
    }

    /// Cancels every job of a group that has not ended.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::Store`].
    pub async fn cancel_group(&self, owner: &str, id: Uuid) -> Result<GroupView, Error> {
        let found = self.store.group(owner, id).await?;
        let (_, jobs) = found.ok_or(Error::GroupNotFound)?;
        for job in jobs.iter().filter(|job| !job.state.is_terminal()) {
            match self.cancel(owner, job.id).await {
                // Deleted meanwhile.
                Ok(_) | Err(Error::JobNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        self.group(owner, id).await
    }

    pub(super) async fn group_view(
        &self,
        group: Group,
        jobs: Vec<Job>,
    ) -> Result<GroupView, Error> {
        let mut views = Vec::with_capacity(jobs.len());
        for job in jobs {
            views.push(self.view(job).await?);
        }
        Ok(GroupView { group, views })
    }
}
