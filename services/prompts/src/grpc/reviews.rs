//! Answers operators.

use std::sync::Arc;

use kinora_proto::prompts::v1 as pb;
use kinora_proto::prompts::v1::review_service_server::ReviewService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::{operator, review_id, review_to_pb, status_from_pb};
use crate::app::{App, Decision};
use crate::error::Error;

/// Answers operators.
pub struct ReviewGrpc {
    app: Arc<App>,
}

impl ReviewGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    async fn decide(
        &self,
        decision: Decision,
        operator: Uuid,
        id: &str,
        note: &str,
    ) -> Result<pb::Review, Error> {
        let id = review_id(id)?;
        let review = self.app.decide(id, decision, operator, note).await?;
        Ok(review_to_pb(review))
    }
}

#[tonic::async_trait]
impl ReviewService for ReviewGrpc {
    async fn list_reviews(
        &self,
        request: Request<pb::ListReviewsRequest>,
    ) -> Result<Response<pb::ListReviewsResponse>, Status> {
        let message = request.into_inner();
        let status = status_from_pb(message.status)?;
        let page = self
            .app
            .list_reviews(status, message.page_size, &message.page_token);
        let (reviews, next_page_token) = page.await?;
        Ok(Response::new(pb::ListReviewsResponse {
            reviews: reviews.into_iter().map(review_to_pb).collect(),
            next_page_token,
        }))
    }

    async fn get_review(
        &self,
        request: Request<pb::GetReviewRequest>,
    ) -> Result<Response<pb::GetReviewResponse>, Status> {
        let id = review_id(&request.into_inner().id)?;
        let review = Some(review_to_pb(self.app.get_review(id).await?));
        Ok(Response::new(pb::GetReviewResponse { review }))
    }

    async fn approve_review(
        &self,
        request: Request<pb::ApproveReviewRequest>,
    ) -> Result<Response<pb::ApproveReviewResponse>, Status> {
        let operator = operator(&request)?;
        let message = request.into_inner();
        let review = self.decide(Decision::Approve, operator, &message.id, &message.note);
        let review = Some(review.await?);
        Ok(Response::new(pb::ApproveReviewResponse { review }))
    }

    async fn refuse_review(
        &self,
        request: Request<pb::RefuseReviewRequest>,
    ) -> Result<Response<pb::RefuseReviewResponse>, Status> {
        let operator = operator(&request)?;
        let message = request.into_inner();
        let review = self.decide(Decision::Refuse, operator, &message.id, &message.note);
        let review = Some(review.await?);
        Ok(Response::new(pb::RefuseReviewResponse { review }))
    }
}
