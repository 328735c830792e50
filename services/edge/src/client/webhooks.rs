//! Webhooks.

use kinora_proto::scheduler::v1::{
    CreateEndpointRequest, DeleteEndpointRequest, Delivery, Endpoint, GetEndpointRequest,
    ListDeliveriesRequest, ListDeliveriesResponse, ListEndpointsRequest, ReplayDeliveryRequest,
    RotateSecretRequest, UpdateEndpointRequest,
};

use super::{Scheduler, present};
use crate::auth::Bearer;
use crate::problem::Problem;

impl Scheduler {
    /// Makes an endpoint; gives it with its secret.
    pub(crate) async fn create_endpoint(
        &self,
        caller: &Bearer,
        message: CreateEndpointRequest,
    ) -> Result<(Endpoint, String), Problem> {
        let request = self.request(caller, message);
        let response = self
            .within(self.webhooks.clone().create_endpoint(request))
            .await?;
        Ok((present(response.endpoint, "endpoint")?, response.secret))
    }

    /// Reads an endpoint.
    pub(crate) async fn endpoint(&self, caller: &Bearer, id: String) -> Result<Endpoint, Problem> {
        let request = self.request(caller, GetEndpointRequest { id });
        let response = self
            .within(self.webhooks.clone().get_endpoint(request))
            .await?;
        present(response.endpoint, "endpoint")
    }

    /// Lists endpoints, oldest first.
    pub(crate) async fn endpoints(&self, caller: &Bearer) -> Result<Vec<Endpoint>, Problem> {
        let request = self.request(caller, ListEndpointsRequest {});
        let response = self
            .within(self.webhooks.clone().list_endpoints(request))
            .await?;
        Ok(response.endpoints)
    }

    /// Changes an endpoint.
    pub(crate) async fn update_endpoint(
        &self,
        caller: &Bearer,
        message: UpdateEndpointRequest,
    ) -> Result<Endpoint, Problem> {
        let request = self.request(caller, message);
        let response = self
            .within(self.webhooks.clone().update_endpoint(request))
            .await?;
        present(response.endpoint, "endpoint")
    }

    /// Removes an endpoint.
    pub(crate) async fn delete_endpoint(&self, caller: &Bearer, id: String) -> Result<(), Problem> {
        let request = self.request(caller, DeleteEndpointRequest { id });
        self.within(self.webhooks.clone().delete_endpoint(request))
            .await?;
        Ok(())
    }

    /// Makes a new secret; gives it with the endpoint.
    pub(crate) async fn rotate_secret(
        &self,
        caller: &Bearer,
        message: RotateSecretRequest,
    ) -> Result<(Endpoint, String), Problem> {
        let request = self.request(caller, message);
        let response = self
            .within(self.webhooks.clone().rotate_secret(request))
            .await?;
        Ok((present(response.endpoint, "endpoint")?, response.secret))
    }

    /// Lists deliveries, newest first.
    pub(crate) async fn deliveries(
        &self,
        caller: &Bearer,
        message: ListDeliveriesRequest,
    ) -> Result<ListDeliveriesResponse, Problem> {
        let request = self.request(caller, message);
        self.within(self.webhooks.clone().list_deliveries(request))
            .await
    }

    /// Sends a delivery once more.
    pub(crate) async fn replay_delivery(
        &self,
        caller: &Bearer,
        id: String,
    ) -> Result<Delivery, Problem> {
        let request = self.request(caller, ReplayDeliveryRequest { id });
        let response = self
            .within(self.webhooks.clone().replay_delivery(request))
            .await?;
        present(response.delivery, "delivery")
    }
}
