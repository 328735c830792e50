//! Answers about API keys and service accounts.

use std::sync::Arc;

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::key_service_server::KeyService;
use tonic::{Request, Response, Status};

use super::{keys, service_accounts};
use crate::app::App;

/// Answers about API keys and service accounts.
pub struct KeyGrpc {
    app: Arc<App>,
}

impl KeyGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl KeyService for KeyGrpc {
    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
        keys::create_api_key(&self.app, request).await
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<Response<pb::ListApiKeysResponse>, Status> {
        keys::list_api_keys(&self.app, request).await
    }

    async fn revoke_api_key(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
        keys::revoke_api_key(&self.app, request).await
    }

    async fn create_service_account(
        &self,
        request: Request<pb::CreateServiceAccountRequest>,
    ) -> Result<Response<pb::CreateServiceAccountResponse>, Status> {
        service_accounts::create_service_account(&self.app, request).await
    }

    async fn list_service_accounts(
        &self,
        request: Request<pb::ListServiceAccountsRequest>,
    ) -> Result<Response<pb::ListServiceAccountsResponse>, Status> {
        service_accounts::list_service_accounts(&self.app, request).await
    }

    async fn delete_service_account(
        &self,
        request: Request<pb::DeleteServiceAccountRequest>,
    ) -> Result<Response<pb::DeleteServiceAccountResponse>, Status> {
        service_accounts::delete_service_account(&self.app, request).await
    }
}
