//! Answers operators.

use std::sync::Arc;

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use super::{ServerStream, age, audit, operators, signing_keys, terms};
use crate::app::App;

/// Answers operators.
pub struct AdminGrpc {
    app: Arc<App>,
}

impl AdminGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl AdminService for AdminGrpc {
    type ExportAuditStream = ServerStream<pb::ExportAuditResponse>;

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        operators::list_users(&self.app, request).await
    }

    async fn get_user_by_id(
        &self,
        request: Request<pb::GetUserByIdRequest>,
    ) -> Result<Response<pb::GetUserByIdResponse>, Status> {
        operators::get_user_by_id(&self.app, request).await
    }

    async fn create_user(
        &self,
        request: Request<pb::CreateUserRequest>,
    ) -> Result<Response<pb::CreateUserResponse>, Status> {
        operators::create_user(&self.app, request).await
    }

    async fn disable_user(
        &self,
        request: Request<pb::DisableUserRequest>,
    ) -> Result<Response<pb::DisableUserResponse>, Status> {
        operators::disable_user(&self.app, request).await
    }

    async fn enable_user(
        &self,
        request: Request<pb::EnableUserRequest>,
    ) -> Result<Response<pb::EnableUserResponse>, Status> {
        operators::enable_user(&self.app, request).await
    }

    async fn set_operator(
        &self,
        request: Request<pb::SetOperatorRequest>,
    ) -> Result<Response<pb::SetOperatorResponse>, Status> {
        operators::set_operator(&self.app, request).await
    }

    async fn sign_out_user(
        &self,
        request: Request<pb::SignOutUserRequest>,
    ) -> Result<Response<pb::SignOutUserResponse>, Status> {
        operators::sign_out_user(&self.app, request).await
    }

    async fn reset_second_factors(
        &self,
        request: Request<pb::ResetSecondFactorsRequest>,
    ) -> Result<Response<pb::ResetSecondFactorsResponse>, Status> {
        operators::reset_second_factors(&self.app, request).await
    }

    async fn set_age(
        &self,
        request: Request<pb::SetAgeRequest>,
    ) -> Result<Response<pb::SetAgeResponse>, Status> {
        age::set_age(&self.app, request).await
    }

    async fn list_all_organisations(
        &self,
        request: Request<pb::ListAllOrganisationsRequest>,
    ) -> Result<Response<pb::ListAllOrganisationsResponse>, Status> {
        operators::list_all_organisations(&self.app, request).await
    }

    async fn list_keys_of(
        &self,
        request: Request<pb::ListKeysOfRequest>,
    ) -> Result<Response<pb::ListKeysOfResponse>, Status> {
        operators::list_keys_of(&self.app, request).await
    }

    async fn revoke_key(
        &self,
        request: Request<pb::RevokeKeyRequest>,
    ) -> Result<Response<pb::RevokeKeyResponse>, Status> {
        operators::revoke_key(&self.app, request).await
    }

    async fn publish_terms(
        &self,
        request: Request<pb::PublishTermsRequest>,
    ) -> Result<Response<pb::PublishTermsResponse>, Status> {
        terms::publish_terms(&self.app, request).await
    }

    async fn list_terms(
        &self,
        request: Request<pb::ListTermsRequest>,
    ) -> Result<Response<pb::ListTermsResponse>, Status> {
        terms::list_terms(&self.app, request).await
    }

    async fn list_signing_keys(
        &self,
        request: Request<pb::ListSigningKeysRequest>,
    ) -> Result<Response<pb::ListSigningKeysResponse>, Status> {
        signing_keys::list_signing_keys(&self.app, request).await
    }

    async fn rotate_signing_key(
        &self,
        request: Request<pb::RotateSigningKeyRequest>,
    ) -> Result<Response<pb::RotateSigningKeyResponse>, Status> {
        signing_keys::rotate_signing_key(&self.app, request).await
    }

    async fn revoke_signing_key(
        &self,
        request: Request<pb::RevokeSigningKeyRequest>,
    ) -> Result<Response<pb::RevokeSigningKeyResponse>, Status> {
        signing_keys::revoke_signing_key(&self.app, request).await
    }

    async fn list_audit(
        &self,
        request: Request<pb::ListAuditRequest>,
    ) -> Result<Response<pb::ListAuditResponse>, Status> {
        audit::list_audit(&self.app, request).await
    }

    async fn export_audit(
        &self,
        request: Request<pb::ExportAuditRequest>,
    ) -> Result<Response<Self::ExportAuditStream>, Status> {
        audit::export_audit(&self.app, request).await
    }
}
