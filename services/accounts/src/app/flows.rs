//! Things that one call begins and another one completes, tied together by a token that is good once.

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::App;
use crate::domain::Time;
use crate::error::Error;
use crate::random;
use crate::store::flows::{self, NewFlow, Purpose};

/// No token of ours is longer; what is longer is not even hashed.
const MAX_TOKEN_BYTES: usize = 128;

/// A flow that has begun.
pub struct Begun {
    /// Completes it. Only its hash is kept here.
    pub token: String,
    /// When it ends by itself.
    pub expire_time: Time,
}

/// A flow that goes on.
#[derive(Debug)]
pub struct Open<P> {
    /// Of the flow.
    pub id: Uuid,
    /// Whose it is, as far as that was known when it began.
    pub user: Option<Uuid>,
    /// What was kept at the beginning.
    pub payload: P,
}

impl App {
    /// Begins a flow.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Broken`] when the payload has no JSON.
    pub(crate) async fn begin_flow<P: Serialize + Sync>(
        &self,
        tx: &impl ConnectionTrait,
        purpose: Purpose,
        user: Option<Uuid>,
        payload: &P,
        lifetime: TimeDelta,
    ) -> Result<Begun, Error> {
        let token = random::code()?;
        let expire_time = self.now() + lifetime;
        let new = NewFlow {
            sha256: random::fingerprint(&token),
            purpose,
            user,
            payload: serde_json::to_string(payload)
                .map_err(|error| Error::Broken(format!("a flow has no JSON: {error}")))?,
            expire_time,
        };
        flows::insert(tx, new, self.now()).await?;
        Ok(Begun { token, expire_time })
    }

    /// The flow of a token. None when the token is not known, was made for something else, was used, or has ended.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Broken`] when the row cannot be read.
    pub(crate) async fn open_flow<P: DeserializeOwned>(
        &self,
        tx: &impl ConnectionTrait,
        purpose: Purpose,
        token: &str,
    ) -> Result<Option<Open<P>>, Error> {
        if token.len() > MAX_TOKEN_BYTES {
            return Ok(None);
        }
        let found = flows::find(tx, &random::fingerprint(token), purpose, self.now()).await?;
        let Some(row) = found else { return Ok(None) };
        let payload = serde_json::from_str(&row.payload)
            .map_err(|error| Error::Broken(format!("flow {} cannot be read: {error}", row.id)))?;
        Ok(Some(Open {
            id: row.id,
            user: row.user_id,
            payload,
        }))
    }

    /// Opens a flow and uses it up, whatever becomes of it. None as of [`App::open_flow`], and for one of another user
    /// when `user` is given.
    ///
    /// # Errors
    /// As of [`App::open_flow`].
    pub(crate) async fn take_flow<P: DeserializeOwned>(
        &self,
        tx: &impl ConnectionTrait,
        purpose: Purpose,
        user: Option<Uuid>,
        token: &str,
    ) -> Result<Option<Open<P>>, Error> {
        let Some(open) = self.open_flow(tx, purpose, token).await? else {
            return Ok(None);
        };
        if user.is_some() && open.user != user {
            return Ok(None);
        }
        let is_first = flows::use_up(tx, open.id, self.now()).await?;
        Ok(is_first.then_some(open))
    }
}

#[cfg(test)]
mod tests {
    use kinora_store::on_both_databases;

    use super::*;
    use crate::app::testing::TestApp;

    const LIFETIME: TimeDelta = TimeDelta::minutes(5);

    async fn begun(app: &App, user: Option<Uuid>) -> String {
        let tx = app.store.begin().await.unwrap();
        let begun = app
            .begin_flow(&tx, Purpose::SecondStep, user, &"kept", LIFETIME)
            .await;
        tx.commit().await.unwrap();
        begun.unwrap().token
    }

    async fn taken(app: &App, purpose: Purpose, user: Option<Uuid>, token: &str) -> Option<String> {
        let tx = app.store.begin().await.unwrap();
        let open = app.take_flow(&tx, purpose, user, token).await.unwrap();
        tx.commit().await.unwrap();
        open.map(|open| open.payload)
    }

    on_both_databases! {
        async fn a_token_is_good_once_for_its_purpose_and_user(url: DatabaseUrl) {
            let test = TestApp::on(&url).await;
            let (user, stranger) = (Uuid::now_v7(), Uuid::now_v7());
            let token = begun(&test.app, Some(user)).await;
            let step = Purpose::SecondStep;
            assert_eq!(taken(&test.app, Purpose::PasskeySignIn, Some(user), &token).await, None);
            assert_eq!(taken(&test.app, step, Some(stranger), &token).await, None);
            assert_eq!(taken(&test.app, step, Some(user), &token[1..]).await, None);
            assert_eq!(taken(&test.app, step, Some(user), &"x".repeat(1 << 20)).await, None);
            assert_eq!(taken(&test.app, step, Some(user), &token).await.unwrap(), "kept");
            assert_eq!(taken(&test.app, step, Some(user), &token).await, None);
        }

        async fn a_flow_ends_by_itself(url: DatabaseUrl) {
            let test = TestApp::on(&url).await;
            let token = begun(&test.app, None).await;
            test.clock.advance(LIFETIME - TimeDelta::microseconds(1));
            let tx = test.app.store.begin().await.unwrap();
            let open = test.app.open_flow::<String>(&tx, Purpose::SecondStep, &token).await;
            drop(tx);
            assert!(open.unwrap().is_some());
            test.clock.advance(TimeDelta::microseconds(1));
            assert_eq!(taken(&test.app, Purpose::SecondStep, None, &token).await, None);
        }

        async fn tries_are_counted(url: DatabaseUrl) {
            let test = TestApp::on(&url).await;
            let token = begun(&test.app, None).await;
            let now = test.app.now();
            let tx = test.app.store.begin().await.unwrap();
            let open = test.app.open_flow::<String>(&tx, Purpose::SecondStep, &token).await;
            let id = open.unwrap().unwrap().id;
            assert!(flows::count_try(&tx, id, 2, now).await.unwrap());
            assert!(flows::count_try(&tx, id, 2, now).await.unwrap());
            assert!(!flows::count_try(&tx, id, 2, now).await.unwrap());
            assert!(flows::use_up(&tx, id, now).await.unwrap());
            assert!(!flows::use_up(&tx, id, now).await.unwrap());
            assert!(!flows::count_try(&tx, id, 9, now).await.unwrap());
        }
    }
}
