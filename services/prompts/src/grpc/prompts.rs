//! Answers who has prompts.

use std::sync::Arc;

use kinora_proto::prompts::v1 as pb;
use kinora_proto::prompts::v1::prompt_service_server::PromptService;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::convert::{
    asker, moderation_to_pb, order_from_enhance, order_from_pb, policy_to_pb, prepared_to_pb,
};
use crate::app::App;
use crate::domain::order::Order;
use crate::error::Error;

/// Prompts in one call.
const MAX_BATCH: usize = 128;

/// Answers who has prompts.
pub struct PromptGrpc {
    app: Arc<App>,
}

impl PromptGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl PromptService for PromptGrpc {
    async fn prepare(
        &self,
        request: Request<pb::PrepareRequest>,
    ) -> Result<Response<pb::PrepareResponse>, Status> {
        let (asker, deadline) = (asker(&request)?, deadline(&request));
        let order = order_from_pb(request.into_inner())?;
        let prepared = self.app.prepare(&asker, order, deadline).await?;
        let prompt = Some(prepared_to_pb(prepared));
        Ok(Response::new(pb::PrepareResponse { prompt }))
    }

    async fn batch_prepare(
        &self,
        request: Request<pb::BatchPrepareRequest>,
    ) -> Result<Response<pb::BatchPrepareResponse>, Status> {
        let (asker, deadline) = (asker(&request)?, deadline(&request));
        let orders = batch(request.into_inner())?;
        let prepared = self.app.prepare_batch(&asker, orders, deadline).await?;
        let prompts = prepared.into_iter().map(prepared_to_pb).collect();
        Ok(Response::new(pb::BatchPrepareResponse { prompts }))
    }

    async fn enhance(
        &self,
        request: Request<pb::EnhanceRequest>,
    ) -> Result<Response<pb::EnhanceResponse>, Status> {
        let (asker, deadline) = (asker(&request)?, deadline(&request));
        let order = order_from_enhance(request.into_inner())?;
        let prepared = self.app.enhance(&asker, order, deadline).await?;
        let prompt = Some(prepared_to_pb(prepared));
        Ok(Response::new(pb::EnhanceResponse { prompt }))
    }

    async fn moderate(
        &self,
        request: Request<pb::ModerateRequest>,
    ) -> Result<Response<pb::ModerateResponse>, Status> {
        let asker = asker(&request)?;
        let text = request.into_inner().text;
        let moderation = self.app.moderate(text, &asker).await?;
        let moderation = Some(moderation_to_pb(moderation));
        Ok(Response::new(pb::ModerateResponse { moderation }))
    }

    async fn get_policy(
        &self,
        request: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::GetPolicyResponse>, Status> {
        let audience = asker(&request)?.audience;
        let policy = Some(policy_to_pb(self.app.policy(audience)));
        Ok(Response::new(pb::GetPolicyResponse { policy }))
    }
}

/// Until when the caller waits. None for as long as it takes.
fn deadline<T>(request: &Request<T>) -> Option<Instant> {
    let headers = request.metadata().clone().into_headers();
    kinora_mesh::deadline::of(&headers)
}

fn batch(message: pb::BatchPrepareRequest) -> Result<Vec<Order>, Error> {
    if !(1..=MAX_BATCH).contains(&message.requests.len()) {
        let (field, problem) = ("requests", "are 1 to 128");
        return Err(Error::Field { field, problem });
    }
    let orders = message.requests.into_iter().enumerate();
    let orders = orders.map(|(index, one)| {
        let order = order_from_pb(one).and_then(|order| order.check().map(|()| order));
        order.map_err(|source| Error::OfBatch {
            index,
            source: Box::new(source),
        })
    });
    orders.collect()
}
