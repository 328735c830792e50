//! Organisations and their members.
//!
//! Whatever changes one holds the lock of its row, so that two owners who leave at once do not both find the other one
//! there.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use crate::domain::Time;
use crate::domain::caller::{Caller, Role};
use crate::domain::name;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::audit::{self, Line};
use crate::store::entity::programs::organisation;
use crate::store::members::{self, Member, SessionChange};
use crate::store::organisations::{self, Seen};
use crate::store::{ended, invitations, keys, programs, users};

/// Of so many organisations somebody may be a member.
pub(super) const MAX_ORGANISATIONS: u64 = 20;

impl App {
    /// Makes an organisation whose owner is the caller.
    ///
    /// # Errors
    /// [`Error::Refused`] as the contract names it; [`Error::Database`].
    pub async fn create_organisation(
        &self,
        caller: &Caller,
        name: &str,
        origin: &Origin,
    ) -> Result<Seen, Error> {
        let name = name::parse(name)?;
        let now = self.now();
        let tx = self.store.begin().await?;
        lock_joiner(&tx, caller.id).await?;
        let organisation = organisation::Model {
            id: Uuid::now_v7(),
            name,
            create_time: now,
            delete_time: None,
        };
        organisations::insert(&tx, organisation.clone()).await?;
        members::insert(&tx, organisation.id, caller.id, Role::Owner, now).await?;
        let line = Line::by(
            caller.id,
            Some(organisation.id),
            "organisation.create",
            origin,
        );
        audit::append(&tx, line, now).await?;
        tx.commit().await?;
        Ok(Seen {
            organisation,
            role: Role::Owner,
            members: 1,
        })
    }

    /// One of the caller's.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Error::Database`].
    pub async fn organisation(&self, caller: &Caller, id: Uuid) -> Result<Seen, Error> {
        let seen = organisations::seen_by(self.store.reader(), caller.id, Some(id)).await?;
        Ok(seen.into_iter().next().ok_or(Refusal::NotFound)?)
    }

    /// Those that the caller is a member of, oldest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn organisations(&self, caller: &Caller) -> Result<Vec<Seen>, Error> {
        Ok(organisations::seen_by(self.store.reader(), caller.id, None).await?)
    }

    /// Gives an organisation another name.
    ///
    /// # Errors
    /// [`Error::Refused`] as the contract names it; [`Error::Database`].
    pub async fn rename_organisation(
        &self,
        caller: &Caller,
        id: Uuid,
        name: &str,
        origin: &Origin,
    ) -> Result<Seen, Error> {
        let name = name::parse(name)?;
        let tx = self.store.begin().await?;
        organisations::lock_as(&tx, id, caller.id, Role::Admin).await?;
        organisations::rename(&tx, id, &name).await?;
        let line = Line::by(caller.id, Some(id), "organisation.update", origin);
        audit::append(&tx, line, self.now()).await?;
        tx.commit().await?;
        self.organisation(caller, id).await
    }

    /// Deletes an organisation: ends its keys, programs and invitations, and removes its members, whose sessions go on
    /// for themselves.
    ///
    /// # Errors
    /// [`Error::Refused`] for who does not own it; [`Error::Database`].
    pub async fn delete_organisation(
        &self,
        caller: &Caller,
        id: Uuid,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        organisations::lock_as(&tx, id, caller.id, Role::Owner).await?;
        keys::revoke_of_organisation(&tx, id, None, now).await?;
        for program in programs::list(&tx, id).await? {
            programs::delete(&tx, program.id, now).await?;
            ended::note_for_good(&tx, program.id, now).await?;
        }
        invitations::revoke_all(&tx, id, now).await?;
        members::change_sessions(&tx, id, None, SessionChange::Unbound, now).await?;
        members::remove(&tx, id, None).await?;
        organisations::delete(&tx, id, now).await?;
        let line = Line::by(caller.id, Some(id), "organisation.delete", origin);
        audit::append(&tx, line, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Up to `limit` members after the one with the id `after`; and the id after which the next page begins.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for who is no member; [`Error::Database`].
    pub async fn members(
        &self,
        caller: &Caller,
        organisation: Uuid,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<(Vec<Member>, Option<Uuid>), Error> {
        let reader = self.store.reader();
        organisations::must_have(reader, organisation, caller.id, Role::Member).await?;
        Ok(members::page(reader, organisation, after, limit).await?)
    }

    /// Gives a member another role. A lesser one is effective within seconds.
    ///
    /// # Errors
    /// [`Error::Refused`] as the contract names it; [`Error::Database`].
    pub async fn change_role(
        &self,
        caller: &Caller,
        organisation: Uuid,
        user: Uuid,
        role: Role,
        origin: &Origin,
    ) -> Result<Member, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let own = organisations::lock_as(&tx, organisation, caller.id, Role::Admin).await?;
        let member = members::find(&tx, organisation, user).await?;
        let member = member.ok_or(Refusal::NotFound)?;
        if member.role > own || role > own {
            return Err(Refusal::RoleInsufficient.into());
        }
        if member.role == role {
            return Ok(member);
        }
        if role < member.role {
            must_leave_an_owner(&tx, organisation, &member).await?;
            members::change_sessions(&tx, organisation, Some(user), SessionChange::Renewed, now)
                .await?;
            keys::end_tokens_for(&tx, organisation, user, now).await?;
            invitations::revoke_beyond(&tx, organisation, user, role, now).await?;
        }
        members::set_role(&tx, organisation, user, role).await?;
        let line = Line::by(caller.id, Some(organisation), "member.role", origin);
        let detail = format!("user {user} from {:?} to {role:?}", member.role);
        audit::append(&tx, line.with_detail(detail.to_lowercase()), now).await?;
        tx.commit().await?;
        Ok(Member { role, ..member })
    }

    /// Removes a member, or lets the caller leave. The member's keys for the organisation end, and their sessions go on
    /// for themselves.
    ///
    /// # Errors
    /// [`Error::Refused`] as the contract names it; [`Error::Database`].
    pub async fn remove_member(
        &self,
        caller: &Caller,
        organisation: Uuid,
        user: Uuid,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.now();
        let is_leaving = user == caller.id;
        let needed = if is_leaving {
            Role::Member
        } else {
            Role::Admin
        };
        let tx = self.store.begin().await?;
        let own = organisations::lock_as(&tx, organisation, caller.id, needed).await?;
        let member = members::find(&tx, organisation, user).await?;
        let member = member.ok_or(Refusal::NotFound)?;
        if member.role > own {
            return Err(Refusal::RoleInsufficient.into());
        }
        must_leave_an_owner(&tx, organisation, &member).await?;
        remove(&tx, organisation, user, now).await?;
        let action = if is_leaving {
            "member.leave"
        } else {
            "member.remove"
        };
        let line = Line::by(caller.id, Some(organisation), action, origin);
        let line = line.with_detail(format!("user {user}"));
        audit::append(&tx, line, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Takes a user out of an organisation with all that acts there for them. The organisation is locked.
async fn remove(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    user: Uuid,
    now: Time,
) -> Result<(), Error> {
    members::change_sessions(tx, organisation, Some(user), SessionChange::Unbound, now).await?;
    keys::revoke_of_organisation(tx, organisation, Some(user), now).await?;
    // Nobody joins by the word of somebody who is gone.
    invitations::revoke_of_inviter(tx, organisation, user, now).await?;
    Ok(members::remove(tx, organisation, Some(user)).await?)
}

/// Refuses to take the last owner's role. The organisation is locked.
async fn must_leave_an_owner(
    tx: &impl ConnectionTrait,
    organisation: Uuid,
    leaving: &Member,
) -> Result<(), Error> {
    let is_last = leaving.role == Role::Owner
        && !members::has_other_owner(tx, organisation, leaving.user.id).await?;
    if is_last {
        return Err(Refusal::LastOwner.into());
    }
    Ok(())
}

/// Locks somebody who is about to join an organisation.
///
/// # Errors
/// [`Refusal::TooManyOrganisations`], [`Refusal::NotFound`] for an account that is gone; [`Error::Database`].
pub(super) async fn lock_joiner(tx: &impl ConnectionTrait, user: Uuid) -> Result<(), Error> {
    let found = users::lock(tx, user).await?;
    if found.is_none_or(|user| user.state != users::ACTIVE) {
        return Err(Refusal::NotFound.into());
    }
    if members::count_of_user(tx, user).await? >= MAX_ORGANISATIONS {
        return Err(Refusal::TooManyOrganisations.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
