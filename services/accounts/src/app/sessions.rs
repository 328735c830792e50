//! Sessions: how they begin, go on and end.

use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseTransaction};
use uuid::Uuid;

use super::App;
use super::tokens::{Grant, Subject};
use crate::domain::caller::{Caller, Role};
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::session::{
    ABSOLUTE, FactorTimes, KEY_BYTES, RefreshToken, Verdict, is_live, judge, refresh_expire,
};
use crate::domain::tokens::{Shown, Tokens};
use crate::error::Error;
use crate::random;
use crate::store::audit::{self, Line};
use crate::store::entity::people::{session, user};
use crate::store::{sessions, subjects, users};

/// Somebody who signs in on more devices is signed out on the one used longest ago.
const MAX_SESSIONS: usize = 100;

/// For which organisation a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// As before.
    Keep,
    /// For none.
    Personal,
    /// For this one.
    To(Uuid),
}

/// What a refresh comes to. Also a refused one changes rows.
enum Refreshed {
    Tokens(Tokens),
    Refused(Refusal),
}

impl App {
    /// Begins a session of a user who has shown all that is asked for just now, and hands out its first tokens.
    ///
    /// # Errors
    /// As of [`Self::open_session_since`].
    pub(crate) async fn open_session(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        shown: Shown<'_>,
        organisation: Option<Uuid>,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        let times = FactorTimes::all(shown.assurance, self.now());
        self.open_session_since(tx, user, (shown, times), organisation, origin)
            .await
    }

    /// Begins a session of a user and hands out its first tokens.
    ///
    /// # Errors
    /// [`Refusal::AccountDisabled`]; [`Refusal::NotFound`] when there is no such user, or no such organisation of theirs;
    /// [`Error::Database`].
    pub(crate) async fn open_session_since(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        (shown, times): (Shown<'_>, FactorTimes),
        organisation: Option<Uuid>,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        // Locked, so that none opens beside an operator who disables the account and ends what is open.
        let user = users::lock(tx, user).await?.ok_or(Refusal::NotFound)?;
        if !users::may_sign_in(user.state) {
            return Err(Refusal::AccountDisabled.into());
        }
        let now = self.now();
        let id = Uuid::now_v7();
        let key = random::bytes::<KEY_BYTES>()?;
        let row = session::Model {
            id,
            user_id: user.id,
            organisation_id: organisation,
            refresh_key: self.sealer.seal(&place(id), &key)?,
            counter: 1,
            rotate_time: now,
            assurance: i16::from(shown.assurance),
            methods: shown.methods.join(" "),
            auth_time: times.first,
            user_agent: origin.user_agent.clone(),
            address: origin.address.clone(),
            create_time: now,
            last_use_time: now,
            expire_time: now + ABSOLUTE,
            end_time: None,
            second_factor_time: times.second,
        };
        let acting = self.membership(tx, &user, organisation).await?;
        if acting.is_none() && organisation.is_some() {
            return Err(Refusal::NotFound.into());
        }
        self.make_room_for_session(tx, user.id).await?;
        sessions::insert(tx, row.clone()).await?;
        let line = Line::own(user.id, "session.open", origin).with_detail(&row.methods);
        audit::append(tx, line, now).await?;
        self.tokens_of(tx, &user, &row, acting).await
    }

    /// Ends the sessions used longest ago of somebody who has as many as one may.
    async fn make_room_for_session(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
    ) -> Result<(), Error> {
        let now = self.now();
        let live = sessions::live_of(tx, user, now).await?;
        let surplus: Vec<Uuid> = live
            .iter()
            .skip(MAX_SESSIONS - 1)
            .map(|row| row.id)
            .collect();
        Ok(sessions::end(tx, &surplus, now).await?)
    }

    /// Ends a session and opens one in its place that acts for the same organisation: what was shown has changed.
    ///
    /// # Errors
    /// As of [`Self::open_session_since`]; [`Refusal::SessionEnded`].
    pub(crate) async fn replace_session(
        &self,
        tx: &impl ConnectionTrait,
        old: Uuid,
        user: Uuid,
        shown: (Shown<'_>, FactorTimes),
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        // The user before the session, as everybody locks them.
        users::lock(tx, user).await?;
        let row = sessions::lock(tx, old).await?;
        let row = row.filter(|row| row.user_id == user && self.goes_on(row));
        let row = row.ok_or(Refusal::SessionEnded)?;
        sessions::end(tx, &[old], self.now()).await?;
        let acting = match row.organisation_id {
            Some(id) => subjects::role_in(tx, id, user).await?.map(|_| id),
            None => None,
        };
        self.open_session_since(tx, user, shown, acting, origin)
            .await
    }

    /// Ends the sessions of a user, all or all but one. Answers how many.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn end_sessions(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        except: Option<Uuid>,
    ) -> Result<u32, Error> {
        let now = self.now();
        let ids: Vec<Uuid> = sessions::live_of(tx, user, now)
            .await?
            .into_iter()
            .map(|row| row.id)
            .filter(|id| Some(*id) != except)
            .collect();
        sessions::end(tx, &ids, now).await?;
        Ok(u32::try_from(ids.len()).unwrap_or(u32::MAX))
    }

    /// Turns a refresh token into the next pair.
    ///
    /// # Errors
    /// [`Refusal::SessionEnded`]; [`Refusal::SessionReused`], after which the session has ended;
    /// [`Refusal::NotFound`] when the user is not in that organisation; [`Error::Database`].
    pub(crate) async fn refresh(
        &self,
        token: &str,
        switch: Switch,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        let token: RefreshToken = token.parse().map_err(|_| Refusal::SessionEnded)?;
        let tx = self.store.begin().await?;
        let outcome = self.refresh_in(&tx, &token, switch, origin).await?;
        // What was ended stays so, although the call fails.
        tx.commit().await?;
        match outcome {
            Refreshed::Tokens(tokens) => Ok(tokens),
            Refreshed::Refused(refusal) => Err(refusal.into()),
        }
    }

    async fn refresh_in(
        &self,
        tx: &DatabaseTransaction,
        token: &RefreshToken,
        switch: Switch,
        origin: &Origin,
    ) -> Result<Refreshed, Error> {
        let now = self.now();
        let Some(mut row) = self.genuine_session(tx, token).await? else {
            return Ok(Refreshed::Refused(Refusal::SessionEnded));
        };
        let user = users::find(tx, row.user_id).await?;
        let user = user.filter(|user| users::may_sign_in(user.state) && self.goes_on(&row));
        let Some(user) = user else {
            return Ok(Refreshed::Refused(Refusal::SessionEnded));
        };
        match judge(token.counter, row.counter, now - row.rotate_time) {
            Verdict::Reused => {
                sessions::end(tx, &[row.id], now).await?;
                let line = Line::own(user.id, "session.refresh", origin);
                audit::append(tx, line.refused("SESSION_REUSED"), now).await?;
                return Ok(Refreshed::Refused(Refusal::SessionReused));
            }
            Verdict::Rotate => {
                row.counter += 1;
                row.rotate_time = now;
            }
            Verdict::Repeat => {}
        }
        let acting = match switch {
            Switch::Keep => row.organisation_id,
            Switch::Personal => None,
            Switch::To(id) => Some(id),
        };
        let membership = self.membership(tx, &user, acting).await?;
        if membership.is_none() && matches!(switch, Switch::To(_)) {
            return Err(Refusal::NotFound.into());
        }
        row.organisation_id = membership.map(|(id, _)| id);
        self.note_use(tx, &row, origin).await?;
        let tokens = self.tokens_of(tx, &user, &row, membership).await?;
        Ok(Refreshed::Tokens(tokens))
    }

    /// Ends the session of a refresh token. One that is no token, or of no session, has ended already.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn sign_out(&self, token: &str, origin: &Origin) -> Result<(), Error> {
        let Ok(token) = token.parse::<RefreshToken>() else {
            return Ok(());
        };
        let tx = self.store.begin().await?;
        let row = self.genuine_session(&tx, &token).await?;
        if let Some(row) = row.filter(|row| row.end_time.is_none()) {
            let now = self.now();
            sessions::end(&tx, &[row.id], now).await?;
            audit::append(&tx, Line::own(row.user_id, "session.end", origin), now).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The sessions of the caller that go on, the one used last first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn sessions_of(&self, caller: &Caller) -> Result<Vec<session::Model>, Error> {
        Ok(sessions::live_of(self.store.reader(), caller.id, self.now()).await?)
    }

    /// Ends one session of the caller; another one than that which asks wants a fresh credential, as somebody who has found
    /// a session is not to sign its owner out. One that has ended already stays so.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::NotFound`] when it is not theirs; [`Error::Database`].
    pub(crate) async fn revoke_session(&self, caller: &Caller, id: Uuid) -> Result<(), Error> {
        if id != caller.session {
            caller.must_be_fresh(self.now())?;
        }
        let tx = self.store.begin().await?;
        let row = sessions::lock(&tx, id).await?;
        let row = row.filter(|row| row.user_id == caller.id);
        let row = row.ok_or(Refusal::NotFound)?;
        if row.end_time.is_none() {
            let now = self.now();
            sessions::end(&tx, &[id], now).await?;
            let line = Line::own(caller.id, "session.revoke", &caller.origin);
            audit::append(&tx, line.with_detail(id.to_string()), now).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Ends all sessions of the caller but the one that asks. Answers how many.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Error::Database`].
    pub(crate) async fn revoke_other_sessions(&self, caller: &Caller) -> Result<u32, Error> {
        caller.must_be_fresh(self.now())?;
        let tx = self.store.begin().await?;
        let ended = self
            .end_sessions(&tx, caller.id, Some(caller.session))
            .await?;
        let line = Line::own(caller.id, "session.revoke_others", &caller.origin);
        audit::append(&tx, line.with_detail(ended.to_string()), self.now()).await?;
        tx.commit().await?;
        Ok(ended)
    }

    fn goes_on(&self, row: &session::Model) -> bool {
        is_live(row.end_time, row.expire_time, row.last_use_time, self.now())
    }

    /// The session that has made a token, locked.
    async fn genuine_session(
        &self,
        tx: &DatabaseTransaction,
        token: &RefreshToken,
    ) -> Result<Option<session::Model>, Error> {
        let Some(row) = sessions::lock(tx, token.session).await? else {
            return Ok(None);
        };
        let key = self.sealer.open(&place(row.id), &row.refresh_key)?;
        Ok(token.is_genuine(&key).then_some(row))
    }

    async fn note_use(
        &self,
        tx: &DatabaseTransaction,
        row: &session::Model,
        origin: &Origin,
    ) -> Result<(), Error> {
        let change = session::ActiveModel {
            counter: Set(row.counter),
            rotate_time: Set(row.rotate_time),
            organisation_id: Set(row.organisation_id),
            address: Set(origin.address.clone()),
            user_agent: Set(origin.user_agent.clone()),
            last_use_time: Set(self.now()),
            ..Default::default()
        };
        Ok(sessions::update(tx, row.id, change).await?)
    }

    /// The organisation that a user acts for, if they are in it.
    async fn membership(
        &self,
        conn: &impl ConnectionTrait,
        user: &user::Model,
        organisation: Option<Uuid>,
    ) -> Result<Option<(Uuid, Role)>, Error> {
        let Some(id) = organisation else {
            return Ok(None);
        };
        let role = subjects::role_in(conn, id, user.id).await?;
        Ok(role.map(|role| (id, role)))
    }

    async fn tokens_of(
        &self,
        conn: &impl ConnectionTrait,
        user: &user::Model,
        row: &session::Model,
        organisation: Option<(Uuid, Role)>,
    ) -> Result<Tokens, Error> {
        let subject = Subject::of(user);
        let grant = Grant {
            session: row.id,
            organisation,
            methods: row.methods.split(' ').map(str::to_owned).collect(),
            assurance: u8::try_from(row.assurance).unwrap_or(1),
            auth_time: Some(times_of(row).oldest()),
            scopes: subject.scopes(),
        };
        let (access, access_expire) = self.sign_token(conn, &subject, grant).await?;
        let key = self.sealer.open(&place(row.id), &row.refresh_key)?;
        Ok(Tokens {
            access,
            access_expire,
            refresh: RefreshToken::write(row.id, row.counter, &key),
            refresh_expire: refresh_expire(row.expire_time, self.now()),
            session: row.id,
        })
    }
}

/// When the factors of a session were shown.
pub(super) const fn times_of(row: &session::Model) -> FactorTimes {
    FactorTimes {
        first: row.auth_time,
        second: row.second_factor_time,
    }
}

fn place(session: Uuid) -> String {
    format!("session/{session}")
}

#[cfg(test)]
mod tests;
