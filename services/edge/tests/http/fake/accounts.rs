//! An accounts service that knows keys, and exchanges them for tokens of a test's issuer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kinora_access::Claims;
use kinora_access::testing::TestIssuer;
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::auth_service_server::{AuthService, AuthServiceServer};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// Questions that are answered at a time.
const PLACES: usize = 1000;

/// A handle on the fake; clones share their state.
#[derive(Clone)]
pub struct FakeAccounts {
    pub issuer: TestIssuer,
    keys: Arc<Mutex<BTreeMap<String, Claims>>>,
    exchanges: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<pb::Origin>>>,
    verifications: Arc<Mutex<Vec<pb::CompleteAgeVerificationRequest>>>,
    /// Questions take one each, and give it back.
    gate: Arc<Semaphore>,
}

impl FakeAccounts {
    pub fn new() -> Self {
        Self {
            issuer: TestIssuer::new(),
            keys: Arc::default(),
            exchanges: Arc::default(),
            seen: Arc::default(),
            verifications: Arc::default(),
            gate: Arc::new(Semaphore::new(PLACES)),
        }
    }

    pub fn routes(&self) -> Routes {
        Routes::new(AuthServiceServer::new(self.clone())).add_service(self.issuer.service())
    }

    /// Makes a key for somebody.
    pub fn add_key(&self, key: &str, claims: Claims) {
        self.keys.lock().insert(key.to_owned(), claims);
    }

    pub fn revoke_key(&self, key: &str) {
        self.keys.lock().remove(key);
    }

    /// How often a key was exchanged, or was not.
    pub fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::SeqCst)
    }

    /// Where the requests came from, as the edge said.
    pub fn origins(&self) -> Vec<pb::Origin> {
        self.seen.lock().clone()
    }

    /// What verifiers of ages have called with. A call is signed when its signature says "signed".
    pub fn verifications(&self) -> Vec<pb::CompleteAgeVerificationRequest> {
        self.verifications.lock().clone()
    }

    /// Answers nothing from now on, until [`Self::answer_again`].
    pub fn fall_silent(&self) {
        self.gate.forget_permits(PLACES);
    }

    pub fn answer_again(&self) {
        self.gate.add_permits(PLACES);
    }
}

/// Methods that the edge does not call.
macro_rules! unused {
    ($($method:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl AuthService for FakeAccounts {
            async fn exchange_api_key(
                &self,
                request: Request<pb::ExchangeApiKeyRequest>,
            ) -> Result<Response<pb::ExchangeApiKeyResponse>, Status> {
                self.exchange(request.into_inner()).await.map(Response::new)
            }

            async fn sign_in(
                &self,
                request: Request<pb::SignInRequest>,
            ) -> Result<Response<pb::SignInResponse>, Status> {
                self.seen.lock().extend(request.into_inner().origin);
                Ok(Response::new(pb::SignInResponse::default()))
            }

            async fn complete_age_verification(
                &self,
                request: Request<pb::CompleteAgeVerificationRequest>,
            ) -> Result<Response<pb::CompleteAgeVerificationResponse>, Status> {
                let request = request.into_inner();
                let is_signed = request.signature == "signed";
                self.verifications.lock().push(request);
                if is_signed {
                    return Ok(Response::new(pb::CompleteAgeVerificationResponse {}));
                }
                let refused = PublicError::new(
                    Kind::Unauthenticated,
                    "AGE_CALLBACK_INVALID",
                    "the signature of the verifier does not hold",
                );
                Err(refused.into())
            }

            $(
                async fn $method(
                    &self,
                    _: Request<pb::$request>,
                ) -> Result<Response<pb::$response>, Status> {
                    Err(Status::unimplemented("the edge does not call this"))
                }
            )*
        }
    };
}

unused! {
    sign_up(SignUpRequest) -> SignUpResponse;
    resend_verification(ResendVerificationRequest) -> ResendVerificationResponse;
    verify_email(VerifyEmailRequest) -> VerifyEmailResponse;
    complete_sign_in(CompleteSignInRequest) -> CompleteSignInResponse;
    refresh(RefreshRequest) -> RefreshResponse;
    sign_out(SignOutRequest) -> SignOutResponse;
    request_password_reset(RequestPasswordResetRequest) -> RequestPasswordResetResponse;
    reset_password(ResetPasswordRequest) -> ResetPasswordResponse;
    begin_provider_sign_in(BeginProviderSignInRequest) -> BeginProviderSignInResponse;
    complete_provider_sign_in(CompleteProviderSignInRequest) -> CompleteProviderSignInResponse;
    begin_passkey_sign_in(BeginPasskeySignInRequest) -> BeginPasskeySignInResponse;
    complete_passkey_sign_in(CompletePasskeySignInRequest) -> CompletePasskeySignInResponse;
    list_providers(ListProvidersRequest) -> ListProvidersResponse;
}

impl FakeAccounts {
    async fn exchange(
        &self,
        request: pb::ExchangeApiKeyRequest,
    ) -> Result<pb::ExchangeApiKeyResponse, Status> {
        self.exchanges.fetch_add(1, Ordering::SeqCst);
        self.seen.lock().extend(request.origin);
        let _answering = self
            .gate
            .acquire()
            .await
            .map_err(|_| Status::cancelled("closed"))?;
        let known = self.keys.lock().get(&request.api_key).cloned();
        let claims = known.ok_or_else(|| {
            PublicError::new(Kind::Unauthenticated, "API_KEY_INVALID", "no such key")
        })?;
        Ok(pb::ExchangeApiKeyResponse {
            access_token: self.issuer.sign(&claims),
            expire_time: Some(prost_types::Timestamp {
                seconds: claims.exp,
                nanos: 0,
            }),
        })
    }
}
