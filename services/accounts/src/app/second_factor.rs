//! Second factors.

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use crate::domain::Time;
use crate::domain::origin::Origin;
use crate::domain::tokens::{Shown, Tokens};
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::flows::Purpose;
use crate::store::second_factors;

/// Long enough to look for a telephone.
const CHALLENGE_LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// A sign-in that needs a second step.
pub struct Challenge {
    /// Completes it.
    pub token: String,
    /// "totp" and "recovery_code".
    pub methods: Vec<&'static str>,
    /// When it ends by itself.
    pub expire_time: Time,
}

/// What became of a first step.
pub enum SignedIn {
    /// It was enough.
    Tokens(Tokens),
    /// It was not.
    Challenge(Challenge),
}

/// What a challenge remembers of the first step.
#[derive(Serialize, Deserialize)]
struct FirstStep {
    methods: Vec<String>,
}

impl App {
    /// Ends a first step of one factor: with a session, or with a challenge where the account has a second factor.
    ///
    /// # Errors
    /// As of [`App::open_session`].
    pub(crate) async fn end_first_step(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        methods: &[&str],
        origin: &Origin,
    ) -> Result<SignedIn, Error> {
        if second_factors::has_totp(tx, user).await? {
            let challenge = self.begin_second_step(tx, user, methods, origin).await?;
            return Ok(SignedIn::Challenge(challenge));
        }
        let shown = Shown {
            methods,
            assurance: 1,
        };
        let tokens = self.open_session(tx, user, shown, None, origin).await?;
        Ok(SignedIn::Tokens(tokens))
    }

    /// Begins the second step of a sign-in, after a first one by `methods`.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn begin_second_step(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        methods: &[&str],
        origin: &Origin,
    ) -> Result<Challenge, Error> {
        let first = FirstStep {
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        };
        let purpose = Purpose::SecondStep;
        let begun = self
            .begin_flow(tx, purpose, Some(user), &first, CHALLENGE_LIFETIME)
            .await?;
        let line = Line::own(user, "sign_in.challenge", origin).with_detail(methods.join(" "));
        audit::append(tx, line, self.now()).await?;
        Ok(Challenge {
            token: begun.token,
            methods: vec!["totp", "recovery_code"],
            expire_time: begun.expire_time,
        })
    }
}
