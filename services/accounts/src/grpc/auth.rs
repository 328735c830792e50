//! Answers the edge, for people who have no token yet.

use std::sync::Arc;

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::auth_service_server::AuthService;
use tonic::{Request, Response, Status};

use super::{age, keys, passkeys, passwords, providers, second_factor, sign_in, sign_up};
use crate::app::App;

/// Answers the edge, for people who have no token yet.
pub struct AuthGrpc {
    app: Arc<App>,
}

impl AuthGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl AuthService for AuthGrpc {
    async fn sign_up(
        &self,
        request: Request<pb::SignUpRequest>,
    ) -> Result<Response<pb::SignUpResponse>, Status> {
        sign_up::sign_up(&self.app, request).await
    }

    async fn resend_verification(
        &self,
        request: Request<pb::ResendVerificationRequest>,
    ) -> Result<Response<pb::ResendVerificationResponse>, Status> {
        sign_up::resend_verification(&self.app, request).await
    }

    async fn verify_email(
        &self,
        request: Request<pb::VerifyEmailRequest>,
    ) -> Result<Response<pb::VerifyEmailResponse>, Status> {
        sign_up::verify_email(&self.app, request).await
    }

    async fn sign_in(
        &self,
        request: Request<pb::SignInRequest>,
    ) -> Result<Response<pb::SignInResponse>, Status> {
        sign_in::sign_in(&self.app, request).await
    }

    async fn complete_sign_in(
        &self,
        request: Request<pb::CompleteSignInRequest>,
    ) -> Result<Response<pb::CompleteSignInResponse>, Status> {
        second_factor::complete_sign_in(&self.app, request).await
    }

    async fn refresh(
        &self,
        request: Request<pb::RefreshRequest>,
    ) -> Result<Response<pb::RefreshResponse>, Status> {
        sign_in::refresh(&self.app, request).await
    }

    async fn sign_out(
        &self,
        request: Request<pb::SignOutRequest>,
    ) -> Result<Response<pb::SignOutResponse>, Status> {
        sign_in::sign_out(&self.app, request).await
    }

    async fn request_password_reset(
        &self,
        request: Request<pb::RequestPasswordResetRequest>,
    ) -> Result<Response<pb::RequestPasswordResetResponse>, Status> {
        passwords::request_password_reset(&self.app, request).await
    }

    async fn reset_password(
        &self,
        request: Request<pb::ResetPasswordRequest>,
    ) -> Result<Response<pb::ResetPasswordResponse>, Status> {
        passwords::reset_password(&self.app, request).await
    }

    async fn begin_provider_sign_in(
        &self,
        request: Request<pb::BeginProviderSignInRequest>,
    ) -> Result<Response<pb::BeginProviderSignInResponse>, Status> {
        providers::begin_provider_sign_in(&self.app, request).await
    }

    async fn complete_provider_sign_in(
        &self,
        request: Request<pb::CompleteProviderSignInRequest>,
    ) -> Result<Response<pb::CompleteProviderSignInResponse>, Status> {
        providers::complete_provider_sign_in(&self.app, request).await
    }

    async fn begin_passkey_sign_in(
        &self,
        request: Request<pb::BeginPasskeySignInRequest>,
    ) -> Result<Response<pb::BeginPasskeySignInResponse>, Status> {
        passkeys::begin_passkey_sign_in(&self.app, request).await
    }

    async fn complete_passkey_sign_in(
        &self,
        request: Request<pb::CompletePasskeySignInRequest>,
    ) -> Result<Response<pb::CompletePasskeySignInResponse>, Status> {
        passkeys::complete_passkey_sign_in(&self.app, request).await
    }

    async fn exchange_api_key(
        &self,
        request: Request<pb::ExchangeApiKeyRequest>,
    ) -> Result<Response<pb::ExchangeApiKeyResponse>, Status> {
        keys::exchange_api_key(&self.app, request).await
    }

    async fn list_providers(
        &self,
        request: Request<pb::ListProvidersRequest>,
    ) -> Result<Response<pb::ListProvidersResponse>, Status> {
        providers::list_providers(&self.app, request).await
    }

    async fn complete_age_verification(
        &self,
        request: Request<pb::CompleteAgeVerificationRequest>,
    ) -> Result<Response<pb::CompleteAgeVerificationResponse>, Status> {
        age::complete_age_verification(&self.app, request).await
    }
}
