//! Why somebody did not get what they asked for: every reason that the contract names.

use kinora_mesh::error::{Kind, PublicError};

/// A refusal that the caller is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This is not an address that mail can be sent to.
    EmailInvalid,
    /// There is an account with this address.
    EmailTaken,
    /// A password needs at least 10 characters.
    PasswordTooShort,
    /// A password may have at most 256 bytes.
    PasswordTooLong,
    /// This password is too easy to guess; choose another one.
    PasswordCommon,
    /// This password is in a list of breached ones; choose another one.
    PasswordBreached,
    /// Others know this password; choose another one.
    PasswordUnchanged,
    /// The code is not valid, was used already, or has ended; ask for a new one.
    CodeInvalid,
    /// The code is not valid; wait for the next one and try again.
    SecondFactorInvalid,
    /// Address and password do not fit.
    CredentialsInvalid,
    /// Verify the address first, by the code in the mail.
    EmailNotVerified,
    /// This account has been disabled; ask the operator.
    AccountDisabled,
    /// This sign-in has ended; begin again.
    ChallengeInvalid,
    /// The session has ended; sign in again.
    SessionEnded,
    /// An old refresh token came back, so the session was ended; sign in again.
    SessionReused,
    /// There is no such provider.
    ProviderUnknown,
    /// This redirect address is not configured.
    RedirectNotAllowed,
    /// The provider did not sign you in.
    ProviderRefused,
    /// The provider does not answer; try again in a moment.
    ProviderAway,
    /// This sign-in was not begun in this browser, or has ended; begin again.
    StateInvalid,
    /// The provider answered to another sign-in; begin again.
    NonceInvalid,
    /// What the provider sent does not hold; begin again.
    TokenInvalid,
    /// Your sign-in at the provider is too old; sign in there once more.
    ProviderSignInOld,
    /// You have signed in at the provider by less than is wanted here; sign in there by another way.
    ProviderSignInWeak,
    /// There is an account with this address; sign in to it and link the provider there.
    LinkRequired,
    /// This account of the provider belongs to another user.
    IdentityTaken,
    /// Nothing would be left to sign in with; add another way first.
    LastCredential,
    /// The passkey was not accepted.
    PasskeyInvalid,
    /// The new passkey was not accepted.
    PasskeyUnfit,
    /// This registration has ended; begin again.
    RegistrationEnded,
    /// There are time-based codes already; remove them first.
    TotpEnrolled,
    /// The API key is not known here.
    ApiKeyInvalid,
    /// The API key has expired.
    ApiKeyExpired,
    /// There is no such scope.
    ScopeUnknown,
    /// You cannot give this scope away.
    ScopeNotAllowed,
    /// The token is not good for this.
    ScopeMissing,
    /// A name has 1 to 100 characters, and none that cannot be seen.
    NameInvalid,
    /// A key ends within the next two years.
    ExpiryInvalid,
    /// You have as many keys as you may; revoke one first.
    TooManyKeys,
    /// The organisation has as many service accounts as it may; delete one first.
    TooManyServiceAccounts,
    /// Your role in the organisation does not allow this.
    RoleInsufficient,
    /// The organisation would have no owner; name another one first.
    LastOwner,
    /// The platform would have no operator; name another one first.
    LastOperator,
    /// You are in as many organisations as you may.
    TooManyOrganisations,
    /// As many invitations wait as may; revoke one first.
    TooManyInvitations,
    /// Another version of the terms is in force; read that one.
    TermsOutdated,
    /// Your age has been verified already.
    AgeVerified,
    /// You have stated that you are a minor; ask the operator if that was a mistake.
    AgeDeclared,
    /// The signature of the verifier does not hold.
    AgeCallbackInvalid,
    /// Nothing is configured that could verify your age.
    NoAgeVerifier,
    /// A year of birth lies between 1900 and now.
    YearInvalid,
    /// The current key signs tokens; rotate first.
    KeyInUse,
    /// Show a credential once more for this.
    StepUpRequired,
    /// There is no such thing, or it is not yours.
    NotFound,
    /// The page token is not from an earlier answer.
    PageTokenInvalid,
    /// The text is empty or too long.
    TextInvalid,
    /// Too many people sign in at this moment; try again in a moment.
    Busy,
}

impl Refusal {
    /// The code, the machine-readable reason, and the sentence for the caller.
    #[must_use]
    pub const fn parts(self) -> (Kind, &'static str, &'static str) {
        match self {
            Self::EmailInvalid => (
                Kind::InvalidArgument,
                "EMAIL_INVALID",
                "this is not an address that mail can be sent to",
            ),
            Self::EmailTaken => (
                Kind::AlreadyExists,
                "EMAIL_TAKEN",
                "there is an account with this address",
            ),
            Self::PasswordTooShort => (
                Kind::InvalidArgument,
                "PASSWORD_TOO_SHORT",
                "a password needs at least 10 characters",
            ),
            Self::PasswordTooLong => (
                Kind::InvalidArgument,
                "PASSWORD_TOO_LONG",
                "a password may have at most 256 bytes",
            ),
            Self::PasswordCommon => (
                Kind::InvalidArgument,
                "PASSWORD_COMMON",
                "this password is too easy to guess; choose another one",
            ),
            Self::PasswordBreached => (
                Kind::InvalidArgument,
                "PASSWORD_BREACHED",
                "this password is in a list of breached ones; choose another one",
            ),
            Self::PasswordUnchanged => (
                Kind::InvalidArgument,
                "PASSWORD_UNCHANGED",
                "others know this password; choose another one",
            ),
            Self::CodeInvalid => (
                Kind::InvalidArgument,
                "CODE_INVALID",
                "the code is not valid, was used already, or has ended; ask for a new one",
            ),
            Self::SecondFactorInvalid => (
                Kind::Unauthenticated,
                "CODE_INVALID",
                "the code is not valid; wait for the next one and try again",
            ),
            Self::CredentialsInvalid => (
                Kind::Unauthenticated,
                "CREDENTIALS_INVALID",
                "address and password do not fit",
            ),
            Self::EmailNotVerified => (
                Kind::FailedPrecondition,
                "EMAIL_NOT_VERIFIED",
                "verify the address first, by the code in the mail",
            ),
            Self::AccountDisabled => (
                Kind::FailedPrecondition,
                "ACCOUNT_DISABLED",
                "this account has been disabled; ask the operator",
            ),
            Self::ChallengeInvalid => (
                Kind::Unauthenticated,
                "CHALLENGE_INVALID",
                "this sign-in has ended; begin again",
            ),
            Self::SessionEnded => (
                Kind::Unauthenticated,
                "SESSION_ENDED",
                "the session has ended; sign in again",
            ),
            Self::SessionReused => (
                Kind::Unauthenticated,
                "SESSION_REUSED",
                "an old refresh token came back, so the session was ended; sign in again",
            ),
            Self::ProviderUnknown => (
                Kind::InvalidArgument,
                "PROVIDER_UNKNOWN",
                "there is no such provider",
            ),
            Self::RedirectNotAllowed => (
                Kind::InvalidArgument,
                "REDIRECT_NOT_ALLOWED",
                "this redirect address is not configured",
            ),
            Self::ProviderRefused => (
                Kind::Unauthenticated,
                "PROVIDER_REFUSED",
                "the provider did not sign you in",
            ),
            Self::ProviderAway => (
                Kind::Unavailable,
                "PROVIDER_UNAVAILABLE",
                "the provider does not answer; try again in a moment",
            ),
            Self::StateInvalid => (
                Kind::Unauthenticated,
                "STATE_INVALID",
                "this sign-in was not begun in this browser, or has ended; begin again",
            ),
            Self::NonceInvalid => (
                Kind::Unauthenticated,
                "NONCE_INVALID",
                "the provider answered to another sign-in; begin again",
            ),
            Self::TokenInvalid => (
                Kind::Unauthenticated,
                "TOKEN_INVALID",
                "what the provider sent does not hold; begin again",
            ),
            Self::ProviderSignInOld => (
                Kind::Unauthenticated,
                "PROVIDER_SIGN_IN_OLD",
                "your sign-in at the provider is too old; sign in there once more",
            ),
            Self::ProviderSignInWeak => (
                Kind::Unauthenticated,
                "PROVIDER_SIGN_IN_WEAK",
                "you have signed in at the provider by less than is wanted here; sign in there by another way",
            ),
            Self::LinkRequired => (
                Kind::FailedPrecondition,
                "LINK_REQUIRED",
                "there is an account with this address; sign in to it and link the provider there",
            ),
            Self::IdentityTaken => (
                Kind::AlreadyExists,
                "IDENTITY_TAKEN",
                "this account of the provider belongs to another user",
            ),
            Self::LastCredential => (
                Kind::FailedPrecondition,
                "LAST_CREDENTIAL",
                "nothing would be left to sign in with; add another way first",
            ),
            Self::PasskeyInvalid => (
                Kind::Unauthenticated,
                "PASSKEY_INVALID",
                "the passkey was not accepted",
            ),
            Self::PasskeyUnfit => (
                Kind::InvalidArgument,
                "PASSKEY_INVALID",
                "the passkey was not accepted",
            ),
            Self::RegistrationEnded => (
                Kind::InvalidArgument,
                "CHALLENGE_INVALID",
                "this registration has ended; begin again",
            ),
            Self::TotpEnrolled => (
                Kind::FailedPrecondition,
                "TOTP_ENROLLED",
                "there are time-based codes already; remove them first",
            ),
            Self::ApiKeyInvalid => (
                Kind::Unauthenticated,
                "API_KEY_INVALID",
                "the API key is not known here",
            ),
            Self::ApiKeyExpired => (
                Kind::Unauthenticated,
                "API_KEY_EXPIRED",
                "the API key has expired",
            ),
            Self::ScopeUnknown => (
                Kind::InvalidArgument,
                "SCOPE_UNKNOWN",
                "there is no such scope",
            ),
            Self::ScopeNotAllowed => (
                Kind::PermissionDenied,
                "SCOPE_NOT_ALLOWED",
                "you cannot give this scope away",
            ),
            Self::ScopeMissing => (
                Kind::PermissionDenied,
                "SCOPE_MISSING",
                "the token is not good for this",
            ),
            Self::NameInvalid => (
                Kind::InvalidArgument,
                "NAME_INVALID",
                "a name has 1 to 100 characters, and none that cannot be seen",
            ),
            Self::ExpiryInvalid => (
                Kind::InvalidArgument,
                "EXPIRY_INVALID",
                "a key ends within the next two years",
            ),
            Self::TooManyKeys => (
                Kind::ResourceExhausted,
                "TOO_MANY_KEYS",
                "you have as many keys as you may; revoke one first",
            ),
            Self::TooManyServiceAccounts => (
                Kind::ResourceExhausted,
                "TOO_MANY_SERVICE_ACCOUNTS",
                "the organisation has as many service accounts as it may; delete one first",
            ),
            Self::RoleInsufficient => (
                Kind::PermissionDenied,
                "ROLE_INSUFFICIENT",
                "your role in the organisation does not allow this",
            ),
            Self::LastOwner => (
                Kind::FailedPrecondition,
                "LAST_OWNER",
                "the organisation would have no owner; name another one first",
            ),
            Self::LastOperator => (
                Kind::FailedPrecondition,
                "LAST_OPERATOR",
                "the platform would have no operator; name another one first",
            ),
            Self::TooManyOrganisations => (
                Kind::ResourceExhausted,
                "TOO_MANY_ORGANISATIONS",
                "you are in as many organisations as you may",
            ),
            Self::TooManyInvitations => (
                Kind::ResourceExhausted,
                "TOO_MANY_INVITATIONS",
                "as many invitations wait as may; revoke one first",
            ),
            Self::TermsOutdated => (
                Kind::FailedPrecondition,
                "TERMS_OUTDATED",
                "another version of the terms is in force; read that one",
            ),
            Self::AgeVerified => (
                Kind::FailedPrecondition,
                "AGE_VERIFIED",
                "your age has been verified already",
            ),
            Self::AgeDeclared => (
                Kind::FailedPrecondition,
                "AGE_DECLARED",
                "you have stated that you are a minor; ask the operator if that was a mistake",
            ),
            Self::AgeCallbackInvalid => (
                Kind::Unauthenticated,
                "AGE_CALLBACK_INVALID",
                "the signature of the verifier does not hold",
            ),
            Self::NoAgeVerifier => (
                Kind::FailedPrecondition,
                "NO_AGE_VERIFIER",
                "nothing is configured that could verify your age",
            ),
            Self::YearInvalid => (
                Kind::InvalidArgument,
                "YEAR_INVALID",
                "a year of birth lies between 1900 and now",
            ),
            Self::KeyInUse => (
                Kind::FailedPrecondition,
                "KEY_IN_USE",
                "the current key signs tokens; rotate first",
            ),
            Self::StepUpRequired => (
                Kind::PermissionDenied,
                "STEP_UP_REQUIRED",
                "show a credential once more for this",
            ),
            Self::NotFound => (
                Kind::NotFound,
                "NOT_FOUND",
                "there is no such thing, or it is not yours",
            ),
            Self::PageTokenInvalid => (
                Kind::InvalidArgument,
                "PAGE_TOKEN_INVALID",
                "the page token is not from an earlier answer",
            ),
            Self::TextInvalid => (
                Kind::InvalidArgument,
                "TEXT_INVALID",
                "the text is empty or too long",
            ),
            Self::Busy => (
                Kind::ResourceExhausted,
                "BUSY",
                "too many people sign in at this moment; try again in a moment",
            ),
        }
    }
}

impl From<Refusal> for PublicError {
    fn from(refusal: Refusal) -> Self {
        let (kind, reason, message) = refusal.parts();
        Self::new(kind, reason, message)
    }
}
