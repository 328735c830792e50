//! Batches and sequences as their owners see them.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{App, Sighting, View, Watching};
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

    /// Sends the present state of every job of a group and then what happens, until all have ended or the watcher
    /// leaves.
    ///
    /// # Errors
    /// [`Error::GroupNotFound`], [`Error::ShuttingDown`], [`Error::Store`].
    pub async fn watch_group(
        &self,
        owner: &str,
        id: Uuid,
        out: &mpsc::Sender<Result<Sighting, Error>>,
    ) -> Result<(), Error> {
        let found = self.store.group(owner, id).await?;
        let (_, jobs) = found.ok_or(Error::GroupNotFound)?;
        let follow = |job: Job| async move {
            // The present alone: what led to it is told to those who watch the job.
            let seen = job.seq.saturating_sub(1);
            let watching = Watching::begin(self, owner, job.id, seen).await?;
            watching.run(out).await
        };
        let mut open: FuturesUnordered<_> = jobs.into_iter().map(follow).collect();
        while let Some(ended) = open.next().await {
            match ended {
                Ok(()) | Err(Error::JobNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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
