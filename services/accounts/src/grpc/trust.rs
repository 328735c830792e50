//! Answers services that check tokens.

use std::sync::Arc;

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::trust_service_server::TrustService;
use tonic::{Request, Response, Status};

use super::signing_keys;
use crate::app::App;

/// Answers services that check tokens.
pub struct TrustGrpc {
    app: Arc<App>,
}

impl TrustGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl TrustService for TrustGrpc {
    async fn get_trust(
        &self,
        request: Request<pb::GetTrustRequest>,
    ) -> Result<Response<pb::GetTrustResponse>, Status> {
        signing_keys::get_trust(&self.app, request).await
    }
}
