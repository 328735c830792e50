//! Endpoints and deliveries for their owners.

use std::sync::Arc;

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::webhook_service_server::WebhookService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::{job_id, time_to_pb};
use super::owner;
use crate::error::Error;
use crate::webhooks::event::EventKind;
use crate::webhooks::model::{Delivery, DeliveryState, Endpoint};
use crate::webhooks::service::{EndpointChanges, EndpointRequest};
use crate::webhooks::{WebhookError, Webhooks};

/// Answers owners of webhook endpoints.
pub struct WebhookGrpc {
    webhooks: Arc<Webhooks>,
}

impl WebhookGrpc {
    /// Answers with the use cases of `webhooks`.
    pub const fn new(webhooks: Arc<Webhooks>) -> Self {
        Self { webhooks }
    }
}

#[tonic::async_trait]
impl WebhookService for WebhookGrpc {
    async fn create_endpoint(
        &self,
        request: Request<pb::CreateEndpointRequest>,
    ) -> Result<Response<pb::CreateEndpointResponse>, Status> {
        let owner = owner(&request)?;
        let message = request.into_inner();
        let job = match message.job_id.as_str() {
            "" => None,
            text => Some(job_id(text)?),
        };
        let request = EndpointRequest {
            url: message.url,
            events: message.events,
            job,
        };
        let made = self.webhooks.create(&owner, request).await?;
        Ok(Response::new(pb::CreateEndpointResponse {
            secret: made.secrets.present.expose().to_owned(),
            endpoint: Some(endpoint_to_pb(made)),
        }))
    }

    async fn get_endpoint(
        &self,
        request: Request<pb::GetEndpointRequest>,
    ) -> Result<Response<pb::GetEndpointResponse>, Status> {
        let owner = owner(&request)?;
        let id = endpoint_id(&request.get_ref().id)?;
        let endpoint = Some(endpoint_to_pb(self.webhooks.get(&owner, id).await?));
        Ok(Response::new(pb::GetEndpointResponse { endpoint }))
    }

    async fn list_endpoints(
        &self,
        request: Request<pb::ListEndpointsRequest>,
    ) -> Result<Response<pb::ListEndpointsResponse>, Status> {
        let found = self.webhooks.list(&owner(&request)?).await?;
        let endpoints = found.into_iter().map(endpoint_to_pb).collect();
        Ok(Response::new(pb::ListEndpointsResponse { endpoints }))
    }

    async fn update_endpoint(
        &self,
        request: Request<pb::UpdateEndpointRequest>,
    ) -> Result<Response<pb::UpdateEndpointResponse>, Status> {
        let owner = owner(&request)?;
        let message = request.into_inner();
        let id = endpoint_id(&message.id)?;
        let changes = EndpointChanges {
            url: message.url,
            events: message.sets_events.then_some(message.events),
            enabled: message.enabled,
        };
        let changed = self.webhooks.update(&owner, id, changes).await?;
        let endpoint = Some(endpoint_to_pb(changed));
        Ok(Response::new(pb::UpdateEndpointResponse { endpoint }))
    }

    async fn delete_endpoint(
        &self,
        request: Request<pb::DeleteEndpointRequest>,
    ) -> Result<Response<pb::DeleteEndpointResponse>, Status> {
        let owner = owner(&request)?;
        let id = endpoint_id(&request.get_ref().id)?;
        self.webhooks.delete(&owner, id).await?;
        Ok(Response::new(pb::DeleteEndpointResponse {}))
    }

    async fn rotate_secret(
        &self,
        request: Request<pb::RotateSecretRequest>,
    ) -> Result<Response<pb::RotateSecretResponse>, Status> {
        let owner = owner(&request)?;
        let pb::RotateSecretRequest { id, drops_former } = request.into_inner();
        let id = endpoint_id(&id)?;
        let changed = self.webhooks.rotate(&owner, id, drops_former).await?;
        Ok(Response::new(pb::RotateSecretResponse {
            secret: changed.secrets.present.expose().to_owned(),
            endpoint: Some(endpoint_to_pb(changed)),
        }))
    }

    async fn list_deliveries(
        &self,
        request: Request<pb::ListDeliveriesRequest>,
    ) -> Result<Response<pb::ListDeliveriesResponse>, Status> {
        let owner = owner(&request)?;
        let message = request.into_inner();
        let id = endpoint_id(&message.endpoint_id)?;
        let page = self
            .webhooks
            .deliveries(&owner, id, message.page_size, &message.page_token);
        let (found, next_page_token) = page.await?;
        Ok(Response::new(pb::ListDeliveriesResponse {
            deliveries: found.into_iter().map(delivery_to_pb).collect(),
            next_page_token,
        }))
    }

    async fn replay_delivery(
        &self,
        request: Request<pb::ReplayDeliveryRequest>,
    ) -> Result<Response<pb::ReplayDeliveryResponse>, Status> {
        let owner = owner(&request)?;
        let id = uuid(&request.get_ref().id).ok_or(WebhookError::DeliveryNotFound);
        let replayed = self
            .webhooks
            .replay(&owner, id.map_err(Error::from)?)
            .await?;
        let delivery = Some(delivery_to_pb(replayed));
        Ok(Response::new(pb::ReplayDeliveryResponse { delivery }))
    }
}

/// Reads an endpoint's id. Text that is none names no endpoint.
fn endpoint_id(text: &str) -> Result<Uuid, Error> {
    Ok(uuid(text).ok_or(WebhookError::EndpointNotFound)?)
}

fn uuid(text: &str) -> Option<Uuid> {
    text.parse().ok()
}

fn endpoint_to_pb(endpoint: Endpoint) -> pb::Endpoint {
    let events = endpoint.subscription.named();
    pb::Endpoint {
        id: endpoint.id.to_string(),
        events: events.map(EventKind::name).map(str::to_owned).collect(),
        job_id: endpoint.job.map(|job| job.to_string()).unwrap_or_default(),
        enabled: endpoint.health.enabled,
        paused_until: endpoint.health.paused_until.map(time_to_pb),
        consecutive_failures: endpoint.health.consecutive_failures,
        create_time: Some(time_to_pb(endpoint.create_time)),
        secrets: endpoint.secrets.count(),
        url: endpoint.url,
    }
}

fn delivery_to_pb(delivery: Delivery) -> pb::Delivery {
    let state = match delivery.state {
        DeliveryState::Pending => pb::DeliveryState::Pending,
        DeliveryState::Delivered => pb::DeliveryState::Delivered,
        DeliveryState::Failed => pb::DeliveryState::Failed,
    };
    let is_pending = delivery.state == DeliveryState::Pending;
    pb::Delivery {
        id: delivery.id.to_string(),
        endpoint_id: delivery.endpoint.to_string(),
        message_id: delivery.message.to_string(),
        event: delivery.event.name().to_owned(),
        job_id: delivery.job.to_string(),
        state: state.into(),
        attempts: delivery.attempts,
        last_status: delivery.last_status.into(),
        last_error: delivery.last_error,
        create_time: Some(time_to_pb(delivery.create_time)),
        next_attempt_time: is_pending.then(|| time_to_pb(delivery.next_attempt_time)),
        last_attempt_time: delivery.last_attempt_time.map(time_to_pb),
    }
}
