//! Batches and sequences as their owners see them.

use uuid::Uuid;

use super::{App, View};
use crate::domain::job::Job;
use crate::error::Error;
use crate::store::{Group, GroupKind};

/// Which group a caller means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupName {
    /// Its id.
    pub id: Uuid,
    /// Its kind, when that is said: a group of another one is not meant.
    pub kind: Option<GroupKind>,
}

impl From<Uuid> for GroupName {
    /// A group of whichever kind.
    fn from(id: Uuid) -> Self {
        Self { id, kind: None }
    }
}

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
    pub async fn group(&self, owner: &str, name: impl Into<GroupName>) -> Result<GroupView, Error> {
        let (group, jobs) = self.find_group(owner, name.into()).await?;
        self.group_view(group, jobs).await
    }

    /// Cancels every job of a group that has not ended.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::Store`].
    pub async fn cancel_group(&self, owner: &str, name: GroupName) -> Result<GroupView, Error> {
        let (group, jobs) = self.find_group(owner, name).await?;
        for job in jobs.iter().filter(|job| !job.state.is_terminal()) {
            match self.cancel(owner, job.id).await {
                // Deleted meanwhile.
                Ok(_) | Err(Error::JobNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        self.group(owner, group.id).await
    }

    async fn find_group(&self, owner: &str, name: GroupName) -> Result<(Group, Vec<Job>), Error> {
        let found = self.store.group(owner, name.id).await?;
        found
            .filter(|(group, _)| name.kind.is_none_or(|kind| kind == group.kind))
            .ok_or(Error::GroupNotFound)
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
