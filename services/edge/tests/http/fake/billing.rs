//! A billing service that takes webhooks, and remembers what it was asked.

use std::sync::Arc;

use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::payment_service_server::{PaymentService, PaymentServiceServer};
use parking_lot::Mutex;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// What a webhook is signed with that it takes.
pub const SIGNATURE: &str = "t=1795321258,v1=00ff";

/// A handle on the fake; clones share their state.
#[derive(Clone, Default)]
pub struct FakeBilling {
    webhooks: Arc<Mutex<Vec<pb::ReceiveStripeWebhookRequest>>>,
    checkouts: Arc<Mutex<Vec<pb::CreateCheckoutRequest>>>,
}

impl FakeBilling {
    pub fn routes(&self) -> Routes {
        Routes::new(PaymentServiceServer::new(self.clone()))
    }

    /// What Stripe has called with, taken or not.
    pub fn webhooks(&self) -> Vec<pb::ReceiveStripeWebhookRequest> {
        self.webhooks.lock().clone()
    }

    /// What callers wanted to buy.
    pub fn checkouts(&self) -> Vec<pb::CreateCheckoutRequest> {
        self.checkouts.lock().clone()
    }
}

#[tonic::async_trait]
impl PaymentService for FakeBilling {
    async fn list_packs(
        &self,
        _: Request<pb::ListPacksRequest>,
    ) -> Result<Response<pb::ListPacksResponse>, Status> {
        let pack = pb::Pack {
            name: "small".to_owned(),
            credits: 1_000_000,
            price: 999,
            ..Default::default()
        };
        Ok(Response::new(pb::ListPacksResponse { packs: vec![pack] }))
    }

    async fn create_checkout(
        &self,
        request: Request<pb::CreateCheckoutRequest>,
    ) -> Result<Response<pb::CreateCheckoutResponse>, Status> {
        if request.metadata().get("authorization").is_none() {
            return Err(Status::unauthenticated("nobody calls"));
        }
        self.checkouts.lock().push(request.into_inner());
        let checkout = pb::Checkout {
            id: "c1".to_owned(),
            state: pb::CheckoutState::Open.into(),
            ..Default::default()
        };
        Ok(Response::new(pb::CreateCheckoutResponse {
            checkout: Some(checkout),
        }))
    }

    async fn receive_stripe_webhook(
        &self,
        request: Request<pb::ReceiveStripeWebhookRequest>,
    ) -> Result<Response<pb::ReceiveStripeWebhookResponse>, Status> {
        let message = request.into_inner();
        let is_signed = message.signature == SIGNATURE;
        self.webhooks.lock().push(message);
        if is_signed {
            return Ok(Response::new(pb::ReceiveStripeWebhookResponse {}));
        }
        let text = "the webhook is not signed for this platform";
        Err(PublicError::new(Kind::InvalidArgument, "WEBHOOK_REFUSED", text).into())
    }

    async fn get_checkout(
        &self,
        _: Request<pb::GetCheckoutRequest>,
    ) -> Result<Response<pb::GetCheckoutResponse>, Status> {
        Err(unused())
    }

    async fn create_portal(
        &self,
        _: Request<pb::CreatePortalRequest>,
    ) -> Result<Response<pb::CreatePortalResponse>, Status> {
        Err(unused())
    }

    async fn list_subscriptions(
        &self,
        _: Request<pb::ListSubscriptionsRequest>,
    ) -> Result<Response<pb::ListSubscriptionsResponse>, Status> {
        Err(unused())
    }

    async fn list_receipts(
        &self,
        _: Request<pb::ListReceiptsRequest>,
    ) -> Result<Response<pb::ListReceiptsResponse>, Status> {
        Err(unused())
    }
}

fn unused() -> Status {
    Status::unimplemented("no test asks for this")
}
