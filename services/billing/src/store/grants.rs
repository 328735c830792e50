//! Grants: giving them, taking them back, ending them.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::entity::payers::grant;
use super::ledger::{self, Posted};
use super::{credits, payers};
use crate::domain::Time;
use crate::domain::burn;
use crate::domain::credits::Credits;
use crate::domain::grant::{Grant, GrantOrigin};
use crate::domain::ledger::{Account, SystemAccount, Transfer, TransferKind};
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::error::Error;

/// A payer has no more grants with credits in them: all of them are read for a hold.
pub const MAX_GRANTS: u64 = 10_000;

/// Grants are named in it by the keys under which they were given.
const GRANTS: Uuid = Uuid::from_u128(0x3f8d_0a97_2c51_4b0e_8a64_9be1_07d2_c35f);

/// Written out, so that both engines see that their index of such rows serves.
const IS_LIVE: &str = "available > 0";

/// Credits to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGrant {
    /// The idempotency key of the transfer.
    pub key: String,
    /// Who gets them.
    pub payer: Payer,
    /// Where they come from.
    pub origin: GrantOrigin,
    /// How many; 1 to [`Credits::LARGEST_AMOUNT`].
    pub credits: Credits,
    /// When they end. None for never.
    pub expires_at: Option<Time>,
    /// The plan, the campaign, or why an operator gives them. At most 500 characters.
    pub note: String,
    /// Whose call it is. None for the platform's own.
    pub user_id: Option<Uuid>,
}

impl NewGrant {
    /// The grant's id, which is that of its key.
    #[must_use]
    pub fn id(&self) -> Uuid {
        Uuid::new_v5(&GRANTS, self.key.as_bytes())
    }

    /// By which a repetition is told from another request under the same key.
    #[must_use]
    pub fn body(&self) -> String {
        let end = self.expires_at.map(|time| time.timestamp_micros());
        let (payer, origin) = (self.payer, self.origin.code());
        let (credits, note) = (self.credits, &self.note);
        format!("{payer} {origin} {credits} {end:?} {note}")
    }
}

/// Gives credits, once a key, and answers with the grant's id. A debt is paid off first.
///
/// Locks nothing by itself: the payer must be locked.
///
/// # Errors
/// [`Refusal::CreditsInvalid`], [`Refusal::TooManyGrants`]; [`Refusal::RequestIdReused`] when other credits were given under
/// the key; [`Error::Database`].
pub async fn give(tx: &DatabaseTransaction, new: &NewGrant, now: Time) -> Result<Uuid, Error> {
    let reason = Reason {
        kind: TransferKind::Grant,
        job: None,
        body: new.body(),
    };
    give_for(tx, new, reason, now).await
}

/// Why credits are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What the transfer is about.
    pub kind: TransferKind,
    /// The job that it is about.
    pub job: Option<Uuid>,
    /// What was asked for.
    pub body: String,
}

/// As [`give`], for another reason.
///
/// # Errors
/// As [`give`].
pub async fn give_for(
    tx: &DatabaseTransaction,
    new: &NewGrant,
    reason: Reason,
    now: Time,
) -> Result<Uuid, Error> {
    let id = new.id();
    if ledger::was_posted(tx, &new.key, &reason.body).await? {
        return Ok(id);
    }
    if new.credits.is_zero() || new.credits > Credits::LARGEST_AMOUNT {
        return Err(Refusal::CreditsInvalid.into());
    }
    if live(&new.payer).count(tx).await? >= MAX_GRANTS {
        return Err(Refusal::TooManyGrants.into());
    }
    insert(tx, id, new, now).await?;
    let row = payers::find(tx, &new.payer).await?;
    let debt = row.map_or(Credits::ZERO, |row| row.debt);
    let paid = new.credits.min(debt);
    let mut transfer = Transfer::new(new.key.clone(), reason.kind, new.payer)
        .asked(reason.body)
        .by(new.user_id)
        .noted(&new.note)
        .loses(Account::System(new.origin.source()), new.credits)
        .gains(Account::Debt(new.payer), paid)
        .gains(Account::Grant(id), new.credits.saturating_sub(paid));
    transfer.job = reason.job;
    ledger::post(tx, &transfer, now).await?;
    Ok(id)
}

async fn insert(
    tx: &DatabaseTransaction,
    id: Uuid,
    new: &NewGrant,
    now: Time,
) -> Result<(), Error> {
    let row = grant::Model {
        id,
        payer: new.payer.to_string(),
        origin: new.origin.code(),
        credits: new.credits.get(),
        available: 0,
        create_time: now,
        expire_time: new.expires_at,
        note: new.note.clone(),
        user_id: new.user_id,
    };
    // Somebody may use the key for another payer at this moment; the ledger then says so.
    let there = OnConflict::column(grant::Column::Id)
        .do_nothing()
        .to_owned();
    grant::Entity::insert(row.into_active_model())
        .on_conflict(there)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Takes back what is left of a grant, once a key, and answers how much that was. The grant ends: what is held of it does
/// not come back to it either. The payer must be locked.
///
/// # Errors
/// [`Error::Broken`] when there is no such grant; [`Error::Database`].
pub async fn take_back(
    tx: &DatabaseTransaction,
    grant_id: Uuid,
    key: &str,
    now: Time,
) -> Result<Credits, Error> {
    let before = ledger::gained(tx, key, Account::Grant(grant_id)).await?;
    if before != 0 {
        return credits(-before);
    }
    let row = grant::Entity::find_by_id(grant_id).one(tx).await?;
    let row = row.ok_or_else(|| Error::Broken(format!("the grant {grant_id} is not there")))?;
    if row.expire_time.is_none_or(|end| end > now) {
        grant::Entity::update_many()
            .col_expr(grant::Column::ExpireTime, Expr::value(now))
            .filter(grant::Column::Id.eq(grant_id))
            .exec(tx)
            .await?;
    }
    let left = credits(row.available)?;
    if left.is_zero() {
        return Ok(left);
    }
    let grant = from_row(row.clone())?;
    let transfer = Transfer::new(
        key.to_owned(),
        TransferKind::Adjust,
        payers::parse(&row.payer)?,
    )
    .noted(&grant.note)
    .loses(Account::Grant(grant_id), left)
    .gains(Account::System(grant.origin.source()), left);
    ledger::post(tx, &transfer, now).await?;
    Ok(left)
}

/// Grants of a payer that have credits and have not ended, in the order in which they are spent.
///
/// # Errors
/// [`Error::Database`].
pub async fn spendable(
    conn: &impl ConnectionTrait,
    payer: &Payer,
    now: Time,
) -> Result<Vec<Grant>, Error> {
    let rows = live(payer).limit(MAX_GRANTS).all(conn).await?;
    let grants: Result<Vec<Grant>, Error> = rows.into_iter().map(from_row).collect();
    let mut grants = grants?;
    grants.retain(|grant| !grant.has_ended(now));
    burn::in_order(&mut grants);
    Ok(grants)
}

/// Reads grants by their ids.
///
/// # Errors
/// [`Error::Database`].
pub async fn find_many(
    conn: &impl ConnectionTrait,
    ids: impl Iterator<Item = Uuid>,
) -> Result<Vec<Grant>, Error> {
    let rows = grant::Entity::find().filter(grant::Column::Id.is_in(ids));
    rows.all(conn).await?.into_iter().map(from_row).collect()
}

/// Whether the grant of a key was given.
///
/// # Errors
/// [`Error::Database`].
pub async fn is_given(conn: &impl ConnectionTrait, new: &NewGrant) -> Result<bool, Error> {
    Ok(grant::Entity::find_by_id(new.id())
        .one(conn)
        .await?
        .is_some())
}

/// Some payers with grants that have ended with credits in them, and these grants, the first to end first.
///
/// # Errors
/// [`Error::Database`].
pub async fn ended(
    conn: &impl ConnectionTrait,
    now: Time,
    limit: u64,
) -> Result<Vec<(Payer, Uuid)>, Error> {
    let rows: Vec<(String, Uuid)> = grant::Entity::find()
        .select_only()
        .columns([grant::Column::Payer, grant::Column::Id])
        .filter(Expr::cust(IS_LIVE))
        .filter(grant::Column::ExpireTime.lte(now))
        .order_by_asc(grant::Column::ExpireTime)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await?;
    let parsed = rows
        .into_iter()
        .map(|(payer, id)| Ok((payers::parse(&payer)?, id)));
    parsed.collect()
}

/// Moves what is left of a grant that has ended to where ended credits go, and answers how much. The payer must be locked.
///
/// # Errors
/// [`Error::Database`].
pub async fn expire(
    tx: &DatabaseTransaction,
    payer: &Payer,
    id: Uuid,
    now: Time,
) -> Result<Credits, Error> {
    let row = grant::Entity::find_by_id(id).one(tx).await?;
    let grant = row.map(from_row).transpose()?;
    let over = grant.filter(|grant| grant.has_ended(now) && !grant.available.is_zero());
    let Some(grant) = over else {
        return Ok(Credits::ZERO);
    };
    // Under the payer's lock what is left says whether it was done. A replica whose clock is late may give credits back to
    // a grant that another has emptied, so that one may be emptied more than once.
    let key = format!("expire:{id}:{}", now.timestamp_micros());
    let transfer = Transfer::new(key, TransferKind::Expire, *payer)
        .noted(&grant.note)
        .loses(Account::Grant(id), grant.available)
        .gains(Account::System(SystemAccount::Expired), grant.available);
    match ledger::post(tx, &transfer, now).await? {
        Posted::New => Ok(grant.available),
        Posted::Before => Ok(Credits::ZERO),
    }
}

/// Adds to what is left of a grant. Only `ledger` calls it.
pub(super) async fn add(tx: &DatabaseTransaction, id: Uuid, amount: i64) -> Result<(), Error> {
    let available = Expr::col(grant::Column::Available);
    let changed = grant::Entity::update_many()
        .col_expr(grant::Column::Available, available.clone().add(amount))
        .filter(grant::Column::Id.eq(id))
        .filter(available.add(amount).gte(0))
        .exec(tx)
        .await?;
    if changed.rows_affected == 1 {
        return Ok(());
    }
    let problem = format!("the grant {id} is not there, or has less than {amount} takes");
    Err(Error::Broken(problem))
}

/// Those with credits in them.
fn live(payer: &Payer) -> Select<grant::Entity> {
    grant::Entity::find()
        .filter(grant::Column::Payer.eq(payer.to_string()))
        .filter(Expr::cust(IS_LIVE))
}

fn from_row(row: grant::Model) -> Result<Grant, Error> {
    let origin = GrantOrigin::from_code(row.origin);
    let origin = origin.ok_or_else(|| Error::Broken(format!("no origin is {}", row.origin)))?;
    Ok(Grant {
        id: row.id,
        origin,
        credits: credits(row.credits)?,
        available: credits(row.available)?,
        create_time: row.create_time,
        expire_time: row.expire_time,
        note: row.note,
    })
}
