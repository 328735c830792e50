//! Answers people about their own account.

use std::sync::Arc;

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::user_service_server::UserService;
use tonic::{Request, Response, Status};

use super::{
    ServerStream, age, audit, passkeys, passwords, privacy, profile, providers, second_factor,
    sessions, terms,
};
use crate::app::App;

/// Answers people about their own account.
pub struct UserGrpc {
    app: Arc<App>,
}

impl UserGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl UserService for UserGrpc {
    type ExportDataStream = ServerStream<pb::ExportDataResponse>;

    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::GetUserResponse>, Status> {
        profile::get_user(&self.app, request).await
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        profile::update_user(&self.app, request).await
    }

    async fn step_up(
        &self,
        request: Request<pb::StepUpRequest>,
    ) -> Result<Response<pb::StepUpResponse>, Status> {
        second_factor::step_up(&self.app, request).await
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        passwords::change_password(&self.app, request).await
    }

    async fn change_email(
        &self,
        request: Request<pb::ChangeEmailRequest>,
    ) -> Result<Response<pb::ChangeEmailResponse>, Status> {
        passwords::change_email(&self.app, request).await
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        sessions::list_sessions(&self.app, request).await
    }

    async fn revoke_session(
        &self,
        request: Request<pb::RevokeSessionRequest>,
    ) -> Result<Response<pb::RevokeSessionResponse>, Status> {
        sessions::revoke_session(&self.app, request).await
    }

    async fn revoke_other_sessions(
        &self,
        request: Request<pb::RevokeOtherSessionsRequest>,
    ) -> Result<Response<pb::RevokeOtherSessionsResponse>, Status> {
        sessions::revoke_other_sessions(&self.app, request).await
    }

    async fn enrol_totp(
        &self,
        request: Request<pb::EnrolTotpRequest>,
    ) -> Result<Response<pb::EnrolTotpResponse>, Status> {
        second_factor::enrol_totp(&self.app, request).await
    }

    async fn confirm_totp(
        &self,
        request: Request<pb::ConfirmTotpRequest>,
    ) -> Result<Response<pb::ConfirmTotpResponse>, Status> {
        second_factor::confirm_totp(&self.app, request).await
    }

    async fn remove_totp(
        &self,
        request: Request<pb::RemoveTotpRequest>,
    ) -> Result<Response<pb::RemoveTotpResponse>, Status> {
        second_factor::remove_totp(&self.app, request).await
    }

    async fn renew_recovery_codes(
        &self,
        request: Request<pb::RenewRecoveryCodesRequest>,
    ) -> Result<Response<pb::RenewRecoveryCodesResponse>, Status> {
        second_factor::renew_recovery_codes(&self.app, request).await
    }

    async fn begin_passkey_registration(
        &self,
        request: Request<pb::BeginPasskeyRegistrationRequest>,
    ) -> Result<Response<pb::BeginPasskeyRegistrationResponse>, Status> {
        passkeys::begin_passkey_registration(&self.app, request).await
    }

    async fn complete_passkey_registration(
        &self,
        request: Request<pb::CompletePasskeyRegistrationRequest>,
    ) -> Result<Response<pb::CompletePasskeyRegistrationResponse>, Status> {
        passkeys::complete_passkey_registration(&self.app, request).await
    }

    async fn list_passkeys(
        &self,
        request: Request<pb::ListPasskeysRequest>,
    ) -> Result<Response<pb::ListPasskeysResponse>, Status> {
        passkeys::list_passkeys(&self.app, request).await
    }

    async fn remove_passkey(
        &self,
        request: Request<pb::RemovePasskeyRequest>,
    ) -> Result<Response<pb::RemovePasskeyResponse>, Status> {
        passkeys::remove_passkey(&self.app, request).await
    }

    async fn begin_provider_link(
        &self,
        request: Request<pb::BeginProviderLinkRequest>,
    ) -> Result<Response<pb::BeginProviderLinkResponse>, Status> {
        providers::begin_provider_link(&self.app, request).await
    }

    async fn complete_provider_link(
        &self,
        request: Request<pb::CompleteProviderLinkRequest>,
    ) -> Result<Response<pb::CompleteProviderLinkResponse>, Status> {
        providers::complete_provider_link(&self.app, request).await
    }

    async fn remove_provider_link(
        &self,
        request: Request<pb::RemoveProviderLinkRequest>,
    ) -> Result<Response<pb::RemoveProviderLinkResponse>, Status> {
        providers::remove_provider_link(&self.app, request).await
    }

    async fn get_terms(
        &self,
        request: Request<pb::GetTermsRequest>,
    ) -> Result<Response<pb::GetTermsResponse>, Status> {
        terms::get_terms(&self.app, request).await
    }

    async fn accept_terms(
        &self,
        request: Request<pb::AcceptTermsRequest>,
    ) -> Result<Response<pb::AcceptTermsResponse>, Status> {
        terms::accept_terms(&self.app, request).await
    }

    async fn list_terms_acceptances(
        &self,
        request: Request<pb::ListTermsAcceptancesRequest>,
    ) -> Result<Response<pb::ListTermsAcceptancesResponse>, Status> {
        terms::list_terms_acceptances(&self.app, request).await
    }

    async fn declare_age(
        &self,
        request: Request<pb::DeclareAgeRequest>,
    ) -> Result<Response<pb::DeclareAgeResponse>, Status> {
        age::declare_age(&self.app, request).await
    }

    async fn begin_age_verification(
        &self,
        request: Request<pb::BeginAgeVerificationRequest>,
    ) -> Result<Response<pb::BeginAgeVerificationResponse>, Status> {
        age::begin_age_verification(&self.app, request).await
    }

    async fn list_activity(
        &self,
        request: Request<pb::ListActivityRequest>,
    ) -> Result<Response<pb::ListActivityResponse>, Status> {
        audit::list_activity(&self.app, request).await
    }

    async fn export_data(
        &self,
        request: Request<pb::ExportDataRequest>,
    ) -> Result<Response<Self::ExportDataStream>, Status> {
        privacy::export_data(&self.app, request).await
    }

    async fn erase_user(
        &self,
        request: Request<pb::EraseUserRequest>,
    ) -> Result<Response<pb::EraseUserResponse>, Status> {
        privacy::erase_user(&self.app, request).await
    }

    async fn cancel_erasure(
        &self,
        request: Request<pb::CancelErasureRequest>,
    ) -> Result<Response<pb::CancelErasureResponse>, Status> {
        privacy::cancel_erasure(&self.app, request).await
    }
}
