//! Batches and sequences.

use kinora_proto::scheduler::v1::{
    CancelGroupRequest, GetGroupRequest, Group, SubmitBatchRequest, SubmitSequenceRequest,
    WatchGroupRequest, WatchGroupResponse,
};
use tonic::Streaming;

use super::{Scheduler, carried, present};
use crate::auth::Bearer;
use crate::problem::Problem;

impl Scheduler {
    /// Accepts a batch, all of it or nothing.
    pub(crate) async fn submit_batch(
        &self,
        caller: &Bearer,
        message: SubmitBatchRequest,
    ) -> Result<Group, Problem> {
        let request = self.request(caller, message);
        let response = self
            .within(self.client.clone().submit_batch(request))
            .await?;
        present(response.group, "group")
    }

    /// Accepts a sequence.
    pub(crate) async fn submit_sequence(
        &self,
        caller: &Bearer,
        message: SubmitSequenceRequest,
    ) -> Result<Group, Problem> {
        let request = self.request(caller, message);
        let response = self
            .within(self.client.clone().submit_sequence(request))
            .await?;
        present(response.group, "group")
    }

    /// Reads a batch or a sequence.
    pub(crate) async fn group(&self, caller: &Bearer, id: String) -> Result<Group, Problem> {
        let request = self.request(caller, GetGroupRequest { id });
        let response = self.within(self.client.clone().get_group(request)).await?;
        present(response.group, "group")
    }

    /// Ends every job of a group that has not ended.
    pub(crate) async fn cancel_group(&self, caller: &Bearer, id: String) -> Result<Group, Problem> {
        let request = self.request(caller, CancelGroupRequest { id });
        let response = self
            .within(self.client.clone().cancel_group(request))
            .await?;
        present(response.group, "group")
    }

    /// Follows the jobs of a group. Only the beginning of the stream is under the deadline.
    pub(crate) async fn watch_group(
        &self,
        caller: &Bearer,
        id: String,
    ) -> Result<Streaming<WatchGroupResponse>, Problem> {
        let request = carried(caller, WatchGroupRequest { id });
        self.within(self.watcher.clone().watch_group(request)).await
    }
}
