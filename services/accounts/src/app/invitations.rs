//! Invitations to organisations, by mail.
//!
//! A code is bound to the address that it was sent to: it is worth nothing to who reads the mail but has another account.

use chrono::TimeDelta;
use uuid::Uuid;

use super::throttles::Counted;
use super::{App, organisations as own};
use crate::app::mail::templates;
use crate::domain::Time;
use crate::domain::caller::{Caller, Role};
use crate::domain::email::Email;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::throttle::Kind;
use crate::error::Error;
use crate::random;
use crate::store::audit::{self, Line};
use crate::store::entity::programs::invitation;
use crate::store::organisations::Seen;
use crate::store::{invitations, members, organisations, outbox, subjects, users};

/// For this long a code is good.
const LIFETIME: TimeDelta = TimeDelta::days(7);

/// So many of an organisation may wait.
const MAX_WAITING: u64 = 100;

/// So many mails a day an organisation sends to one address, which may not want them.
const MAX_A_DAY_TO_ONE: usize = 5;

/// So many mails a day an organisation sends.
const MAX_A_DAY: usize = 200;

impl App {
    /// Asks somebody by mail to join. Who is a member already gets no mail, and the answer is the same.
    ///
    /// # Errors
    /// [`Error::Refused`] as the contract names it; [`Error::Throttled`] after too many mails; [`Error::Database`].
    pub async fn invite(
        &self,
        caller: &Caller,
        organisation: Uuid,
        email: &str,
        role: Role,
        origin: &Origin,
    ) -> Result<invitation::Model, Error> {
        let email = Email::parse(email).map_err(|_| Refusal::EmailInvalid)?;
        let reader = self.store.reader();
        organisations::must_have(reader, organisation, caller.id, Role::Admin).await?;
        let by_inviter = Counted::by(Kind::InviteAccount, &caller.id.to_string());
        self.charge(&[by_inviter]).await?;
        let now = self.now();
        let tx = self.store.begin().await?;
        let own = organisations::lock_as(&tx, organisation, caller.id, Role::Admin).await?;
        if role > own {
            return Err(Refusal::RoleInsufficient.into());
        }
        // The latest mail is the one that counts, and it takes the place of the earlier ones.
        invitations::revoke_to(&tx, organisation, email.key(), now).await?;
        self.must_have_room(&tx, organisation, &email).await?;
        let code = random::code()?;
        let invitation = invitation::Model {
            id: Uuid::now_v7(),
            organisation_id: organisation,
            email: email.shown().to_owned(),
            email_key: email.key().to_owned(),
            role: subjects::role_code(role),
            code_sha256: random::fingerprint(&code),
            invited_by: caller.id,
            create_time: now,
            expire_time: now + LIFETIME,
            accept_time: None,
            revoke_time: None,
        };
        if is_member(&tx, organisation, &email).await? {
            return Ok(invitation);
        }
        invitations::insert(&tx, invitation.clone()).await?;
        let inviter = users::find(&tx, caller.id)
            .await?
            .ok_or(Refusal::NotFound)?;
        let public_url = &self.options.public_url;
        let mail = templates::invitation(email.shown(), &inviter.email, &code, public_url);
        outbox::enqueue(&tx, mail, now).await?;
        let line = Line::by(caller.id, Some(organisation), "invitation.create", origin);
        let detail = format!("invitation {} as {role:?}", invitation.id).to_lowercase();
        audit::append(&tx, line.with_detail(detail), now).await?;
        tx.commit().await?;
        Ok(invitation)
    }

    /// Those that wait, newest first.
    ///
    /// # Errors
    /// [`Error::Refused`] for who does not administer the organisation; [`Error::Database`].
    pub async fn invitations(
        &self,
        caller: &Caller,
        organisation: Uuid,
    ) -> Result<Vec<invitation::Model>, Error> {
        let reader = self.store.reader();
        organisations::must_have(reader, organisation, caller.id, Role::Admin).await?;
        Ok(invitations::waiting(reader, organisation, self.now()).await?)
    }

    /// Takes an invitation back. Succeeds for one that is over.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it is of no organisation that the caller administers; [`Error::Database`].
    pub async fn revoke_invitation(
        &self,
        caller: &Caller,
        id: Uuid,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let invitation = invitations::find_of_manager(&tx, id, caller.id).await?;
        let invitation = invitation.ok_or(Refusal::NotFound)?;
        let organisation = invitation.organisation_id;
        organisations::lock_as(&tx, organisation, caller.id, Role::Admin).await?;
        if invitations::revoke(&tx, &invitation, now).await? {
            let line = Line::by(caller.id, Some(organisation), "invitation.revoke", origin);
            let line = line.with_detail(format!("invitation {id}"));
            audit::append(&tx, line, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Lets the caller join, when the code was sent to the address of their account.
    ///
    /// # Errors
    /// [`Refusal::CodeInvalid`], whatever is wrong with the code; [`Refusal::TooManyOrganisations`];
    /// [`Error::Database`].
    pub async fn accept_invitation(
        &self,
        caller: &Caller,
        code: &str,
        origin: &Origin,
    ) -> Result<Seen, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let invitation = invitations::find_by_code(&tx, &random::fingerprint(code)).await?;
        let invitation = invitation.ok_or(Refusal::CodeInvalid)?;
        let organisation = invitation.organisation_id;
        let locked = organisations::lock(&tx, organisation).await?;
        let user = users::lock(&tx, caller.id).await?;
        // Only verified addresses become those of accounts.
        let is_addressee = user.is_some_and(|user| user.email_key == invitation.email_key);
        let role = subjects::role_from_code(invitation.role).ok_or(Refusal::CodeInvalid)?;
        let is_good = locked.is_some() && is_addressee && now < invitation.expire_time;
        if !is_good || !invitations::accept(&tx, invitation.id, now).await? {
            return Err(Refusal::CodeInvalid.into());
        }
        if members::find(&tx, organisation, caller.id).await?.is_none() {
            own::lock_joiner(&tx, caller.id).await?;
            members::insert(&tx, organisation, caller.id, role, now).await?;
            let line = Line::by(caller.id, Some(organisation), "invitation.accept", origin);
            let detail = format!("invitation {} as {role:?}", invitation.id).to_lowercase();
            audit::append(&tx, line.with_detail(detail), now).await?;
        }
        tx.commit().await?;
        self.organisation(caller, organisation).await
    }

    async fn must_have_room(
        &self,
        tx: &impl sea_orm::ConnectionTrait,
        organisation: Uuid,
        email: &Email,
    ) -> Result<(), Error> {
        let now = self.now();
        let waiting = invitations::count_waiting(tx, organisation, now).await?;
        if waiting >= MAX_WAITING {
            return Err(Refusal::TooManyInvitations.into());
        }
        let since = now - TimeDelta::days(1);
        for (to, most) in [(Some(email.key()), MAX_A_DAY_TO_ONE), (None, MAX_A_DAY)] {
            let times = invitations::times_since(tx, organisation, to, since).await?;
            if let Some(oldest) = times.get(most - 1) {
                return Err(throttled_until(*oldest + TimeDelta::days(1), now));
            }
        }
        Ok(())
    }
}

fn throttled_until(then: Time, now: Time) -> Error {
    Error::Throttled {
        retry_after: (then - now).to_std().unwrap_or_default(),
    }
}

async fn is_member(
    tx: &impl sea_orm::ConnectionTrait,
    organisation: Uuid,
    email: &Email,
) -> Result<bool, Error> {
    let Some(user) = users::find_by_email_key(tx, email.key()).await? else {
        return Ok(false);
    };
    Ok(members::find(tx, organisation, user.id).await?.is_some())
}

#[cfg(test)]
mod tests;
