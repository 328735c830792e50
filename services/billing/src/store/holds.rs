//! Holds, and the parts of grants that they are made of.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect, Statement, Value,
};
use uuid::Uuid;

use super::entity::ledger::{hold, hold_part};
use super::{credits, payers};
use crate::domain::Time;
use crate::domain::burn::Part;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::payer::Payer;
use crate::domain::usage::day_of;
use crate::domain::window::Window;
use crate::domain::work::{Tier, Work};
use crate::error::Error;

/// Written out, so that both engines see that their indices of such rows serve.
const IS_OPEN: &str = "state = 1";

/// A statement has a bounded number of parameters.
const ROWS_AT_ONCE: usize = 5_000;

/// The columns of a list of rows are called so by both engines.
const UPDATE: &str = "UPDATE holds SET state = change.column2, captured = change.column3, \
     refunded = change.column4, lease = change.column5, settle_time = change.column6, settle_day = change.column7 \
     FROM (VALUES {rows}) AS change WHERE holds.job_id = change.column1";

/// Reads the hold of a job.
///
/// # Errors
/// [`Error::Database`].
pub async fn find(conn: &impl ConnectionTrait, job: Uuid) -> Result<Option<Hold>, Error> {
    let row = hold::Entity::find_by_id(job).one(conn).await?;
    row.map(from_row).transpose()
}

/// Reads the hold of a job and keeps others from changing it until the transaction ends. Its payer is locked before.
///
/// # Errors
/// [`Error::Database`].
pub async fn lock(tx: &DatabaseTransaction, job: Uuid) -> Result<Option<Hold>, Error> {
    let row = hold::Entity::find_by_id(job).lock_exclusive();
    row.one(tx).await?.map(from_row).transpose()
}

/// As [`lock`], of several jobs.
///
/// # Errors
/// [`Error::Database`].
pub async fn lock_many(
    tx: &DatabaseTransaction,
    jobs: impl Iterator<Item = Uuid>,
) -> Result<Vec<Hold>, Error> {
    // In the order in which renewals lock them, so that nobody waits in a circle.
    let rows = hold::Entity::find()
        .filter(hold::Column::JobId.is_in(jobs))
        .order_by_asc(hold::Column::JobId)
        .lock_exclusive();
    rows.all(tx).await?.into_iter().map(from_row).collect()
}

/// Reads the holds of jobs, in no order.
///
/// # Errors
/// [`Error::Database`].
pub async fn find_many(
    conn: &impl ConnectionTrait,
    jobs: impl Iterator<Item = Uuid>,
) -> Result<Vec<Hold>, Error> {
    let rows = hold::Entity::find().filter(hold::Column::JobId.is_in(jobs));
    rows.all(conn).await?.into_iter().map(from_row).collect()
}

/// Adds holds with their parts, and answers whether all of them are new; nothing may be committed when they are not.
///
/// # Errors
/// [`Error::Database`].
pub async fn insert_all(
    tx: &DatabaseTransaction,
    holds: &[(Hold, Vec<Part>)],
) -> Result<bool, Error> {
    let rows: Result<Vec<hold::ActiveModel>, Error> = holds
        .iter()
        .map(|(hold, _)| Ok(to_row(hold)?.into_active_model()))
        .collect();
    let there = OnConflict::column(hold::Column::JobId)
        .do_nothing()
        .to_owned();
    let insert = hold::Entity::insert_many(rows?).on_conflict(there);
    let made = insert.exec_without_returning(tx).await?;
    if usize::try_from(made) != Ok(holds.len()) {
        return Ok(false);
    }
    let mut parts = Vec::new();
    for (hold, of_hold) in holds {
        for (n, part) in of_hold.iter().enumerate() {
            let too_many = |_| Error::Broken("a hold has too many parts".to_owned());
            parts.push(hold_part::ActiveModel {
                job_id: Set(hold.job),
                n: Set(i16::try_from(n).map_err(too_many)?),
                grant_id: Set(part.grant),
                credits: Set(part.credits.get()),
            });
        }
    }
    for some in parts.chunks(ROWS_AT_ONCE) {
        hold_part::Entity::insert_many(some.to_vec())
            .exec_without_returning(tx)
            .await?;
    }
    Ok(true)
}

/// Reads the parts of a hold, in the order in which grants were spent.
///
/// # Errors
/// [`Error::Database`].
pub async fn parts(conn: &impl ConnectionTrait, job: Uuid) -> Result<Vec<Part>, Error> {
    let rows = hold_part::Entity::find()
        .filter(hold_part::Column::JobId.eq(job))
        .order_by_asc(hold_part::Column::N)
        .all(conn)
        .await?;
    let part = |row: hold_part::Model| {
        Ok(Part {
            grant: row.grant_id,
            credits: credits(row.credits)?,
        })
    };
    rows.into_iter().map(part).collect()
}

/// Writes what has become of holds. Their payers must be locked.
///
/// # Errors
/// [`Error::Database`]; [`Error::Broken`] when one is not there.
pub async fn update(
    tx: &DatabaseTransaction,
    holds: impl Iterator<Item = &Hold>,
) -> Result<(), Error> {
    let (mut rows, mut values) = (Vec::new(), Vec::<Value>::new());
    for hold in holds {
        let row = to_row(hold)?;
        let of_row: [Value; 7] = [
            row.job_id.into(),
            row.state.into(),
            row.captured.into(),
            row.refunded.into(),
            row.lease.into(),
            row.settle_time.into(),
            row.settle_day.into(),
        ];
        let first = values.len() + 1;
        values.extend(of_row);
        let numbers: Vec<String> = (first..=values.len()).map(|n| format!("${n}")).collect();
        rows.push(format!("({})", numbers.join(", ")));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let text = UPDATE.replace("{rows}", &rows.join(", "));
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), text, values);
    let changed = tx.execute_raw(statement).await?.rows_affected();
    if usize::try_from(changed) == Ok(rows.len()) {
        return Ok(());
    }
    let (changed, all) = (changed, rows.len());
    Err(Error::Broken(format!("of {all} holds {changed} are there")))
}

/// Puts off the end of those that are open, and answers which ones.
///
/// # Errors
/// [`Error::Database`].
pub async fn renew(
    tx: &DatabaseTransaction,
    jobs: &[Uuid],
    expire_time: Time,
) -> Result<Vec<Uuid>, Error> {
    // Locked in the order of their ids, so that two renewals do not wait for each other in a circle.
    let open: Vec<Uuid> = hold::Entity::find()
        .select_only()
        .column(hold::Column::JobId)
        .filter(hold::Column::JobId.is_in(jobs.iter().copied()))
        .filter(Expr::cust(IS_OPEN))
        .order_by_asc(hold::Column::JobId)
        .lock_exclusive()
        .into_tuple()
        .all(tx)
        .await?;
    hold::Entity::update_many()
        .col_expr(hold::Column::ExpireTime, Expr::value(expire_time))
        .filter(hold::Column::JobId.is_in(open.iter().copied()))
        .filter(hold::Column::ExpireTime.lt(expire_time))
        .exec(tx)
        .await?;
    Ok(open)
}

/// Reads open holds, oldest first, of those after the hold of `after`.
///
/// # Errors
/// [`Error::Database`].
pub async fn open(
    conn: &impl ConnectionTrait,
    made_before: Option<Time>,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Hold>, Error> {
    let mut query = hold::Entity::find().filter(Expr::cust(IS_OPEN));
    if let Some(time) = made_before {
        query = query.filter(hold::Column::CreateTime.lt(time));
    }
    // It may have been settled since; where it stood is still known.
    let last = match after {
        Some(after) => find(conn, after).await?,
        None => None,
    };
    if let Some(last) = last {
        let later = hold::Column::CreateTime.gt(last.create_time);
        let same_time = Condition::all()
            .add(hold::Column::CreateTime.eq(last.create_time))
            .add(hold::Column::JobId.gt(last.job));
        query = query.filter(Condition::any().add(later).add(same_time));
    }
    let rows = query
        .order_by_asc(hold::Column::CreateTime)
        .order_by_asc(hold::Column::JobId)
        .limit(limit);
    rows.all(conn).await?.into_iter().map(from_row).collect()
}

/// Some jobs whose holds have lapsed and are still open, the first to lapse first, with their payers.
///
/// # Errors
/// [`Error::Database`].
pub async fn lapsed(
    conn: &impl ConnectionTrait,
    now: Time,
    limit: u64,
) -> Result<Vec<(Payer, Uuid)>, Error> {
    let rows: Vec<(String, Uuid)> = hold::Entity::find()
        .select_only()
        .columns([hold::Column::Payer, hold::Column::JobId])
        .filter(Expr::cust(IS_OPEN))
        .filter(hold::Column::ExpireTime.lte(now))
        .order_by_asc(hold::Column::ExpireTime)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await?;
    let parsed = rows
        .into_iter()
        .map(|(payer, job)| Ok((payers::parse(&payer)?, job)));
    parsed.collect()
}

fn to_row(hold: &Hold) -> Result<hold::Model, Error> {
    let work = &hold.work;
    Ok(hold::Model {
        job_id: hold.job,
        payer: hold.payer.to_string(),
        user_id: hold.user,
        model: work.model.clone(),
        width: number(work.width)?,
        height: number(work.height)?,
        frames: number(work.frames)?,
        fps: number(work.fps)?,
        steps: number(work.steps)?,
        audio: work.audio,
        tier: work.tier.code(),
        credits: hold.credits.get(),
        preview_credits: hold.preview_credits.get(),
        price_book: number(hold.price_book)?,
        window_start: hold.window.start,
        window_end: hold.window.end,
        state: hold.state.code(),
        captured: hold.captured.get(),
        refunded: hold.refunded.get(),
        lease: hold.lease.map(number).transpose()?,
        create_time: hold.create_time,
        expire_time: hold.expire_time,
        settle_time: hold.settle_time,
        settle_day: hold.settle_time.map(day_of),
    })
}

fn from_row(row: hold::Model) -> Result<Hold, Error> {
    let state = HoldState::from_code(row.state);
    let state = state.ok_or_else(|| Error::Broken(format!("no state is {}", row.state)))?;
    let tier = Tier::from_code(row.tier);
    let tier = tier.ok_or_else(|| Error::Broken(format!("no tier is {}", row.tier)))?;
    Ok(Hold {
        job: row.job_id,
        payer: payers::parse(&row.payer)?,
        user: row.user_id,
        work: Work {
            model: row.model,
            width: number(row.width)?,
            height: number(row.height)?,
            frames: number(row.frames)?,
            fps: number(row.fps)?,
            steps: number(row.steps)?,
            audio: row.audio,
            tier,
        },
        credits: credits(row.credits)?,
        preview_credits: credits(row.preview_credits)?,
        price_book: number(row.price_book)?,
        window: Window {
            start: row.window_start,
            end: row.window_end,
        },
        state,
        captured: credits(row.captured)?,
        refunded: credits(row.refunded)?,
        lease: row.lease.map(number).transpose()?,
        create_time: row.create_time,
        expire_time: row.expire_time,
        settle_time: row.settle_time,
    })
}

/// The ranges were checked when the hold was made.
fn number<A, B: TryFrom<A>>(value: A) -> Result<B, Error> {
    B::try_from(value)
        .map_err(|_| Error::Broken("a number of a hold is out of its range".to_owned()))
}
