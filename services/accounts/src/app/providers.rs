//! Signing in by accounts at other providers.
//!
//! A person is known by issuer and subject, never by the address that a provider tells: who says that they have somebody's
//! address does not get that somebody's account. Where the address has an account already, its owner signs in and links.

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::App;
use super::notices::Notice;
use super::second_factor::SignedIn;
use crate::clients::oidc::{Proven, Provider, Secrets};
use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::email::Email;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::random;
use crate::store::audit::{self, Line};
use crate::store::entity::people::identity;
use crate::store::flows::Purpose;
use crate::store::{identities, users};

/// Long enough to sign in elsewhere, with a second factor there.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// No provider sends longer codes.
const MAX_CODE_BYTES: usize = 4096;

/// A browser is on its way to a provider.
pub struct Sent {
    /// Where to.
    pub authorization_url: String,
    /// Stays in the browser, and comes with the provider's answer.
    pub browser_token: String,
}

/// What came back with the browser.
#[derive(Clone, Copy, Default)]
pub struct Answer<'a> {
    /// Of the redirect.
    pub state: &'a str,
    /// Of the redirect. Empty with an error.
    pub code: &'a str,
    /// Of the redirect. Empty with a code.
    pub error: &'a str,
    /// Of the browser.
    pub browser_token: &'a str,
    /// Where it arrived.
    pub redirect_uri: &'a str,
    /// Of the redirect. Empty when the provider does not say.
    pub iss: &'a str,
}

/// What is kept while the browser is away.
#[derive(Serialize, Deserialize)]
struct Away {
    provider: String,
    redirect_uri: String,
    nonce: String,
    verifier: String,
    /// Of the browser's token, in hexadecimal.
    browser: String,
    /// When it was sent there. None in a flow of an earlier version.
    #[serde(default)]
    begun: Option<Time>,
}

impl App {
    /// The names of the providers that may sign in.
    pub(crate) fn provider_names(&self) -> Vec<String> {
        self.providers.names().map(str::to_owned).collect()
    }

    /// Begins a sign-in at a provider.
    ///
    /// # Errors
    /// [`Refusal::ProviderUnknown`], [`Refusal::RedirectNotAllowed`], [`Refusal::ProviderAway`]; [`Error::Throttled`].
    pub(crate) async fn begin_provider_sign_in(
        &self,
        provider: &str,
        redirect_uri: &str,
        origin: &Origin,
    ) -> Result<Sent, Error> {
        self.provider_with(provider, redirect_uri)?;
        self.charge_flow(origin).await?;
        self.send_away(Purpose::ProviderSignIn, None, provider, redirect_uri)
            .await
    }

    /// Ends a sign-in at a provider. True when the account is new.
    ///
    /// # Errors
    /// [`Refusal::StateInvalid`] and what [`Provider::prove`] refuses; [`Refusal::LinkRequired`];
    /// [`Refusal::EmailNotVerified`] when the provider does not vouch for the address; [`Refusal::AccountDisabled`].
    pub(crate) async fn complete_provider_sign_in(
        &self,
        answer: Answer<'_>,
        origin: &Origin,
    ) -> Result<(SignedIn, bool), Error> {
        let (provider, proven) = self
            .come_back(Purpose::ProviderSignIn, None, answer)
            .await?;
        let tx = self.store.begin().await?;
        let found = identities::find(&tx, &proven.issuer, &proven.subject).await?;
        let is_new = found.is_none();
        let user = match found {
            Some(identity) => identity.user_id,
            None => self.add_user(&tx, provider, &proven, origin).await?,
        };
        let time = proven.auth_time.unwrap_or_else(|| self.now());
        let first: (&[&str], _) = (&["oidc"], time.min(self.now()));
        let signed_in = self.end_first_step(&tx, user, first, origin).await?;
        tx.commit().await?;
        self.refund_flow(origin).await?;
        Ok((signed_in, is_new))
    }

    /// Begins to link an account at a provider to the caller's.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`], and as of [`App::begin_provider_sign_in`].
    pub(crate) async fn begin_provider_link(
        &self,
        caller: &Caller,
        provider: &str,
        redirect_uri: &str,
    ) -> Result<Sent, Error> {
        self.must_prove_itself(self.store.reader(), caller).await?;
        let purpose = Purpose::ProviderLink;
        self.send_away(purpose, Some(caller.id), provider, redirect_uri)
            .await
    }

    /// Links an account at a provider to the caller's. One that is linked already stays so.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::StateInvalid`] and what [`Provider::prove`] refuses;
    /// [`Refusal::IdentityTaken`].
    pub(crate) async fn complete_provider_link(
        &self,
        caller: &Caller,
        answer: Answer<'_>,
        origin: &Origin,
    ) -> Result<identity::Model, Error> {
        self.must_prove_itself(self.store.reader(), caller).await?;
        let (provider, proven) = self
            .come_back(Purpose::ProviderLink, Some(caller.id), answer)
            .await?;
        let tx = self.store.begin().await?;
        users::lock(&tx, caller.id)
            .await?
            .ok_or(Refusal::NotFound)?;
        let row = self.identity(caller.id, provider, &proven);
        if !identities::insert(&tx, row.clone()).await? {
            let known = identities::find(&tx, &proven.issuer, &proven.subject).await?;
            let own = known.filter(|known| known.user_id == caller.id);
            return own.ok_or_else(|| Refusal::IdentityTaken.into());
        }
        let notice = Notice::ProviderLinked;
        self.tell_and_note(&tx, caller.id, notice, "provider.link", origin)
            .await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Forgets the caller's account at a provider.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::NotFound`]; [`Refusal::LastCredential`].
    pub(crate) async fn remove_provider_link(
        &self,
        caller: &Caller,
        provider: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let tx = self.store.begin().await?;
        self.must_prove_itself(&tx, caller).await?;
        let user = users::lock(&tx, caller.id).await?;
        let user = user.ok_or(Refusal::NotFound)?;
        if !identities::remove(&tx, user.id, provider).await? {
            return Err(Refusal::NotFound.into());
        }
        self.must_keep_credential(&tx, &user).await?;
        let notice = Notice::ProviderUnlinked;
        self.tell_and_note(&tx, user.id, notice, "provider.unlink", origin)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// A provider that may send browsers to an address.
    fn provider_with(&self, name: &str, redirect_uri: &str) -> Result<&Provider, Refusal> {
        let provider = self.providers.get(name);
        let provider = provider.ok_or(Refusal::ProviderUnknown)?;
        let allowed = &provider.config().redirect_uris;
        if !allowed.iter().any(|uri| uri == redirect_uri) {
            return Err(Refusal::RedirectNotAllowed);
        }
        Ok(provider)
    }

    async fn send_away(
        &self,
        purpose: Purpose,
        user: Option<Uuid>,
        provider: &str,
        redirect_uri: &str,
    ) -> Result<Sent, Error> {
        let provider = self.provider_with(provider, redirect_uri)?;
        let browser_token = random::code()?;
        let away = Away {
            provider: provider.config().name.clone(),
            redirect_uri: redirect_uri.to_owned(),
            nonce: random::code()?,
            verifier: random::code()?,
            browser: hex::encode(random::fingerprint(&browser_token)),
            begun: Some(self.now()),
        };
        let tx = self.store.begin().await?;
        // The token of the flow is the state.
        let begun = self.begin_flow(&tx, purpose, user, &away, LIFETIME).await?;
        tx.commit().await?;
        let authorization_url = provider
            .authorization_url(&away.secrets()?, &begun.token, self.now())
            .await?;
        Ok(Sent {
            authorization_url,
            browser_token,
        })
    }

    /// Checks an answer, which uses its state up whatever it is, and asks the provider who that was.
    async fn come_back(
        &self,
        purpose: Purpose,
        user: Option<Uuid>,
        answer: Answer<'_>,
    ) -> Result<(&Provider, Proven), Error> {
        let tx = self.store.begin().await?;
        let open = self
            .take_flow::<Away>(&tx, purpose, user, answer.state)
            .await?;
        tx.commit().await?;
        let away = open.ok_or(Refusal::StateInvalid)?.payload;
        let browser = hex::encode(random::fingerprint(answer.browser_token));
        if !bool::from(browser.as_bytes().ct_eq(away.browser.as_bytes())) {
            return Err(Refusal::StateInvalid.into());
        }
        if answer.redirect_uri != away.redirect_uri {
            // Another provider's answer: its code is not for this one.
            return Err(Refusal::StateInvalid.into());
        }
        if !answer.error.is_empty() || answer.code.is_empty() || answer.code.len() > MAX_CODE_BYTES
        {
            return Err(Refusal::ProviderRefused.into());
        }
        // The configuration may be another one since.
        let provider = self.providers.get(&away.provider);
        let provider = provider.ok_or(Refusal::ProviderUnknown)?;
        if !answer.iss.is_empty() && answer.iss != provider.config().issuer {
            return Err(Refusal::StateInvalid.into());
        }
        let proven = provider
            .prove(&away.secrets()?, answer.code, self.now())
            .await?;
        Ok((provider, proven))
    }

    /// Makes an account for somebody whom a provider vouches for.
    async fn add_user(
        &self,
        tx: &impl ConnectionTrait,
        provider: &Provider,
        proven: &Proven,
        origin: &Origin,
    ) -> Result<Uuid, Error> {
        if !proven.is_email_verified {
            return Err(Refusal::EmailNotVerified.into());
        }
        let address = Email::parse(&proven.email).map_err(|_| Refusal::EmailInvalid)?;
        let user = self.new_user(&address, shown_name(&proven.name));
        let id = user.id;
        if !users::insert(tx, user).await? {
            return Err(Refusal::LinkRequired.into());
        }
        if !identities::insert(tx, self.identity(id, provider, proven)).await? {
            // Another call has made it since we looked; the next try finds it.
            return Err(Refusal::StateInvalid.into());
        }
        let line = Line::own(id, "user.create", origin).with_detail(&provider.config().name);
        audit::append(tx, line, self.now()).await?;
        let notice = Notice::ProviderLinked;
        self.tell_and_note(tx, id, notice, "provider.link", origin)
            .await?;
        Ok(id)
    }

    fn identity(&self, user: Uuid, provider: &Provider, proven: &Proven) -> identity::Model {
        identity::Model {
            id: Uuid::now_v7(),
            user_id: user,
            provider: provider.config().name.clone(),
            issuer: proven.issuer.clone(),
            subject: proven.subject.clone(),
            email: proven.email.chars().take(254).collect(),
            create_time: self.now(),
        }
    }
}

/// What fits of a name that a provider tells.
fn shown_name(name: &str) -> String {
    let visible = name.chars().filter(|c| !c.is_control());
    visible.take(100).collect::<String>().trim().to_owned()
}

impl Away {
    fn secrets(&self) -> Result<Secrets<'_>, Refusal> {
        Ok(Secrets {
            redirect_uri: &self.redirect_uri,
            nonce: &self.nonce,
            verifier: &self.verifier,
            begun: self.begun.ok_or(Refusal::StateInvalid)?,
        })
    }
}

#[cfg(test)]
mod tests;
