//! Someone who calls the webhook service.

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::webhook_service_client::WebhookServiceClient;
use kinora_scheduler::webhooks::secret::Secret;
use kinora_testkit::wait::until;
use tonic::Status;
use tonic::transport::Channel;

use crate::harness::{Caller, PATIENCE, TestScheduler, channel};

/// An owner of endpoints.
pub struct Owner {
    client: WebhookServiceClient<Channel>,
    pub caller: Caller,
}

impl Owner {
    pub async fn connect(scheduler: &TestScheduler, name: &str) -> Self {
        Self {
            client: WebhookServiceClient::new(channel(&scheduler.endpoint, "edge")),
            caller: scheduler.caller(name).await,
        }
    }

    pub async fn create(
        &self,
        url: &str,
        events: &[&str],
        video_id: &str,
    ) -> Result<(pb::Webhook, Secret), Status> {
        let request = self.caller.request(pb::CreateWebhookRequest {
            url: url.to_owned(),
            events: events.iter().map(|&event| event.to_owned()).collect(),
            video_id: video_id.to_owned(),
        });
        let made = self.client.clone().create_webhook(request).await?;
        Ok(with_secret(made.into_inner().webhook))
    }

    pub async fn get(&self, id: &str) -> Result<pb::Webhook, Status> {
        let request = self
            .caller
            .request(pb::GetWebhookRequest { id: id.to_owned() });
        let found = self.client.clone().get_webhook(request).await?;
        Ok(found.into_inner().webhook.expect("a webhook"))
    }

    /// Changes the fields that `paths` name.
    pub async fn update(
        &self,
        webhook: pb::Webhook,
        paths: &[&str],
    ) -> Result<pb::Webhook, Status> {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        let request = self.caller.request(pb::UpdateWebhookRequest {
            webhook: Some(webhook),
            update_mask: Some(prost_types::FieldMask { paths }),
        });
        let changed = self.client.clone().update_webhook(request).await?;
        Ok(changed.into_inner().webhook.expect("a webhook"))
    }

    pub async fn rotate(
        &self,
        id: &str,
        drop_former: bool,
    ) -> Result<(pb::Webhook, Secret), Status> {
        let id = id.to_owned();
        let request = pb::RotateSecretRequest { id, drop_former };
        let request = self.caller.request(request);
        let changed = self.client.clone().rotate_secret(request).await?;
        Ok(with_secret(changed.into_inner().webhook))
    }

    pub async fn delete(&self, id: &str) -> Result<(), Status> {
        let request = pb::DeleteWebhookRequest { id: id.to_owned() };
        let request = self.caller.request(request);
        let deleted = self.client.clone().delete_webhook(request).await;
        deleted.map(|_| ())
    }

    pub async fn page(
        &self,
        id: &str,
        page_size: i32,
        token: &str,
    ) -> Result<pb::ListDeliveriesResponse, Status> {
        let request = self.caller.request(pb::ListDeliveriesRequest {
            webhook_id: id.to_owned(),
            page_size,
            page_token: token.to_owned(),
        });
        let page = self.client.clone().list_deliveries(request).await?;
        Ok(page.into_inner())
    }

    pub async fn replay(&self, id: &str) -> Result<pb::Delivery, Status> {
        let request = self
            .caller
            .request(pb::ReplayDeliveryRequest { id: id.to_owned() });
        let replayed = self.client.clone().replay_delivery(request).await?;
        Ok(replayed.into_inner().delivery.expect("a delivery"))
    }

    /// Waits until the newest delivery is as wanted.
    pub async fn newest(
        &self,
        id: &str,
        is_wanted: impl Fn(&pb::Delivery) -> bool,
    ) -> pb::Delivery {
        until("a delivery", PATIENCE, || async {
            let page = self.page(id, 1, "").await.expect("lists");
            match page.deliveries.into_iter().next() {
                Some(delivery) if is_wanted(&delivery) => Ok(delivery),
                other => Err(other),
            }
        })
        .await
    }
}

fn with_secret(webhook: Option<pb::Webhook>) -> (pb::Webhook, Secret) {
    let webhook = webhook.expect("a webhook");
    let secret = Secret::parse(webhook.secret()).expect("a secret");
    (webhook, secret)
}
