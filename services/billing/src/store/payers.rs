//! Payers. The row is the lock on all of a payer's credits.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, IntoActiveModel,
    QueryFilter, QuerySelect,
};

use super::credits;
use super::entity::payers::payer;
use crate::domain::Time;
use crate::domain::cap::SpendCap;
use crate::domain::credits::Credits;
use crate::domain::payer::Payer;
use crate::error::Error;

/// What is kept of a payer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayerRow {
    /// Who it is.
    pub payer: Payer,
    /// When the payer was first seen; months begin on this day.
    pub create_time: Time,
    /// What is set aside for jobs.
    pub held: Credits,
    /// What is owed.
    pub debt: Credits,
    /// Whether an operator has stopped it.
    pub is_frozen: bool,
    /// Whether a dispute has stopped it.
    pub is_disputed: bool,
    /// Bounds on what is spent in a window.
    pub cap: SpendCap,
    /// The plan that the payer was put on, also when it has ended. None for none.
    pub plan: Option<PlanOfPayer>,
    /// The key of the last allowance that was given.
    pub allowance: Option<String>,
}

/// A plan that a payer was put on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOfPayer {
    /// The plan's name.
    pub name: String,
    /// What put the payer on it.
    pub source: String,
    /// When it ends. None for never.
    pub end_time: Option<Time>,
}

impl PayerRow {
    /// Somebody of whom nothing is kept yet.
    #[must_use]
    pub const fn new(payer: Payer, now: Time) -> Self {
        Self {
            payer,
            create_time: now,
            held: Credits::ZERO,
            debt: Credits::ZERO,
            is_frozen: false,
            is_disputed: false,
            cap: SpendCap {
                hard: None,
                soft: None,
            },
            plan: None,
            allowance: None,
        }
    }

    /// Whether no job is accepted, and nothing can be bought.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.is_frozen || self.is_disputed
    }

    /// The plan that the payer is on. None for the default one.
    #[must_use]
    pub fn present_plan(&self, now: Time) -> Option<&PlanOfPayer> {
        let has_ended = |plan: &&PlanOfPayer| plan.end_time.is_some_and(|end| end <= now);
        self.plan.as_ref().filter(|plan| !has_ended(plan))
    }
}

/// Reads a payer and keeps others from moving its credits until the transaction ends. One that was never seen is made.
///
/// Lock several in the order of their keys.
///
/// # Errors
/// [`Error::Database`], also when another transaction has it for seconds.
pub async fn lock(tx: &DatabaseTransaction, payer: &Payer, now: Time) -> Result<PayerRow, Error> {
    if let Some(row) = lock_if_there(tx, payer).await? {
        return Ok(row);
    }
    let new = payer::Model {
        payer: payer.to_string(),
        create_time: now,
        held: 0,
        debt: 0,
        is_frozen: false,
        is_disputed: false,
        hard_cap: None,
        soft_cap: None,
        plan: None,
        plan_source: None,
        plan_end_time: None,
        allowance: None,
    };
    let there = OnConflict::column(payer::Column::Payer)
        .do_nothing()
        .to_owned();
    payer::Entity::insert(new.into_active_model())
        .on_conflict(there)
        .exec_without_returning(tx)
        .await?;
    let row = lock_if_there(tx, payer).await?;
    row.ok_or_else(|| Error::Broken(format!("the payer {payer} is not there")))
}

/// As [`lock`], of one that was seen before.
///
/// # Errors
/// As [`lock`].
pub async fn lock_if_there(
    tx: &DatabaseTransaction,
    payer: &Payer,
) -> Result<Option<PayerRow>, Error> {
    let row = payer::Entity::find_by_id(payer.to_string()).lock_exclusive();
    row.one(tx).await?.map(from_row).transpose()
}

/// Reads a payer.
///
/// # Errors
/// [`Error::Database`].
pub async fn find(conn: &impl ConnectionTrait, payer: &Payer) -> Result<Option<PayerRow>, Error> {
    let row = payer::Entity::find_by_id(payer.to_string());
    row.one(conn).await?.map(from_row).transpose()
}

/// Payers whose plan has this source, in the order in which they are locked.
///
/// # Errors
/// [`Error::Database`].
pub async fn with_plan_source(
    conn: &impl ConnectionTrait,
    source: &str,
) -> Result<Vec<Payer>, Error> {
    let keys: Vec<String> = payer::Entity::find()
        .select_only()
        .column(payer::Column::Payer)
        .filter(payer::Column::PlanSource.eq(source))
        .into_tuple()
        .all(conn)
        .await?;
    let mut keys = keys;
    // As text, as everybody else does: databases sort by their own rules.
    keys.sort_unstable();
    keys.iter().map(|key| parse(key)).collect()
}

/// Adds to what is kept beside the ledger. Only `ledger` calls it.
pub(super) async fn add(
    tx: &DatabaseTransaction,
    payer: &Payer,
    held: i64,
    debt: i64,
) -> Result<(), Error> {
    let changed = payer::Entity::update_many()
        .col_expr(
            payer::Column::Held,
            Expr::col(payer::Column::Held).add(held),
        )
        .col_expr(
            payer::Column::Debt,
            Expr::col(payer::Column::Debt).add(debt),
        )
        .filter(payer::Column::Payer.eq(payer.to_string()))
        .exec(tx)
        .await?;
    if changed.rows_affected == 1 {
        return Ok(());
    }
    Err(Error::Broken(format!("the payer {payer} is not there")))
}

/// Bounds what a locked payer spends.
///
/// # Errors
/// [`Error::Database`].
pub async fn set_cap(tx: &DatabaseTransaction, payer: &Payer, cap: SpendCap) -> Result<(), Error> {
    let number = |cap: Option<Credits>| cap.map(Credits::get);
    payer::Entity::update_many()
        .col_expr(payer::Column::HardCap, Expr::value(number(cap.hard)))
        .col_expr(payer::Column::SoftCap, Expr::value(number(cap.soft)))
        .filter(payer::Column::Payer.eq(payer.to_string()))
        .exec(tx)
        .await?;
    Ok(())
}

/// Stops a locked payer, or lets go on.
///
/// # Errors
/// [`Error::Database`].
pub async fn set_frozen(
    tx: &DatabaseTransaction,
    payer: &Payer,
    is_frozen: bool,
) -> Result<(), Error> {
    payer::Entity::update_many()
        .col_expr(payer::Column::IsFrozen, Expr::value(is_frozen))
        .filter(payer::Column::Payer.eq(payer.to_string()))
        .exec(tx)
        .await?;
    Ok(())
}

/// Notes whether a dispute stops a locked payer.
///
/// # Errors
/// [`Error::Database`].
pub async fn set_disputed(
    tx: &DatabaseTransaction,
    payer: &Payer,
    is_disputed: bool,
) -> Result<(), Error> {
    payer::Entity::update_many()
        .col_expr(payer::Column::IsDisputed, Expr::value(is_disputed))
        .filter(payer::Column::Payer.eq(payer.to_string()))
        .exec(tx)
        .await?;
    Ok(())
}

/// Puts a locked payer on a plan, or on the default one.
///
/// # Errors
/// [`Error::Database`].
pub async fn set_plan(
    tx: &DatabaseTransaction,
    payer: &Payer,
    plan: Option<PlanOfPayer>,
) -> Result<(), Error> {
    let (name, source, end_time) = match plan {
        Some(plan) => (Some(plan.name), Some(plan.source), plan.end_time),
        None => (None, None, None),
    };
    payer::Entity::update_many()
        .col_expr(payer::Column::Plan, Expr::value(name))
        .col_expr(payer::Column::PlanSource, Expr::value(source))
        .col_expr(payer::Column::PlanEndTime, Expr::value(end_time))
        .filter(payer::Column::Payer.eq(payer.to_string()))
        .exec(tx)
        .await?;
    Ok(())
}

/// Notes the last allowance of a locked payer.
///
/// # Errors
/// [`Error::Database`].
pub async fn set_allowance(
    tx: &DatabaseTransaction,
    payer: &Payer,
    key: &str,
) -> Result<(), Error> {
    payer::Entity::update_many()
        .col_expr(payer::Column::Allowance, Expr::value(key))
        .filter(payer::Column::Payer.eq(payer.to_string()))
        .exec(tx)
        .await?;
    Ok(())
}

fn from_row(row: payer::Model) -> Result<PayerRow, Error> {
    let plan = row.plan.zip(row.plan_source);
    Ok(PayerRow {
        payer: parse(&row.payer)?,
        create_time: row.create_time,
        held: credits(row.held)?,
        debt: credits(row.debt)?,
        is_frozen: row.is_frozen,
        is_disputed: row.is_disputed,
        cap: SpendCap {
            hard: row.hard_cap.map(credits).transpose()?,
            soft: row.soft_cap.map(credits).transpose()?,
        },
        plan: plan.map(|(name, source)| PlanOfPayer {
            name,
            source,
            end_time: row.plan_end_time,
        }),
        allowance: row.allowance,
    })
}

/// Reads the key of a payer.
pub(super) fn parse(key: &str) -> Result<Payer, Error> {
    key.parse()
        .map_err(|_| Error::Broken(format!("`{key}` is no payer")))
}
