//! Other providers, asked by OpenID Connect: authorisation code, PKCE, nonce.

mod http;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreIdTokenClaims,
    CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::{
    AuthType, AuthenticationContextClass, AuthorizationCode, ClaimsVerificationError, ClientId,
    ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet, EndpointSet, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, SignatureVerificationError, TokenResponse, UserInfoError,
};
use tokio::sync::Mutex;

use self::http::{BoundedHttp, HttpError};
use crate::domain::Time;
use crate::domain::providers::{LEEWAY, ProviderConfig, SignInThere};
use crate::domain::refusal::Refusal;
use crate::error::Error;

/// For this long a discovery document and its keys are good without asking again.
const DISCOVERY_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// An unknown key lets us ask again, but not more often than this.
const DISCOVERY_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// A provider signs an id token when it is asked for it: an old one is from another sign-in.
const MAX_TOKEN_AGE: TimeDelta = TimeDelta::minutes(10);

/// Signatures of somebody who has a key pair: nothing that the client secret could forge, and not "none".
const ALGORITHMS: [CoreJwsSigningAlgorithm; 8] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What a provider says of a person, after all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The provider's issuer.
    pub issuer: String,
    /// The person, as the issuer names them for ever.
    pub subject: String,
    /// Empty when the provider does not tell.
    pub email: String,
    /// Whether the provider has seen that the person reads mail there.
    pub is_email_verified: bool,
    /// Empty when the provider does not tell.
    pub name: String,
    /// When the person has shown a credential there. None unless the operator wants it to count.
    pub auth_time: Option<Time>,
}

/// What a sign-in keeps between its two calls.
pub struct Secrets<'a> {
    /// Where the browser comes back to.
    pub redirect_uri: &'a str,
    /// What the id token has to say.
    pub nonce: &'a str,
    /// What proves that the code was asked for by us.
    pub verifier: &'a str,
    /// When the browser was sent away.
    pub begun: Time,
}

/// The providers of the configuration.
pub struct Providers(BTreeMap<String, Provider>);

impl Providers {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// [`Error::Options`] when one of them cannot be asked at all.
    pub fn new(configs: BTreeMap<String, ProviderConfig>) -> Result<Self, Error> {
        let providers = configs.into_iter().map(|(name, config)| {
            let provider = Provider::new(config)?;
            Ok((name, provider))
        });
        Ok(Self(providers.collect::<Result<_, Error>>()?))
    }

    /// A provider by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Provider> {
        self.0.get(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The issuers of all.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.0
            .values()
            .map(|provider| provider.config.issuer.as_str())
    }
}

/// One provider.
pub struct Provider {
    config: ProviderConfig,
    issuer: IssuerUrl,
    http: BoundedHttp,
    known: Mutex<Option<(Time, CoreProviderMetadata)>>,
}

impl Provider {
    fn new(config: ProviderConfig) -> Result<Self, Error> {
        let issuer = IssuerUrl::new(config.issuer.clone())
            .map_err(|error| Error::Options(format!("an issuer is no address: {error}")))?;
        let http = BoundedHttp::new(issuer.url())
            .map_err(|error| Error::Options(format!("TLS cannot be set up: {error}")))?;
        Ok(Self {
            config,
            issuer,
            http,
            known: Mutex::new(None),
        })
    }

    /// How it was configured.
    #[must_use]
    pub const fn config(&self) -> &ProviderConfig {
        &self.config
    }

    /// Where to send a browser that shall come back with `state`.
    ///
    /// # Errors
    /// [`Refusal::ProviderAway`] when the provider has never answered.
    pub async fn authorization_url(
        &self,
        secrets: &Secrets<'_>,
        state: &str,
        now: Time,
    ) -> Result<String, Error> {
        let metadata = self.metadata(now, DISCOVERY_LIFETIME).await?;
        let client = self.client(metadata, secrets.redirect_uri)?;
        let verifier = PkceCodeVerifier::new(secrets.verifier.to_owned());
        let (state, nonce) = (state.to_owned(), secrets.nonce.to_owned());
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .add_scopes(self.config.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        let demands = &self.config.demands;
        if let Some(max_age) = demands.max_age {
            request = request.set_max_age(max_age.to_std().unwrap_or_default());
        }
        for value in &demands.acr_values {
            let value = AuthenticationContextClass::new(value.clone());
            request = request.add_auth_context_value(value);
        }
        Ok(request.url().0.into())
    }

    /// Turns a code into what the provider says of the person.
    ///
    /// # Errors
    /// [`Refusal::ProviderRefused`], [`Refusal::ProviderAway`], [`Refusal::NonceInvalid`], [`Refusal::TokenInvalid`]; as of
    /// [`crate::domain::providers::Demands::admit`].
    pub async fn prove(
        &self,
        secrets: &Secrets<'_>,
        code: &str,
        now: Time,
    ) -> Result<Proven, Error> {
        let metadata = self.metadata(now, DISCOVERY_LIFETIME).await?;
        let client = self.client(metadata, secrets.redirect_uri)?;
        let answer: CoreTokenResponse = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|_| self.refused("has no token endpoint", Refusal::ProviderAway))?
            .set_pkce_verifier(PkceCodeVerifier::new(secrets.verifier.to_owned()))
            .request_async(&self.http)
            .await
            .map_err(|error| self.exchange_failed(&error))?;
        let token = answer
            .id_token()
            .ok_or_else(|| self.refused("sent no id token", Refusal::TokenInvalid))?;
        let nonce = Nonce::new(secrets.nonce.to_owned());
        let claims = match self.claims(&client, token, &nonce, now) {
            Err(error) if is_unknown_key(&error) => {
                let metadata = self.metadata(now, DISCOVERY_PAUSE).await?;
                let client = self.client(metadata, secrets.redirect_uri)?;
                self.claims(&client, token, &nonce, now)
            }
            claims => claims,
        };
        let claims = claims.map_err(|error| self.token_refused(&error))?;
        let there = SignInThere {
            time: claims.auth_time(),
            context: claims.auth_context_ref().map(AsRef::as_ref),
        };
        let admitted = self.config.demands.admit(there, secrets.begun, now);
        admitted
            .map_err(|refusal| self.refused("says less of the sign-in than is wanted", refusal))?;
        let mut proven = self.proven(&claims)?;
        if proven.email.is_empty() {
            self.ask_for_address(&client, &answer, &mut proven).await?;
        }
        Ok(proven)
    }

    /// What the provider publishes, not older than `lifetime`. What is older serves while the provider is away.
    async fn metadata(
        &self,
        now: Time,
        lifetime: TimeDelta,
    ) -> Result<CoreProviderMetadata, Error> {
        let mut known = self.known.lock().await;
        if let Some((time, metadata)) = known.as_ref()
            && now - *time < lifetime
        {
            return Ok(metadata.clone());
        }
        match CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await {
            Ok(metadata) => {
                *known = Some((now, metadata.clone()));
                Ok(metadata)
            }
            Err(error) => {
                tracing::warn!(
                    provider = self.config.name,
                    error = %kinora_mesh::error::chain(&error),
                    "a provider cannot be discovered"
                );
                let last = known.as_ref().map(|(_, metadata)| metadata.clone());
                last.ok_or_else(|| Refusal::ProviderAway.into())
            }
        }
    }

    fn client(&self, metadata: CoreProviderMetadata, redirect_uri: &str) -> Result<Client, Error> {
        let redirect = RedirectUrl::new(redirect_uri.to_owned())
            .map_err(|_| Error::Broken("a redirect address is none".to_owned()))?;
        let secret = self.config.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.reveal().to_owned()));
        let methods = metadata.token_endpoint_auth_methods_supported().cloned();
        let client_id = ClientId::new(self.config.client_id.clone());
        let client = CoreClient::from_provider_metadata(metadata, client_id, secret)
            .set_redirect_uri(redirect);
        let wants_body = methods.is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        Ok(if wants_body {
            client.set_auth_type(AuthType::RequestBody)
        } else {
            client
        })
    }

    fn claims(
        &self,
        client: &Client,
        token: &CoreIdToken,
        nonce: &Nonce,
        now: Time,
    ) -> Result<CoreIdTokenClaims, ClaimsVerificationError> {
        let verifier = client
            .id_token_verifier()
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || now - LEEWAY)
            .set_issue_time_verifier_fn(move |time| {
                let is_recent = now - time <= MAX_TOKEN_AGE && time - now <= LEEWAY;
                is_recent
                    .then_some(())
                    .ok_or_else(|| "it was issued at another time".to_owned())
            });
        let claims = token.claims(&verifier, nonce)?.clone();
        let is_ours = claims
            .authorized_party()
            .is_none_or(|party| party.as_str() == self.config.client_id);
        if is_ours {
            Ok(claims)
        } else {
            let problem = "it was made for another party".to_owned();
            Err(ClaimsVerificationError::InvalidAudience(problem))
        }
    }

    fn proven(&self, claims: &CoreIdTokenClaims) -> Result<Proven, Error> {
        let subject = claims.subject().as_str();
        // The standard's limit.
        if subject.is_empty() || subject.len() > 255 {
            return Err(self
                .refused("sent no subject", Refusal::TokenInvalid)
                .into());
        }
        let name = claims.name().and_then(|name| name.get(None));
        Ok(Proven {
            issuer: self.config.issuer.clone(),
            subject: subject.to_owned(),
            email: claims
                .email()
                .map(|email| email.to_string())
                .unwrap_or_default(),
            is_email_verified: claims.email_verified().unwrap_or(false),
            name: name.map(|name| name.to_string()).unwrap_or_default(),
            // A provider that is not told how old a sign-in may be does not ask again: nobody there could ever be fresh.
            auth_time: claims
                .auth_time()
                .filter(|_| self.config.demands.max_age.is_some()),
        })
    }

    /// Some providers tell the address only to who asks for it.
    async fn ask_for_address(
        &self,
        client: &Client,
        answer: &CoreTokenResponse,
        proven: &mut Proven,
    ) -> Result<(), Error> {
        let subject = openidconnect::SubjectIdentifier::new(proven.subject.clone());
        let token = answer.access_token().clone();
        let Ok(request) = client.user_info(token, Some(subject)) else {
            return Ok(());
        };
        let told: Result<CoreUserInfoClaims, _> = request.request_async(&self.http).await;
        let claims = told.map_err(|error| match error {
            UserInfoError::Request(_) => self.refused(&error.to_string(), Refusal::ProviderAway),
            other => self.refused(&other.to_string(), Refusal::TokenInvalid),
        })?;
        proven.email = claims
            .email()
            .map(|email| email.to_string())
            .unwrap_or_default();
        proven.is_email_verified = claims.email_verified().unwrap_or(false);
        if let Some(name) = claims.name().and_then(|name| name.get(None)) {
            proven.name = name.to_string();
        }
        Ok(())
    }

    fn exchange_failed<T>(&self, error: &RequestTokenError<HttpError, T>) -> Refusal
    where
        T: openidconnect::ErrorResponse + 'static,
    {
        let refusal = match error {
            RequestTokenError::ServerResponse(_) => Refusal::ProviderRefused,
            RequestTokenError::Request(_) => Refusal::ProviderAway,
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => Refusal::TokenInvalid,
        };
        self.refused(&kinora_mesh::error::chain(error), refusal)
    }

    fn token_refused(&self, error: &ClaimsVerificationError) -> Refusal {
        let refusal = match error {
            ClaimsVerificationError::InvalidNonce(_) => Refusal::NonceInvalid,
            _ => Refusal::TokenInvalid,
        };
        self.refused(&kinora_mesh::error::chain(error), refusal)
    }

    fn refused(&self, problem: &str, refusal: Refusal) -> Refusal {
        tracing::warn!(
            provider = self.config.name,
            problem,
            "a provider's answer was refused"
        );
        refusal
    }
}

const fn is_unknown_key(error: &ClaimsVerificationError) -> bool {
    matches!(
        error,
        ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_)
        )
    )
}
