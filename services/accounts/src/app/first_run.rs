//! The first operator, without whom nobody could make others.

use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use crate::domain::api_key::ApiKey;
use crate::domain::email::Email;
use crate::domain::origin::Origin;
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::entity::people::user;
use crate::store::entity::programs::api_key;
use crate::store::lock::Topic;
use crate::store::{keys, lock, users};

/// What the first operator's key is good for.
const FIRST_KEY_SCOPES: &str = "videos:read videos:write webhooks admin";

/// Who does what the options say, in the audit log.
const SYSTEM: &str = "system";

impl App {
    /// Makes the operator of the options, unless the platform has one. Replicas that start at once make one. An operator who
    /// is there gets the key of the options, if it is a new one.
    ///
    /// # Errors
    /// [`Error::Options`] when address, password or key are not in order; [`Error::Database`].
    pub(crate) async fn prepare_first_operator(&self) -> Result<(), Error> {
        let Some(first) = self.options.first_operator()? else {
            return Ok(());
        };
        let email = Email::parse(first.email)
            .map_err(|_| Error::Options("the first operator's address".to_owned()))?;
        if users::has_operator(self.store.reader()).await? {
            return self.give_new_key(&email).await;
        }
        let password = self.choose_password(first.password.reveal(), &email).await;
        let password = password.map_err(|error| match error {
            Error::Refused(why) => {
                Error::Options(format!("the first operator's password: {}", why.parts().2))
            }
            other => other,
        })?;
        let hash = self.hasher.hash(password).await?;
        let tx = self.store.begin().await?;
        lock::hold(&tx, Topic::Operators).await?;
        if !users::has_operator(&tx).await? {
            let user = self.make_operator(&tx, &email, hash).await?;
            self.give_key(&tx, user).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn make_operator(
        &self,
        tx: &DatabaseTransaction,
        email: &Email,
        password_hash: String,
    ) -> Result<Uuid, Error> {
        let user = user::Model {
            is_operator: true,
            password_hash: Some(password_hash),
            password_time: Some(self.now()),
            // Whoever reads the configuration knows it.
            password_is_initial: true,
            ..self.new_user(email, String::new())
        };
        let id = user.id;
        if !users::insert(tx, user).await? {
            return Err(Error::Options(
                "the first operator's address has an account that is no operator".to_owned(),
            ));
        }
        let line = Line {
            actor: SYSTEM.to_owned(),
            ..Line::own(id, "user.create", &Origin::default())
        };
        audit::append(tx, line.with_detail("first operator"), self.now()).await?;
        tracing::info!(user = %id, "the first operator was made");
        Ok(id)
    }

    /// Gives the operator a key in the place of one that was lost. One that was given before, and perhaps revoked, is never
    /// given again: the audit log remembers it.
    async fn give_new_key(&self, email: &Email) -> Result<(), Error> {
        let Some(key) = self.first_key()? else {
            return Ok(());
        };
        let tx = self.store.begin().await?;
        lock::hold(&tx, Topic::Operators).await?;
        let user = users::find_by_email_key(&tx, email.key()).await?;
        let operator = user.filter(|user| user.is_operator && user.state == users::ACTIVE);
        let is_known = audit::has(&tx, SYSTEM, "key.create", &note_of(&key)).await?;
        if let Some(operator) = operator.filter(|_| !is_known) {
            self.give_key(&tx, operator.id).await?;
        }
        Ok(tx.commit().await?)
    }

    fn first_key(&self) -> Result<Option<ApiKey>, Error> {
        let Some(secret) = &self.options.first_operator_api_key else {
            return Ok(None);
        };
        let key = secret.reveal().parse();
        key.map(Some)
            .map_err(|_| Error::Options("the first operator's API key is none of ours".to_owned()))
    }

    /// The key of the options, so that programs on the operator's machine need no sign-in.
    async fn give_key(&self, tx: &DatabaseTransaction, user: Uuid) -> Result<(), Error> {
        let Some(key) = self.first_key()? else {
            return Ok(());
        };
        let row = api_key::Model {
            id: key.id(),
            secret_sha256: key.secret_sha256().to_vec(),
            user_id: Some(user),
            service_account_id: None,
            organisation_id: None,
            name: "first operator".to_owned(),
            hint: key.hint(),
            scopes: FIRST_KEY_SCOPES.to_owned(),
            create_time: self.now(),
            expire_time: None,
            last_use_time: None,
            revoke_time: None,
        };
        keys::insert(tx, row).await?;
        let line = Line {
            actor: SYSTEM.to_owned(),
            ..Line::own(user, "key.create", &Origin::default())
        };
        Ok(audit::append(tx, line.with_detail(note_of(&key)), self.now()).await?)
    }

    /// An account that has nothing but its address.
    pub(super) fn new_user(&self, email: &Email, display_name: String) -> user::Model {
        user::Model {
            id: Uuid::now_v7(),
            email: email.shown().to_owned(),
            email_key: email.key().to_owned(),
            display_name,
            password_hash: None,
            password_time: None,
            state: users::ACTIVE,
            is_operator: false,
            terms_version: 0,
            age_assurance: 1,
            age_method: String::new(),
            age_is_adult: false,
            age_time: None,
            create_time: self.now(),
            erase_time: None,
            password_is_initial: false,
        }
    }
}

/// How the audit log names a key that was given.
fn note_of(key: &ApiKey) -> String {
    format!("first operator, key {}", key.id())
}

#[cfg(test)]
mod tests;
