//! Sign-up: an address and a password wait for the code that was sent to the address. There is no account before.
//!
//! Two sign-ups with one address do not know of each other. A code shows that somebody reads the mail of the address; which
//! of the sign-ups that wait becomes the account the password says that comes with it. So nobody can make others verify an
//! account that opens with a stranger's password.
//!
//! What a stranger is answered is the same whether the address has an account or not, and takes the same: one password hash,
//! one code, one mail.

use chrono::TimeDelta;
use kinora_access::throttle::network;
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::hashing::Comparison;
use super::mail::templates;
use super::notices::Notice;
use super::throttles::{Counted, network_sha256};
use crate::domain::email::Email;
use crate::domain::name;
use crate::domain::origin::Origin;
use crate::domain::password::Password;
use crate::domain::refusal::Refusal;
use crate::domain::throttle::Kind;
use crate::domain::tokens::{Shown, Tokens};
use crate::error::Error;
use crate::random;
use crate::store::audit::{self, Line};
use crate::store::codes::{self, NewCode, Purpose};
use crate::store::entity::people::{code, user};
use crate::store::{outbox, throttles, users};

/// A code that was sent is good for this long.
pub(super) const CODE_LIFETIME: TimeDelta = TimeDelta::minutes(30);

/// No code is longer.
const MAX_CODE_BYTES: usize = 128;

/// So many sign-ups of one address are looked at for the one with a password.
const MAX_SIGN_UPS: u64 = 5;

/// What becomes an account with its code.
#[derive(Serialize, Deserialize)]
pub(super) struct PendingSignUp {
    email: String,
    pub(super) password_hash: String,
    display_name: String,
}

/// What takes effect with the code for a change of address.
#[derive(Serialize, Deserialize)]
pub(super) struct PendingAddress {
    pub(super) email: String,
}

/// What a code has done.
pub(crate) struct Verified {
    /// As the account is now.
    pub(crate) user: user::Model,
    /// None when the address of an account was changed.
    pub(crate) tokens: Option<Tokens>,
}

impl App {
    /// Lets an address and a password wait for a code, which is sent.
    ///
    /// # Errors
    /// [`Refusal::EmailInvalid`], [`Refusal::NameInvalid`], or as of [`Self::choose_password`]; [`Error::Throttled`];
    /// [`Refusal::Busy`]; [`Error::Database`].
    pub(crate) async fn sign_up(
        &self,
        email: &str,
        password: &str,
        display_name: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let email = Email::parse(email).map_err(|_| Refusal::EmailInvalid)?;
        let display_name = display_name_of(display_name)?;
        let password = self.choose_password(password, &email).await?;
        self.charge_mail(Kind::SignUpAccount, &email, origin)
            .await?;
        let pending = PendingSignUp {
            email: email.shown().to_owned(),
            password_hash: self.hasher.hash(password).await?,
            display_name,
        };
        let tx = self.store.begin().await?;
        let user = users::find_by_email_key(&tx, email.key()).await?;
        // It waits also where there is an account, whose owner gets no code: a sign-in is answered alike.
        let payload = to_json(&pending)?;
        let code = self
            .new_code(&tx, Purpose::SignUp, None, email.key(), Some(payload))
            .await?;
        let mail = if user.is_some() {
            templates::account_exists(email.shown(), &self.options.public_url)
        } else {
            templates::verify(email.shown(), &code, &self.options.public_url)
        };
        outbox::enqueue(&tx, mail, self.now()).await?;
        let line = Line {
            actor: String::new(),
            ..Line::by(Uuid::nil(), user.map(|user| user.id), "sign_up", origin)
        };
        audit::append(&tx, line, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Sends another code for a sign-up that waits. Without one nothing happens.
    ///
    /// # Errors
    /// [`Refusal::EmailInvalid`]; [`Error::Throttled`]; [`Error::Database`].
    pub(crate) async fn resend_verification(
        &self,
        email: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let email = Email::parse(email).map_err(|_| Refusal::EmailInvalid)?;
        self.charge_mail(Kind::SignUpAccount, &email, origin)
            .await?;
        let tx = self.store.begin().await?;
        let user = users::find_by_email_key(&tx, email.key()).await?;
        let pending = codes::pending_sign_ups(&tx, email.key(), self.now(), 1).await?;
        if let Some(pending) = pending.into_iter().next() {
            let code = self
                .new_code(&tx, Purpose::SignUp, None, email.key(), pending.payload)
                .await?;
            let mail = if user.is_some() {
                templates::account_exists(email.shown(), &self.options.public_url)
            } else {
                templates::verify(email.shown(), &code, &self.options.public_url)
            };
            outbox::enqueue(&tx, mail, self.now()).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Takes a code that went to an address: makes the account of a sign-up, for which the password of the sign-up is
    /// needed, or changes the address of one.
    ///
    /// # Errors
    /// [`Refusal::CodeInvalid`]; [`Refusal::CredentialsInvalid`] when no sign-up with the address has this password, which
    /// leaves the code good; [`Error::Throttled`]; [`Refusal::Busy`]; [`Error::Database`].
    pub(crate) async fn verify_email(
        &self,
        code: &str,
        password: &str,
        origin: &Origin,
    ) -> Result<Verified, Error> {
        let row = self.code(self.store.reader(), code).await?;
        let row = row.ok_or(Refusal::CodeInvalid)?;
        match Purpose::from_number(row.purpose) {
            Some(Purpose::SignUp) => {
                let pending = self.sign_up_with(&row, password).await?;
                let tx = self.store.begin().await?;
                let verified = self.end_sign_up(&tx, &row, pending, origin).await?;
                tx.commit().await?;
                Ok(verified)
            }
            Some(Purpose::ChangeAddress) => {
                let tx = self.store.begin().await?;
                let verified = self.end_change_of_address(&tx, row, origin).await?;
                tx.commit().await?;
                Ok(verified)
            }
            Some(Purpose::Reset) | None => Err(Refusal::CodeInvalid.into()),
        }
    }

    /// The sign-up with the address of a code that has this password: the code's own, or another one that waits.
    async fn sign_up_with(
        &self,
        row: &code::Model,
        password: &str,
    ) -> Result<PendingSignUp, Error> {
        // Counted by the code, which no stranger has.
        let counted = [Counted::by(Kind::SignInBoth, &hex::encode(&row.sha256))];
        self.charge(&counted).await?;
        let conn = self.store.reader();
        let others =
            codes::pending_sign_ups(conn, &row.email_key, self.now(), MAX_SIGN_UPS).await?;
        let others = others.iter().filter(|other| other.id != row.id);
        for waiting in std::iter::once(row).chain(others) {
            let pending: PendingSignUp = from_json(waiting.payload.as_deref())?;
            let (shown, hash) = (
                Password::shown(password),
                Some(pending.password_hash.as_str()),
            );
            let compared = if waiting.id == row.id {
                self.compare_counted(shown, hash, &counted).await?
            } else {
                self.hasher.compare(shown, hash).await?
            };
            if compared != Comparison::Different {
                self.refund(&counted).await?;
                return Ok(pending);
            }
        }
        Err(Refusal::CredentialsInvalid.into())
    }

    async fn end_sign_up(
        &self,
        tx: &DatabaseTransaction,
        row: &code::Model,
        pending: PendingSignUp,
        origin: &Origin,
    ) -> Result<Verified, Error> {
        let now = self.now();
        let email = Email::parse(&pending.email).map_err(|_| Refusal::CodeInvalid)?;
        let user = user::Model {
            password_hash: Some(pending.password_hash),
            password_time: Some(now),
            ..self.new_user(&email, pending.display_name)
        };
        // Whoever comes second by whichever way finds the address taken or the code used. The address first, as everybody
        // locks them.
        if !users::insert(tx, user.clone()).await? || !codes::take(tx, row.id, now).await? {
            return Err(Refusal::CodeInvalid.into());
        }
        codes::end_sign_ups(tx, email.key(), now).await?;
        audit::append(tx, Line::own(user.id, "user.create", origin), now).await?;
        self.know_network(tx, user.id, origin).await?;
        let shown = Shown {
            methods: &["pwd"],
            assurance: 1,
        };
        let tokens = self.open_session(tx, user.id, shown, None, origin).await?;
        Ok(Verified {
            user,
            tokens: Some(tokens),
        })
    }

    async fn end_change_of_address(
        &self,
        tx: &DatabaseTransaction,
        row: code::Model,
        origin: &Origin,
    ) -> Result<Verified, Error> {
        let now = self.now();
        let pending: PendingAddress = from_json(row.payload.as_deref())?;
        let email = Email::parse(&pending.email).map_err(|_| Refusal::CodeInvalid)?;
        let id = row.user_id.ok_or(Refusal::CodeInvalid)?;
        let user = users::lock(tx, id).await?;
        let user = user.filter(|user| users::may_sign_in(user.state));
        let mut user = user.ok_or(Refusal::CodeInvalid)?;
        let is_taken = users::find_by_email_key(tx, email.key()).await?.is_some();
        if is_taken {
            return Err(Refusal::CodeInvalid.into());
        }
        let change = user::ActiveModel {
            email: Set(email.shown().to_owned()),
            email_key: Set(email.key().to_owned()),
            ..Default::default()
        };
        if !users::change_address(tx, id, change).await? || !codes::take(tx, row.id, now).await? {
            return Err(Refusal::CodeInvalid.into());
        }
        // Codes that went to the old address are good for nothing any more, nor are sign-ups with the new one.
        codes::end_all_of(tx, id, now).await?;
        codes::end_sign_ups(tx, email.key(), now).await?;
        self.tell_address(tx, &user.email, Notice::EmailChanged)
            .await?;
        audit::append(tx, Line::own(id, "email.change", origin), now).await?;
        user.email = email.shown().to_owned();
        user.email_key = email.key().to_owned();
        Ok(Verified { user, tokens: None })
    }

    /// Makes a code and keeps its hash.
    pub(super) async fn new_code(
        &self,
        tx: &impl ConnectionTrait,
        purpose: Purpose,
        user: Option<Uuid>,
        email_key: &str,
        payload: Option<String>,
    ) -> Result<String, Error> {
        let code = random::code()?;
        let now = self.now();
        let new = NewCode {
            sha256: random::fingerprint(&code),
            purpose,
            user,
            email_key: email_key.to_owned(),
            payload,
            expire_time: now + CODE_LIFETIME,
        };
        codes::insert(tx, new, now).await?;
        Ok(code)
    }

    /// The row of a code that somebody shows, while it is good.
    pub(super) async fn code(
        &self,
        conn: &impl ConnectionTrait,
        code: &str,
    ) -> Result<Option<code::Model>, Error> {
        let code = code.trim();
        if code.len() > MAX_CODE_BYTES {
            return Ok(None);
        }
        Ok(codes::find(conn, random::fingerprint(code), self.now()).await?)
    }

    /// Counts a request that sends a mail to an address.
    pub(super) async fn charge_mail(
        &self,
        kind: Kind,
        email: &Email,
        origin: &Origin,
    ) -> Result<(), Error> {
        let mut counted = vec![Counted::by(kind, email.key())];
        counted.extend(Counted::by_network(Kind::MailNetwork, origin));
        self.charge(&counted).await
    }

    /// Notes from where a user has signed in, unless that is not known.
    pub(super) async fn know_network(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        origin: &Origin,
    ) -> Result<(), Error> {
        if network(&origin.address).is_empty() {
            return Ok(());
        }
        Ok(throttles::know(tx, user, network_sha256(user, origin), self.now()).await?)
    }
}

/// The name of a person, who need not give one.
pub(super) fn display_name_of(text: &str) -> Result<String, Refusal> {
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    name::parse(text)
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Broken(format!("a payload: {error}")))
}

pub(super) fn from_json<'a, T: Deserialize<'a>>(payload: Option<&'a str>) -> Result<T, Error> {
    let payload = payload.ok_or(Refusal::CodeInvalid)?;
    serde_json::from_str(payload).map_err(|error| Error::Broken(format!("a payload: {error}")))
}

#[cfg(test)]
mod tests;
