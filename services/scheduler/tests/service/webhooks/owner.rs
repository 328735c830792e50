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
        job_id: &str,
    ) -> Result<(pb::Endpoint, Secret), Status> {
        let request = self.caller.request(pb::CreateEndpointRequest {
            url: url.to_owned(),
            events: events.iter().map(|&event| event.to_owned()).collect(),
            job_id: job_id.to_owned(),
        });
        let made = self
            .client
            .clone()
            .create_endpoint(request)
            .await?
            .into_inner();
        let secret = Secret::parse(&made.secret).expect("a secret");
        Ok((made.endpoint.expect("an endpoint"), secret))
    }

    pub async fn get(&self, id: &str) -> Result<pb::Endpoint, Status> {
        let request = self
            .caller
            .request(pb::GetEndpointRequest { id: id.to_owned() });
        let found = self.client.clone().get_endpoint(request).await?;
        Ok(found.into_inner().endpoint.expect("an endpoint"))
    }

    pub async fn update(&self, change: pb::UpdateEndpointRequest) -> Result<pb::Endpoint, Status> {
        let request = self.caller.request(change);
        let changed = self.client.clone().update_endpoint(request).await?;
        Ok(changed.into_inner().endpoint.expect("an endpoint"))
    }

    pub async fn rotate(
        &self,
        id: &str,
        drops_former: bool,
    ) -> Result<(pb::Endpoint, Secret), Status> {
        let id = id.to_owned();
        let request = self
            .caller
            .request(pb::RotateSecretRequest { id, drops_former });
        let changed = self
            .client
            .clone()
            .rotate_secret(request)
            .await?
            .into_inner();
        let secret = Secret::parse(&changed.secret).expect("a secret");
        Ok((changed.endpoint.expect("an endpoint"), secret))
    }

    pub async fn delete(&self, id: &str) -> Result<(), Status> {
        let request = self
            .caller
            .request(pb::DeleteEndpointRequest { id: id.to_owned() });
        self.client
            .clone()
            .delete_endpoint(request)
            .await
            .map(|_| ())
    }

    pub async fn page(
        &self,
        id: &str,
        page_size: i32,
        token: &str,
    ) -> Result<pb::ListDeliveriesResponse, Status> {
        let request = self.caller.request(pb::ListDeliveriesRequest {
            endpoint_id: id.to_owned(),
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
