//! Webhooks and deliveries for their owners.

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

/// Answers owners of webhooks.
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
    async fn create_webhook(
        &self,
        request: Request<pb::CreateWebhookRequest>,
    ) -> Result<Response<pb::CreateWebhookResponse>, Status> {
        let owner = owner(&request)?;
        let message = request.into_inner();
        let job = match message.video_id.as_str() {
            "" => None,
            text => Some(job_id(text)?),
        };
        let request = EndpointRequest {
            url: message.url,
            events: message.events,
            job,
        };
        let made = self.webhooks.create(&owner, request).await?;
        let webhook = Some(with_secret_to_pb(made));
        Ok(Response::new(pb::CreateWebhookResponse { webhook }))
    }

    async fn get_webhook(
        &self,
        request: Request<pb::GetWebhookRequest>,
    ) -> Result<Response<pb::GetWebhookResponse>, Status> {
        let owner = owner(&request)?;
        let id = webhook_id(&request.get_ref().id)?;
        let webhook = Some(webhook_to_pb(self.webhooks.get(&owner, id).await?));
        Ok(Response::new(pb::GetWebhookResponse { webhook }))
    }

    async fn list_webhooks(
        &self,
        request: Request<pb::ListWebhooksRequest>,
    ) -> Result<Response<pb::ListWebhooksResponse>, Status> {
        let found = self.webhooks.list(&owner(&request)?).await?;
        let webhooks = found.into_iter().map(webhook_to_pb).collect();
        Ok(Response::new(pb::ListWebhooksResponse { webhooks }))
    }

    async fn update_webhook(
        &self,
        request: Request<pb::UpdateWebhookRequest>,
    ) -> Result<Response<pb::UpdateWebhookResponse>, Status> {
        let owner = owner(&request)?;
        let message = request.into_inner();
        let webhook = message.webhook.unwrap_or_default();
        let id = webhook_id(&webhook.id)?;
        let mask = message.update_mask.unwrap_or_default();
        let changes = changes_from_pb(webhook, &mask.paths)?;
        let changed = self.webhooks.update(&owner, id, changes).await?;
        let webhook = Some(webhook_to_pb(changed));
        Ok(Response::new(pb::UpdateWebhookResponse { webhook }))
    }

    async fn delete_webhook(
        &self,
        request: Request<pb::DeleteWebhookRequest>,
    ) -> Result<Response<pb::DeleteWebhookResponse>, Status> {
        let owner = owner(&request)?;
        let id = webhook_id(&request.get_ref().id)?;
        self.webhooks.delete(&owner, id).await?;
        Ok(Response::new(pb::DeleteWebhookResponse {}))
    }

    async fn rotate_secret(
        &self,
        request: Request<pb::RotateSecretRequest>,
    ) -> Result<Response<pb::RotateSecretResponse>, Status> {
        let owner = owner(&request)?;
        let pb::RotateSecretRequest { id, drop_former } = request.into_inner();
        let id = webhook_id(&id)?;
        let changed = self.webhooks.rotate(&owner, id, drop_former).await?;
        let webhook = Some(with_secret_to_pb(changed));
        Ok(Response::new(pb::RotateSecretResponse { webhook }))
    }

    async fn list_deliveries(
        &self,
        request: Request<pb::ListDeliveriesRequest>,
    ) -> Result<Response<pb::ListDeliveriesResponse>, Status> {
        let owner = owner(&request)?;
        let message = request.into_inner();
        let id = webhook_id(&message.webhook_id)?;
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

/// Reads a webhook's id. Text that is none names no webhook.
fn webhook_id(text: &str) -> Result<Uuid, Error> {
    Ok(uuid(text).ok_or(WebhookError::EndpointNotFound)?)
}

/// Only the canonical form, so that one thing has one spelling.
fn uuid(text: &str) -> Option<Uuid> {
    let id: Uuid = text.parse().ok()?;
    (id.to_string() == text).then_some(id)
}

/// Takes the fields that a mask names.
fn changes_from_pb(webhook: pb::Webhook, paths: &[String]) -> Result<EndpointChanges, Error> {
    let invalid = |problem| Error::Field {
        reason: "UPDATE_MASK_INVALID",
        field: "update_mask",
        problem,
    };
    if paths.is_empty() {
        return Err(invalid("names no field"));
    }
    let mut changes = EndpointChanges::default();
    for path in paths {
        match path.as_str() {
            "url" => changes.url = Some(webhook.url.clone()),
            "events" => changes.events = Some(webhook.events.clone()),
            "enabled" => changes.enabled = Some(webhook.enabled),
            _ => return Err(invalid("may name `url`, `events` and `enabled` alone")),
        }
    }
    Ok(changes)
}

/// A webhook with its newest secret, which is shown once.
fn with_secret_to_pb(endpoint: Endpoint) -> pb::Webhook {
    let secret = endpoint.secrets.present.expose().to_owned();
    pb::Webhook {
        secret: Some(secret),
        ..webhook_to_pb(endpoint)
    }
}

fn webhook_to_pb(endpoint: Endpoint) -> pb::Webhook {
    let events = endpoint.subscription.named();
    pb::Webhook {
        object: "webhook".to_owned(),
        id: endpoint.id.to_string(),
        events: events.map(EventKind::name).map(str::to_owned).collect(),
        video_id: endpoint.job.map(|job| job.to_string()).unwrap_or_default(),
        enabled: endpoint.health.enabled,
        paused_until: endpoint.health.paused_until.map(time_to_pb),
        consecutive_failures: endpoint.health.consecutive_failures,
        create_time: Some(time_to_pb(endpoint.create_time)),
        secrets: endpoint.secrets.count(),
        secret: None,
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
        object: "delivery".to_owned(),
        webhook_id: delivery.endpoint.to_string(),
        message_id: delivery.message.to_string(),
        event: delivery.event.name().to_owned(),
        video_id: delivery.job.to_string(),
        state: state.into(),
        attempts: delivery.attempts,
        last_status: delivery.last_status.into(),
        last_error: delivery.last_error,
        create_time: Some(time_to_pb(delivery.create_time)),
        next_attempt_time: is_pending.then(|| time_to_pb(delivery.next_attempt_time)),
        last_attempt_time: delivery.last_attempt_time.map(time_to_pb),
    }
}
