//! The ledger. Every movement of credits goes through here, and nothing else changes a balance.

use std::collections::{BTreeMap, HashMap};

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::ledger::{entry, transfer};
use super::{grants, payers};
use crate::domain::Time;
use crate::domain::ledger::{Account, Transfer, TransferKind};
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::error::Error;

/// Whether a transfer is a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It was made now.
    New,
    /// It was made before, with the same body.
    Before,
}

/// A transfer as one payer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// UUIDv5 of the key.
    pub id: Uuid,
    /// The order in which they are shown.
    pub seq: Uuid,
    /// What it is about.
    pub kind: TransferKind,
    /// What it added to all grants together.
    pub available: i64,
    /// What it added to what is set aside.
    pub held: i64,
    /// When it was made.
    pub create_time: Time,
    /// The job that it is about.
    pub job: Option<Uuid>,
    /// The person whose call it was.
    pub user: Option<Uuid>,
    /// Why.
    pub note: String,
}

/// Makes a transfer, once a key. The payer must be locked.
///
/// # Errors
/// [`Refusal::RequestIdReused`] when there is one of this key with another body; [`Error::Broken`] when it does not balance,
/// or an account of a payer would be overdrawn; [`Error::Database`]. Nothing may be committed after an error.
pub async fn post(
    tx: &DatabaseTransaction,
    transfer: &Transfer,
    now: Time,
) -> Result<Posted, Error> {
    let transfers = std::slice::from_ref(transfer);
    if write(tx, transfers, now).await? == 1 {
        write_entries(tx, transfers).await?;
        return Ok(Posted::New);
    }
    if was_posted(tx, &transfer.key, &transfer.body).await? {
        return Ok(Posted::Before);
    }
    let key = &transfer.key;
    Err(Error::Broken(format!("the transfer `{key}` is not there")))
}

/// Makes transfers that are all new. Their payers must be locked.
///
/// # Errors
/// [`Error::Broken`] when one was made before, does not balance, or an account of a payer would be overdrawn;
/// [`Error::Database`]. Nothing may be committed after an error.
pub async fn post_new(
    tx: &DatabaseTransaction,
    transfers: &[Transfer],
    now: Time,
) -> Result<(), Error> {
    let made = write(tx, transfers, now).await?;
    if usize::try_from(made) != Ok(transfers.len()) {
        let key = transfers.first().map_or("", |transfer| &transfer.key);
        let problem = format!("a transfer of `{key}` and what follows was made before");
        return Err(Error::Broken(problem));
    }
    write_entries(tx, transfers).await
}

/// Whether there is a transfer of this key.
///
/// # Errors
/// [`Refusal::RequestIdReused`] when there is one with another body; [`Error::Database`].
pub async fn was_posted(conn: &impl ConnectionTrait, key: &str, body: &str) -> Result<bool, Error> {
    let found = transfer::Entity::find_by_id(Transfer::id_of(key));
    let Some(found) = found.one(conn).await? else {
        return Ok(false);
    };
    if found.key != key || found.body_hash != Transfer::hash_of(body) {
        return Err(Refusal::RequestIdReused.into());
    }
    Ok(true)
}

/// What an account gained by the transfer of a key; 0 when there is none.
///
/// # Errors
/// [`Error::Database`].
pub async fn gained(
    conn: &impl ConnectionTrait,
    key: &str,
    account: Account,
) -> Result<i64, Error> {
    let amounts: Vec<i64> = entry::Entity::find()
        .select_only()
        .column(entry::Column::Amount)
        .filter(entry::Column::TransferId.eq(Transfer::id_of(key)))
        .filter(entry::Column::Account.eq(account.to_string()))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(amounts.into_iter().sum())
}

/// Reads a payer's transfers, newest first; those of one job alone when it is named.
///
/// # Errors
/// [`Error::Database`].
pub async fn newest(
    conn: &impl ConnectionTrait,
    payer: &Payer,
    job: Option<Uuid>,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Movement>, Error> {
    let mut query = transfer::Entity::find().filter(transfer::Column::Payer.eq(payer.to_string()));
    if let Some(job) = job {
        query = query.filter(transfer::Column::JobId.eq(job));
    }
    if let Some(before) = before {
        query = query.filter(transfer::Column::Seq.lt(before));
    }
    let rows = query.order_by_desc(transfer::Column::Seq).limit(limit);
    let rows = rows.all(conn).await?;
    let entries = entry::Entity::find()
        .filter(entry::Column::TransferId.is_in(rows.iter().map(|row| row.id)))
        .all(conn)
        .await?;
    let mut changes: HashMap<Uuid, (i64, i64)> = HashMap::new();
    for entry in entries {
        let (available, held) = changes.entry(entry.transfer_id).or_default();
        // A transfer is of one payer, and so are its grants.
        if entry.account.starts_with("grant:") {
            *available += entry.amount;
        } else if entry.account.starts_with("held:") {
            *held += entry.amount;
        }
    }
    let movement = |row: transfer::Model| {
        let (available, held) = changes.get(&row.id).copied().unwrap_or_default();
        movement(row, available, held)
    };
    rows.into_iter().map(movement).collect()
}

fn movement(row: transfer::Model, available: i64, held: i64) -> Result<Movement, Error> {
    let kind = TransferKind::from_code(row.kind);
    let kind = kind.ok_or_else(|| Error::Broken(format!("no kind of transfer is {}", row.kind)))?;
    Ok(Movement {
        id: row.id,
        seq: row.seq,
        kind,
        available,
        held,
        create_time: row.create_time,
        job: row.job_id,
        user: row.user_id,
        note: row.note,
    })
}

/// Writes transfers that are not there yet, and answers how many these are.
async fn write(tx: &DatabaseTransaction, transfers: &[Transfer], now: Time) -> Result<u64, Error> {
    if let Some(transfer) = transfers.iter().find(|transfer| !transfer.is_balanced()) {
        let key = &transfer.key;
        return Err(Error::Broken(format!(
            "the transfer `{key}` does not balance"
        )));
    }
    let rows = transfers.iter().map(|transfer| transfer::ActiveModel {
        id: Set(Transfer::id_of(&transfer.key)),
        key: Set(transfer.key.clone()),
        body_hash: Set(Transfer::hash_of(&transfer.body)),
        kind: Set(transfer.kind.code()),
        payer: Set(transfer.payer.to_string()),
        job_id: Set(transfer.job),
        user_id: Set(transfer.user),
        note: Set(transfer.note.clone()),
        create_time: Set(now),
        seq: Set(Uuid::now_v7()),
    });
    let there = OnConflict::column(transfer::Column::Id)
        .do_nothing()
        .to_owned();
    let insert = transfer::Entity::insert_many(rows).on_conflict(there);
    Ok(insert.exec_without_returning(tx).await?)
}

async fn write_entries(tx: &DatabaseTransaction, transfers: &[Transfer]) -> Result<(), Error> {
    let mut rows = Vec::new();
    for transfer in transfers {
        for (line, it) in transfer.entries.iter().enumerate() {
            let too_long = |_| Error::Broken("a transfer has too many entries".to_owned());
            rows.push(entry::ActiveModel {
                transfer_id: Set(Transfer::id_of(&transfer.key)),
                line: Set(i16::try_from(line).map_err(too_long)?),
                account: Set(it.account.to_string()),
                amount: Set(it.amount),
            });
        }
    }
    for some in rows.chunks(ROWS_AT_ONCE) {
        entry::Entity::insert_many(some.to_vec())
            .exec_without_returning(tx)
            .await?;
    }
    move_balances(tx, transfers).await
}

/// A statement has a bounded number of parameters.
const ROWS_AT_ONCE: usize = 5_000;

/// Changes what is kept beside the ledger by the same amounts.
async fn move_balances(tx: &DatabaseTransaction, transfers: &[Transfer]) -> Result<(), Error> {
    let mut gained: BTreeMap<Account, i64> = BTreeMap::new();
    let entries = transfers.iter().flat_map(|transfer| &transfer.entries);
    for entry in entries {
        let sum = gained.entry(entry.account).or_default();
        let too_large = || Error::Broken("a transfer is too large".to_owned());
        *sum = sum.checked_add(entry.amount).ok_or_else(too_large)?;
    }
    let mut payers: BTreeMap<Payer, (i64, i64)> = BTreeMap::new();
    for (account, amount) in gained {
        match account {
            Account::Grant(_) | Account::Held(_) | Account::Debt(_) if amount == 0 => {}
            Account::Grant(id) => grants::add(tx, id, amount).await?,
            Account::Held(payer) => payers.entry(payer).or_default().0 = amount,
            // The account is negative while something is owed; the row says how much.
            Account::Debt(payer) => payers.entry(payer).or_default().1 = -amount,
            Account::System(_) => {}
        }
    }
    for (payer, (held, debt)) in payers {
        payers::add(tx, &payer, held, debt).await?;
    }
    Ok(())
}
