//! Webhooks of the fake: one delivery each, which has failed.

use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::scheduler::v1::webhook_service_server::WebhookService;
use kinora_proto::scheduler::v1::{
    CreateEndpointRequest, CreateEndpointResponse, DeleteEndpointRequest, DeleteEndpointResponse,
    Delivery, DeliveryState, Endpoint, GetEndpointRequest, GetEndpointResponse,
    ListDeliveriesRequest, ListDeliveriesResponse, ListEndpointsRequest, ListEndpointsResponse,
    ReplayDeliveryRequest, ReplayDeliveryResponse, RotateSecretRequest, RotateSecretResponse,
    UpdateEndpointRequest, UpdateEndpointResponse,
};
use tonic::{Request, Response, Status};

use super::FakeScheduler;

/// An endpoint and its delivery.
pub(super) struct Registered {
    owner: String,
    endpoint: Endpoint,
    delivery: Delivery,
}

impl FakeScheduler {
    fn with_endpoint<T>(
        &self,
        owner: &str,
        id: &str,
        act: impl FnOnce(&mut Registered) -> T,
    ) -> Result<T, Status> {
        let mut endpoints = self.0.endpoints.lock();
        let known = endpoints.get_mut(id).filter(|known| known.owner == owner);
        known.map(act).ok_or_else(|| missing("ENDPOINT_NOT_FOUND"))
    }
}

fn missing(reason: &str) -> Status {
    PublicError::new(Kind::NotFound, reason, "there is no such thing").into()
}

fn register(owner: String, request: CreateEndpointRequest) -> Registered {
    let endpoint = Endpoint {
        id: JobId::generate().to_string(),
        url: request.url,
        events: request.events,
        job_id: request.job_id,
        enabled: true,
        secrets: 1,
        ..Default::default()
    };
    let mut delivery = Delivery {
        id: JobId::generate().to_string(),
        endpoint_id: endpoint.id.clone(),
        message_id: "msg_1".to_owned(),
        event: "video.completed".to_owned(),
        attempts: 3,
        last_status: 500,
        ..Default::default()
    };
    delivery.set_state(DeliveryState::Failed);
    Registered {
        owner,
        endpoint,
        delivery,
    }
}

#[tonic::async_trait]
impl WebhookService for FakeScheduler {
    async fn create_endpoint(
        &self,
        request: Request<CreateEndpointRequest>,
    ) -> Result<Response<CreateEndpointResponse>, Status> {
        let owner = self.enter(&request).await?;
        let request = request.into_inner();
        if request.url.contains("127.0.0.1") {
            let reason = "URL_NOT_ALLOWED";
            let error = PublicError::new(Kind::InvalidArgument, reason, "the URL points inside");
            return Err(error.with_violation("url", "must be public").into());
        }
        let known = register(owner, request);
        let endpoint = Some(known.endpoint.clone());
        self.0
            .endpoints
            .lock()
            .insert(known.endpoint.id.clone(), known);
        let secret = "whsec_one".to_owned();
        Ok(Response::new(CreateEndpointResponse { endpoint, secret }))
    }

    async fn get_endpoint(
        &self,
        request: Request<GetEndpointRequest>,
    ) -> Result<Response<GetEndpointResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = &request.get_ref().id;
        let endpoint = Some(self.with_endpoint(&owner, id, |known| known.endpoint.clone())?);
        Ok(Response::new(GetEndpointResponse { endpoint }))
    }

    async fn list_endpoints(
        &self,
        request: Request<ListEndpointsRequest>,
    ) -> Result<Response<ListEndpointsResponse>, Status> {
        let owner = self.enter(&request).await?;
        let endpoints = self.0.endpoints.lock();
        let mine = endpoints.values().filter(|known| known.owner == owner);
        let endpoints = mine.map(|known| known.endpoint.clone()).collect();
        Ok(Response::new(ListEndpointsResponse { endpoints }))
    }

    async fn update_endpoint(
        &self,
        request: Request<UpdateEndpointRequest>,
    ) -> Result<Response<UpdateEndpointResponse>, Status> {
        let owner = self.enter(&request).await?;
        let change = request.into_inner();
        let id = change.id.clone();
        let endpoint = Some(self.with_endpoint(&owner, &id, |known| {
            let endpoint = &mut known.endpoint;
            endpoint.url = change.url.unwrap_or_else(|| endpoint.url.clone());
            endpoint.enabled = change.enabled.unwrap_or(endpoint.enabled);
            if change.sets_events {
                endpoint.events = change.events;
            }
            endpoint.clone()
        })?);
        Ok(Response::new(UpdateEndpointResponse { endpoint }))
    }

    async fn delete_endpoint(
        &self,
        request: Request<DeleteEndpointRequest>,
    ) -> Result<Response<DeleteEndpointResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = &request.get_ref().id;
        self.with_endpoint(&owner, id, |_| ())?;
        self.0.endpoints.lock().remove(id);
        Ok(Response::new(DeleteEndpointResponse {}))
    }

    async fn rotate_secret(
        &self,
        request: Request<RotateSecretRequest>,
    ) -> Result<Response<RotateSecretResponse>, Status> {
        let owner = self.enter(&request).await?;
        let RotateSecretRequest { id, drops_former } = request.into_inner();
        let endpoint = Some(self.with_endpoint(&owner, &id, |known| {
            known.endpoint.secrets = if drops_former { 1 } else { 2 };
            known.endpoint.clone()
        })?);
        let secret = "whsec_two".to_owned();
        Ok(Response::new(RotateSecretResponse { endpoint, secret }))
    }

    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = &request.get_ref().endpoint_id;
        let delivery = self.with_endpoint(&owner, id, |known| known.delivery.clone())?;
        Ok(Response::new(ListDeliveriesResponse {
            deliveries: vec![delivery],
            next_page_token: String::new(),
        }))
    }

    async fn replay_delivery(
        &self,
        request: Request<ReplayDeliveryRequest>,
    ) -> Result<Response<ReplayDeliveryResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = &request.get_ref().id;
        let mut endpoints = self.0.endpoints.lock();
        let mut mine = endpoints.values_mut().filter(|known| known.owner == owner);
        let known = mine.find(|known| known.delivery.id == *id);
        let known = known.ok_or_else(|| missing("DELIVERY_NOT_FOUND"))?;
        known.delivery.set_state(DeliveryState::Pending);
        let delivery = Some(known.delivery.clone());
        Ok(Response::new(ReplayDeliveryResponse { delivery }))
    }
}
