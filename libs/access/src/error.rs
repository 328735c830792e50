//! Why a call is refused, and what its caller is told.

use kinora_mesh::error::{Kind, PublicError};

use crate::claims::Scope;
use crate::token::TokenError;

/// A call that does not reach its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The service at the other end may not call this method, or did not show who it is.
    #[error("the workload may not call this")]
    Workload,
    /// The call has no token.
    #[error("the call has no token")]
    TokenMissing,
    /// The token is not good.
    #[error(transparent)]
    Token(TokenError),
    /// What tokens are checked against is missing, or too old.
    #[error("tokens cannot be checked")]
    TrustUnavailable,
    /// The token may not be used for this.
    #[error("the token lacks the scope {0}")]
    Scope(Scope),
    /// The password is a first one, which others know.
    #[error("the password must be changed")]
    PasswordChange,
    /// The credential was shown too long ago.
    #[error("a credential must be shown again")]
    StepUp,
    /// The terms that are in force were not accepted.
    #[error("the terms of version {0} were not accepted")]
    Terms(u32),
}

impl Refusal {
    const fn kind(self) -> Kind {
        match self {
            Self::Workload | Self::Scope(_) | Self::StepUp => Kind::PermissionDenied,
            Self::TokenMissing | Self::Token(_) => Kind::Unauthenticated,
            Self::TrustUnavailable => Kind::Unavailable,
            Self::PasswordChange | Self::Terms(_) => Kind::FailedPrecondition,
        }
    }

    /// UPPER_SNAKE reason, stable across versions.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Workload => "WORKLOAD_REFUSED",
            Self::TokenMissing => "TOKEN_MISSING",
            Self::Token(TokenError::Expired) => "TOKEN_EXPIRED",
            Self::Token(TokenError::Revoked) => "TOKEN_REVOKED",
            Self::Token(_) => "TOKEN_INVALID",
            Self::TrustUnavailable => "TRUST_UNAVAILABLE",
            Self::Scope(_) => "SCOPE_MISSING",
            Self::PasswordChange => "PASSWORD_CHANGE_REQUIRED",
            Self::StepUp => "STEP_UP_REQUIRED",
            Self::Terms(_) => "TERMS_NOT_ACCEPTED",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Workload => "this service may not call this method",
            Self::TokenMissing => "the call has no access token",
            Self::Token(TokenError::Expired) => "the access token has expired",
            Self::Token(TokenError::Revoked) => "the access token was revoked",
            Self::Token(_) => "the access token is not valid",
            Self::TrustUnavailable => "access tokens cannot be checked now; try again in a moment",
            Self::Scope(Scope::Admin) => {
                "this is for operators, by a token or key with the scope admin"
            }
            Self::Scope(_) => "the access token or key lacks the scope that this needs",
            Self::PasswordChange => "change the password first, which others know",
            Self::StepUp => "sign in again to do this",
            Self::Terms(_) => "the terms of use must be accepted first",
        }
    }
}

impl From<Refusal> for PublicError {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(refusal.kind(), refusal.reason(), refusal.message());
        match refusal {
            Refusal::Scope(scope) => error.with_metadata("scope", scope.name()),
            Refusal::Terms(version) => error.with_metadata("version", version.to_string()),
            Refusal::Workload
            | Refusal::TokenMissing
            | Refusal::Token(_)
            | Refusal::TrustUnavailable
            | Refusal::PasswordChange
            | Refusal::StepUp => error,
        }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<Refusal> for tonic::Status {
    fn from(refusal: Refusal) -> Self {
        PublicError::from(refusal).into()
    }
}
