//! Webhooks of the fake: one delivery each, which has failed.

use kinora_access::{Refusal, Scope};
use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::scheduler::v1::webhook_service_server::WebhookService;
use kinora_proto::scheduler::v1::{
    CreateWebhookRequest, CreateWebhookResponse, DeleteWebhookRequest, DeleteWebhookResponse,
    Delivery, DeliveryState, GetWebhookRequest, GetWebhookResponse, ListDeliveriesRequest,
    ListDeliveriesResponse, ListWebhooksRequest, ListWebhooksResponse, ReplayDeliveryRequest,
    ReplayDeliveryResponse, RotateSecretRequest, RotateSecretResponse, UpdateWebhookRequest,
    UpdateWebhookResponse, Webhook,
};
use tonic::{Request, Response, Status};

use super::FakeScheduler;

/// A webhook and its delivery.
pub(super) struct Registered {
    owner: String,
    webhook: Webhook,
    delivery: Delivery,
}

impl FakeScheduler {
    fn with_webhook<T>(
        &self,
        owner: &str,
        id: &str,
        act: impl FnOnce(&mut Registered) -> T,
    ) -> Result<T, Status> {
        let mut webhooks = self.0.webhooks.lock();
        let known = webhooks.get_mut(id).filter(|known| known.owner == owner);
        known.map(act).ok_or_else(|| missing("ENDPOINT_NOT_FOUND"))
    }
}

fn missing(reason: &str) -> Status {
    PublicError::new(Kind::NotFound, reason, "there is no such thing").into()
}

fn register(owner: String, request: CreateWebhookRequest) -> Registered {
    let webhook = Webhook {
        id: JobId::generate().to_string(),
        url: request.url,
        events: request.events,
        video_id: request.video_id,
        enabled: true,
        secrets: 1,
        object: "webhook".to_owned(),
        ..Default::default()
    };
    let mut delivery = Delivery {
        id: JobId::generate().to_string(),
        webhook_id: webhook.id.clone(),
        message_id: "msg_1".to_owned(),
        event: "video.completed".to_owned(),
        attempts: 3,
        last_status: 500,
        ..Default::default()
    };
    delivery.set_state(DeliveryState::Failed);
    Registered {
        owner,
        webhook,
        delivery,
    }
}

#[tonic::async_trait]
impl WebhookService for FakeScheduler {
    async fn create_webhook(
        &self,
        request: Request<CreateWebhookRequest>,
    ) -> Result<Response<CreateWebhookResponse>, Status> {
        let owner = self.enter(&request).await?;
        let request = request.into_inner();
        if request.url.contains("127.0.0.1") {
            let reason = "URL_NOT_ALLOWED";
            let error = PublicError::new(Kind::InvalidArgument, reason, "the URL points inside");
            return Err(error.with_violation("url", "must be public").into());
        }
        let known = register(owner, request);
        let webhook = Webhook {
            secret: Some("whsec_one".to_owned()),
            ..known.webhook.clone()
        };
        let mut webhooks = self.0.webhooks.lock();
        webhooks.insert(webhook.id.clone(), known);
        let webhook = Some(webhook);
        Ok(Response::new(CreateWebhookResponse { webhook }))
    }

    async fn get_webhook(
        &self,
        request: Request<GetWebhookRequest>,
    ) -> Result<Response<GetWebhookResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = &request.get_ref().id;
        let webhook = Some(self.with_webhook(&owner, id, |known| known.webhook.clone())?);
        Ok(Response::new(GetWebhookResponse { webhook }))
    }

    async fn list_webhooks(
        &self,
        request: Request<ListWebhooksRequest>,
    ) -> Result<Response<ListWebhooksResponse>, Status> {
        let caller = self.caller(&request).await?;
        if !caller.may(Scope::Webhooks) {
            return Err(Refusal::Scope(Scope::Webhooks).into());
        }
        let owner = caller.principal().as_str().to_owned();
        let webhooks = self.0.webhooks.lock();
        let mine = webhooks.values().filter(|known| known.owner == owner);
        let webhooks = mine.map(|known| known.webhook.clone()).collect();
        Ok(Response::new(ListWebhooksResponse { webhooks }))
    }

    async fn update_webhook(
        &self,
        request: Request<UpdateWebhookRequest>,
    ) -> Result<Response<UpdateWebhookResponse>, Status> {
        let owner = self.enter(&request).await?;
        let change = request.into_inner();
        let mask = change.update_mask.unwrap_or_default();
        let new = change.webhook.unwrap_or_default();
        let webhook = Some(self.with_webhook(&owner, &new.id, |known| {
            let webhook = &mut known.webhook;
            for path in &mask.paths {
                match path.as_str() {
                    "url" => webhook.url.clone_from(&new.url),
                    "events" => webhook.events.clone_from(&new.events),
                    "enabled" => webhook.enabled = new.enabled,
                    _ => panic!("{path} cannot change"),
                }
            }
            webhook.clone()
        })?);
        Ok(Response::new(UpdateWebhookResponse { webhook }))
    }

    async fn delete_webhook(
        &self,
        request: Request<DeleteWebhookRequest>,
    ) -> Result<Response<DeleteWebhookResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = &request.get_ref().id;
        self.with_webhook(&owner, id, |_| ())?;
        self.0.webhooks.lock().remove(id);
        Ok(Response::new(DeleteWebhookResponse {}))
    }

    async fn rotate_secret(
        &self,
        request: Request<RotateSecretRequest>,
    ) -> Result<Response<RotateSecretResponse>, Status> {
        let owner = self.enter(&request).await?;
        let RotateSecretRequest { id, drop_former } = request.into_inner();
        let webhook = Some(self.with_webhook(&owner, &id, |known| {
            known.webhook.secrets = if drop_former { 1 } else { 2 };
            Webhook {
                secret: Some("whsec_two".to_owned()),
                ..known.webhook.clone()
            }
        })?);
        Ok(Response::new(RotateSecretResponse { webhook }))
    }

    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        let owner = self.enter(&request).await?;
        let id = &request.get_ref().webhook_id;
        let delivery = self.with_webhook(&owner, id, |known| known.delivery.clone())?;
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
        let mut webhooks = self.0.webhooks.lock();
        let mut mine = webhooks.values_mut().filter(|known| known.owner == owner);
        let known = mine.find(|known| known.delivery.id == *id);
        let known = known.ok_or_else(|| missing("DELIVERY_NOT_FOUND"))?;
        known.delivery.set_state(DeliveryState::Pending);
        let delivery = Some(known.delivery.clone());
        Ok(Response::new(ReplayDeliveryResponse { delivery }))
    }
}
