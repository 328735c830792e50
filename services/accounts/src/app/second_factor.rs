//! Second factors: time-based codes, and recovery codes for who has lost them.
//!
//! Once a secret is confirmed, no other way but a passkey (which is two factors by itself) signs in without a code.
//! A recovery code stands for one time-based code and for nothing else. What changes credentials of an account with a
//! second factor asks for a session in which it was shown.

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::notices::Notice;
use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::recovery;
use crate::domain::refusal::Refusal;
use crate::domain::session::FactorTimes;
use crate::domain::tokens::{Shown, Tokens};
use crate::domain::totp::TotpSecret;
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::flows::{self, Purpose};
use crate::store::{second_factors, users};

/// Long enough to look for a telephone.
const CHALLENGE_LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// Wrong codes of one challenge that are answered; the chance to guess one is five in 333 thousand.
const CHALLENGE_TRIES: i32 = 5;

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

/// A secret for an authenticator. It protects nothing before it is confirmed.
pub struct Enrolment {
    /// For a QR code.
    pub url: String,
    /// For typing, base32.
    pub secret: String,
}

/// What a challenge remembers of the first step.
#[derive(Serialize, Deserialize)]
struct FirstStep {
    methods: Vec<String>,
    /// When the first factor was shown. None in a challenge of an earlier version.
    #[serde(default)]
    time: Option<Time>,
}

/// The way in which a code was right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Factor {
    Totp,
    RecoveryCode,
}

impl Factor {
    const fn method(self) -> &'static str {
        match self {
            Self::Totp => "otp",
            Self::RecoveryCode => "rec",
        }
    }
}

impl App {
    /// Ends a first step of one factor, shown by `methods` at a time: with a session, or with a challenge where the account
    /// has a second factor. Only who has shown all that is needed makes a network known.
    ///
    /// # Errors
    /// As of [`App::open_session`].
    pub(crate) async fn end_first_step(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        (methods, time): (&[&str], Time),
        origin: &Origin,
    ) -> Result<SignedIn, Error> {
        let row = users::lock(tx, user).await?;
        if !row.is_some_and(|row| users::may_sign_in(row.state)) {
            return Err(Refusal::AccountDisabled.into());
        }
        if second_factors::has_totp(tx, user).await? {
            let first = (methods, time);
            let challenge = self.begin_second_step(tx, user, first, origin).await?;
            return Ok(SignedIn::Challenge(challenge));
        }
        let shown = Shown {
            methods,
            assurance: 1,
        };
        let shown = (shown, FactorTimes::only(time));
        let tokens = self.open_session_since(tx, user, shown, None, origin);
        let tokens = tokens.await?;
        self.know_network(tx, user, origin).await?;
        Ok(SignedIn::Tokens(tokens))
    }

    /// Begins the second step of a sign-in, after a first one by `methods` at a time.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn begin_second_step(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        (methods, time): (&[&str], Time),
        origin: &Origin,
    ) -> Result<Challenge, Error> {
        let first = FirstStep {
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            time: Some(time),
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

    /// Takes the second step of a sign-in.
    ///
    /// # Errors
    /// [`Refusal::ChallengeInvalid`], [`Refusal::SecondFactorInvalid`], [`Refusal::AccountDisabled`];
    /// [`Error::Throttled`], whichever challenge it is, after too many wrong codes.
    pub(crate) async fn complete_sign_in(
        &self,
        token: &str,
        code: &str,
        origin: &Origin,
    ) -> Result<Tokens, Error> {
        let purpose = Purpose::SecondStep;
        let open = self.open_flow::<FirstStep>(self.store.reader(), purpose, token);
        let open = open.await?.ok_or(Refusal::ChallengeInvalid)?;
        let user = open.user.ok_or(Refusal::ChallengeInvalid)?;
        let counted = self.counted_second_step(user, origin).await?;
        self.charge(&counted).await?;
        let tx = self.store.begin().await?;
        let row = users::lock(&tx, user).await?;
        let row = row.ok_or(Refusal::ChallengeInvalid)?;
        if !users::may_sign_in(row.state) {
            return Err(Refusal::AccountDisabled.into());
        }
        if !flows::count_try(&tx, open.id, CHALLENGE_TRIES, self.now()).await? {
            drop(tx);
            // Nothing was tried.
            self.take_back(&counted).await?;
            return Err(Refusal::ChallengeInvalid.into());
        }
        let Some(factor) = self.check_factor(&tx, user, code, origin).await? else {
            // The try stays counted.
            tx.commit().await?;
            return Err(Refusal::SecondFactorInvalid.into());
        };
        if !flows::use_up(&tx, open.id, self.now()).await? {
            return Err(Refusal::ChallengeInvalid.into());
        }
        let mut methods: Vec<&str> = open.payload.methods.iter().map(String::as_str).collect();
        methods.push(factor.method());
        let shown = Shown {
            methods: &methods,
            assurance: 2,
        };
        let times = FactorTimes {
            first: open.payload.time.unwrap_or_else(|| self.now()),
            second: Some(self.now()),
        };
        let opened = self.open_session_since(&tx, user, (shown, times), None, origin);
        let tokens = opened.await?;
        self.know_network(&tx, user, origin).await?;
        tx.commit().await?;
        self.refund(&counted).await?;
        Ok(tokens)
    }

    /// Makes a secret for an authenticator, in place of one that was never confirmed.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::TotpEnrolled`] when one is confirmed.
    pub(crate) async fn enrol_totp(&self, caller: &Caller) -> Result<Enrolment, Error> {
        let tx = self.store.begin().await?;
        self.must_prove_itself(&tx, caller).await?;
        let row = users::lock(&tx, caller.id).await?;
        let row = row.ok_or(Refusal::NotFound)?;
        if second_factors::has_totp(&tx, caller.id).await? {
            return Err(Refusal::TotpEnrolled.into());
        }
        let secret = TotpSecret::generate()?;
        let sealed = self.sealer.seal(&place(caller.id), secret.as_bytes())?;
        second_factors::keep_totp(&tx, caller.id, sealed, self.now()).await?;
        tx.commit().await?;
        Ok(Enrolment {
            url: secret.url(&row.email)?,
            secret: secret.base32(),
        })
    }

    /// Takes the first code of an authenticator: from now on sign-ins ask for one. Answers with recovery codes.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::CodeInvalid`], also when there is nothing to confirm.
    pub(crate) async fn confirm_totp(
        &self,
        caller: &Caller,
        code: &str,
        origin: &Origin,
    ) -> Result<Vec<String>, Error> {
        let tx = self.store.begin().await?;
        self.must_prove_itself(&tx, caller).await?;
        users::lock(&tx, caller.id)
            .await?
            .ok_or(Refusal::NotFound)?;
        if second_factors::has_totp(&tx, caller.id).await?
            || !self.take_totp(&tx, caller.id, code).await?
        {
            return Err(Refusal::CodeInvalid.into());
        }
        let codes = self.new_recovery_codes(&tx, caller.id).await?;
        self.tell_and_note(&tx, caller.id, Notice::TotpAdded, "totp.add", origin)
            .await?;
        tx.commit().await?;
        Ok(codes)
    }

    /// Ends time-based codes and recovery codes of an account.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::NotFound`] when there are none.
    pub(crate) async fn remove_totp(&self, caller: &Caller, origin: &Origin) -> Result<(), Error> {
        let tx = self.store.begin().await?;
        self.must_prove_itself(&tx, caller).await?;
        users::lock(&tx, caller.id)
            .await?
            .ok_or(Refusal::NotFound)?;
        if !second_factors::remove(&tx, caller.id).await? {
            return Err(Refusal::NotFound.into());
        }
        self.tell_and_note(&tx, caller.id, Notice::TotpRemoved, "totp.remove", origin)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Makes new recovery codes in place of all that there were.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`]; [`Refusal::NotFound`] when there is no second factor that they could stand for.
    pub(crate) async fn renew_recovery_codes(
        &self,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Vec<String>, Error> {
        let tx = self.store.begin().await?;
        self.must_prove_itself(&tx, caller).await?;
        users::lock(&tx, caller.id)
            .await?
            .ok_or(Refusal::NotFound)?;
        if !second_factors::has_totp(&tx, caller.id).await? {
            return Err(Refusal::NotFound.into());
        }
        let codes = self.new_recovery_codes(&tx, caller.id).await?;
        let notice = Notice::RecoveryCodesRenewed;
        self.tell_and_note(&tx, caller.id, notice, "recovery_codes.renew", origin)
            .await?;
        tx.commit().await?;
        Ok(codes)
    }

    /// Passes when all that the account asks for was shown within the last ten minutes: a credential and, where there is a
    /// second factor, a code besides.
    ///
    /// # Errors
    /// [`Refusal::StepUpRequired`].
    pub(crate) async fn must_prove_itself(
        &self,
        tx: &impl ConnectionTrait,
        caller: &Caller,
    ) -> Result<(), Error> {
        caller.must_be_fresh(self.now())?;
        if caller.assurance < 2 && second_factors::has_totp(tx, caller.id).await? {
            return Err(Refusal::StepUpRequired.into());
        }
        Ok(())
    }

    /// Tells the owner of a change by mail, and the audit log.
    pub(crate) async fn tell_and_note(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        notice: Notice,
        action: &'static str,
        origin: &Origin,
    ) -> Result<(), Error> {
        self.tell(tx, user, notice).await?;
        audit::append(tx, Line::own(user, action, origin), self.now()).await?;
        Ok(())
    }

    /// Takes a time-based code of a user, whose row is locked. False when it is wrong or was taken before.
    pub(crate) async fn take_totp(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        code: &str,
    ) -> Result<bool, Error> {
        let Some(row) = second_factors::find_totp(tx, user).await? else {
            return Ok(false);
        };
        let secret = self.sealer.open(&place(user), &row.sealed_secret)?;
        let secret = TotpSecret::from_bytes(secret);
        let step = secret.accepted_step(code.trim(), self.now(), row.last_step)?;
        match step {
            Some(step) => Ok(second_factors::take_step(tx, user, step).await?),
            None => Ok(false),
        }
    }

    /// Takes a code of either kind. None when it is wrong, which the audit log is told.
    async fn check_factor(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
        code: &str,
        origin: &Origin,
    ) -> Result<Option<Factor>, Error> {
        // The secret could have been removed since the challenge began.
        let is_enrolled = second_factors::has_totp(tx, user).await?;
        if is_enrolled && self.take_totp(tx, user, code).await? {
            return Ok(Some(Factor::Totp));
        }
        let hash = recovery::hash(user, code).filter(|_| is_enrolled);
        if let Some(hash) = hash
            && second_factors::use_recovery_code(tx, user, &hash, self.now()).await?
        {
            let notice = Notice::RecoveryCodeUsed;
            self.tell_and_note(tx, user, notice, "recovery_code.use", origin)
                .await?;
            return Ok(Some(Factor::RecoveryCode));
        }
        let line = Line::own(user, "sign_in.second_step", origin).refused("CODE_INVALID");
        audit::append(tx, line, self.now()).await?;
        Ok(None)
    }

    async fn new_recovery_codes(
        &self,
        tx: &impl ConnectionTrait,
        user: Uuid,
    ) -> Result<Vec<String>, Error> {
        let codes = (0..recovery::CODES)
            .map(|_| recovery::generate())
            .collect::<Result<Vec<_>, _>>()?;
        let hashes = codes
            .iter()
            .filter_map(|code| recovery::hash(user, code))
            .collect();
        second_factors::replace_recovery_codes(tx, user, hashes).await?;
        Ok(codes)
    }
}

/// Where a user's secret is sealed.
fn place(user: Uuid) -> String {
    format!("totp/{user}")
}

#[cfg(test)]
mod tests;
