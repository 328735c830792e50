//! The keys that sign tokens: made at the first start, turned over by time or by hand, told to verifiers.

use kinora_access::SigningKey;
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use uuid::Uuid;

use super::App;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::signing_key::{
    DROP_AFTER, KeyState, REMEMBER_ENDED, ROTATE_AFTER, SigningKeyInfo, Trust,
};
use crate::error::Error;
use crate::random;
use crate::store::audit::{self, Line};
use crate::store::entity::trust::signing_key;
use crate::store::signing_keys;

impl App {
    /// Makes a key that signs and one that is ready, unless they are there. Replicas that start at once make one set.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Broken`] when the keys there are cannot be opened.
    pub(crate) async fn prepare_signing_keys(&self) -> Result<(), Error> {
        let tx = self.store.begin().await?;
        signing_keys::lock(&tx).await?;
        for state in [KeyState::Current, KeyState::Standby] {
            self.ensure_key(&tx, state).await?;
        }
        // A sealing key that does not fit is found at the start and not by the first sign-in.
        self.current_key(&tx).await?;
        Ok(tx.commit().await?)
    }

    /// Turns keys over whose time has come.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn tend_signing_keys(&self) -> Result<(), Error> {
        let now = self.now();
        let is_due = |key: &signing_key::Model| match KeyState::from_code(key.state) {
            Some(KeyState::Current) => key.state_time + ROTATE_AFTER <= now,
            Some(KeyState::Previous) => key.state_time + DROP_AFTER <= now,
            _ => false,
        };
        let keys = signing_keys::all(self.store.reader()).await?;
        if !keys.iter().any(is_due) {
            return Ok(());
        }
        let tx = self.store.begin().await?;
        signing_keys::lock(&tx).await?;
        for key in signing_keys::all(&tx)
            .await?
            .iter()
            .filter(|key| is_due(key))
        {
            if key.state == KeyState::Current.code() {
                self.rotate(&tx).await?;
            } else {
                signing_keys::set_state(&tx, key.id, KeyState::Revoked, now).await?;
            }
        }
        audit::append(&tx, system_line("signing_key.tend"), now).await?;
        Ok(tx.commit().await?)
    }

    /// All keys there are and were, oldest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn signing_keys(&self) -> Result<Vec<SigningKeyInfo>, Error> {
        infos(signing_keys::all(self.store.reader()).await?)
    }

    /// Lets the next key sign.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn rotate_signing_key(
        &self,
        caller: &Caller,
    ) -> Result<Vec<SigningKeyInfo>, Error> {
        let tx = self.store.begin().await?;
        signing_keys::lock(&tx).await?;
        self.rotate(&tx).await?;
        let line = Line::by(caller.id, None, "signing_key.rotate", &caller.origin);
        audit::append(&tx, line, self.now()).await?;
        let keys = infos(signing_keys::all(&tx).await?)?;
        tx.commit().await?;
        Ok(keys)
    }

    /// Makes the tokens of a key worthless.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Refusal::KeyInUse`] for the key that signs; [`Error::Database`].
    pub(crate) async fn revoke_signing_key(
        &self,
        caller: &Caller,
        id: Uuid,
    ) -> Result<Vec<SigningKeyInfo>, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        signing_keys::lock(&tx).await?;
        let keys = signing_keys::all(&tx).await?;
        let key = keys.into_iter().find(|key| key.id == id);
        let state = key.ok_or(Refusal::NotFound)?.state;
        if state == KeyState::Current.code() {
            return Err(Refusal::KeyInUse.into());
        }
        if state != KeyState::Revoked.code() {
            signing_keys::set_state(&tx, id, KeyState::Revoked, now).await?;
            self.ensure_key(&tx, KeyState::Standby).await?;
            let line = Line::by(caller.id, None, "signing_key.revoke", &caller.origin);
            audit::append(&tx, line.with_detail(id.to_string()), now).await?;
        }
        let keys = infos(signing_keys::all(&tx).await?)?;
        tx.commit().await?;
        Ok(keys)
    }

    /// What tokens are checked against now.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn trust(&self) -> Result<Trust, Error> {
        let conn = self.store.reader();
        let keys = signing_keys::all(conn).await?.into_iter();
        let ended = signing_keys::ended_since(conn, self.now() - REMEMBER_ENDED).await?;
        let terms_version = signing_keys::terms_version(conn).await?;
        Ok(Trust {
            keys: keys
                .filter(|key| key.state != KeyState::Revoked.code())
                .map(|key| (key.id, key.public_key))
                .collect(),
            terms_version: u32::try_from(terms_version).unwrap_or(0),
            ended: ended
                .into_iter()
                .map(|row| (row.id, row.end_time.timestamp()))
                .collect(),
        })
    }

    /// The key that signs. It is read each time: another replica may have turned it over, and a token under a key that
    /// an operator has revoked since would be refused everywhere.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Broken`] when there is none, or it cannot be opened.
    pub(super) async fn current_key(
        &self,
        conn: &impl ConnectionTrait,
    ) -> Result<(Uuid, SigningKey), Error> {
        let key = signing_keys::current(conn).await?;
        let key = key.ok_or_else(|| Error::Broken("no key signs tokens".to_owned()))?;
        let seed = self.sealer.open(&place(key.id), &key.sealed_private_key)?;
        let seed: [u8; 32] = seed
            .try_into()
            .map_err(|_| Error::Broken("a signing key has another length".to_owned()))?;
        Ok((key.id, SigningKey::from_seed(&seed)))
    }

    /// The table is locked.
    async fn rotate(&self, tx: &DatabaseTransaction) -> Result<(), Error> {
        let now = self.now();
        self.ensure_key(tx, KeyState::Standby).await?;
        for key in signing_keys::all(tx).await? {
            match KeyState::from_code(key.state) {
                Some(KeyState::Standby) => {
                    signing_keys::set_state(tx, key.id, KeyState::Current, now).await?;
                }
                Some(KeyState::Current) => {
                    signing_keys::set_state(tx, key.id, KeyState::Previous, now).await?;
                }
                _ => {}
            }
        }
        self.ensure_key(tx, KeyState::Standby).await
    }

    /// The table is locked.
    async fn ensure_key(&self, tx: &DatabaseTransaction, state: KeyState) -> Result<(), Error> {
        let keys = signing_keys::all(tx).await?;
        if keys.iter().any(|key| key.state == state.code()) {
            return Ok(());
        }
        let id = Uuid::now_v7();
        let seed = random::bytes()?;
        let now = self.now();
        let key = signing_key::Model {
            id,
            state: state.code(),
            sealed_private_key: self.sealer.seal(&place(id), &seed)?,
            public_key: SigningKey::from_seed(&seed).public_key().to_vec(),
            create_time: now,
            state_time: now,
        };
        Ok(signing_keys::insert(tx, key).await?)
    }
}

fn place(key: Uuid) -> String {
    format!("signing_key/{key}")
}

fn system_line(action: &'static str) -> Line {
    Line {
        actor: "system".to_owned(),
        ..Line::by(Uuid::nil(), None, action, &Origin::default())
    }
}

fn infos(keys: Vec<signing_key::Model>) -> Result<Vec<SigningKeyInfo>, Error> {
    let info = |key: signing_key::Model| {
        let state = KeyState::from_code(key.state)
            .ok_or_else(|| Error::Broken(format!("the state of signing key {}", key.id)))?;
        Ok(SigningKeyInfo {
            id: key.id,
            state,
            create_time: key.create_time,
            state_time: key.state_time,
        })
    };
    keys.into_iter().map(info).collect()
}

#[cfg(test)]
mod tests;
