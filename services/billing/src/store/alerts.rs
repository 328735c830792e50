//! Parts of soft caps that were reached: each once a window. An alert is told once it is committed.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, LockBehavior, LockType, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::payers::spend_alert;
use super::{credits, payers};
use crate::domain::Time;
use crate::domain::cap::SpendAlert;
use crate::domain::payer::Payer;
use crate::error::Error;

/// Alerts are named in it by payer, window and percent.
const ALERTS: Uuid = Uuid::from_u128(0x6d1f_52c8_0b7e_4f39_9a05_c3d4_81e6_2f7a);

/// An alert that has not been told, with the claim of who tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Whose spending it is.
    pub payer: Payer,
    /// The beginning of the window in which it was spent.
    pub window_start: Time,
    /// What is told.
    pub alert: SpendAlert,
    /// How often it was claimed: 1 for the first time.
    pub attempts: i32,
}

impl Untold {
    /// The same for every try.
    #[must_use]
    pub fn id(&self) -> Uuid {
        let (payer, percent) = (&self.payer, self.alert.percent);
        let start = self.window_start.timestamp_micros();
        Uuid::new_v5(&ALERTS, format!("{payer} {start} {percent}").as_bytes())
    }
}

/// Notes alerts of a window that are not there yet, and answers how many these are. The payer must be locked.
///
/// # Errors
/// [`Error::Database`].
pub async fn insert(
    tx: &DatabaseTransaction,
    payer: &Payer,
    window_start: Time,
    alerts: Vec<SpendAlert>,
) -> Result<u64, Error> {
    if alerts.is_empty() {
        return Ok(0);
    }
    let rows = alerts.into_iter().map(|alert| spend_alert::ActiveModel {
        payer: Set(payer.to_string()),
        window_start: Set(window_start),
        percent: Set(i16::try_from(alert.percent).unwrap_or(i16::MAX)),
        soft_credits: Set(alert.soft.get()),
        spent: Set(alert.spent.get()),
        create_time: Set(alert.create_time),
        told_time: Set(None),
        attempts: Set(0),
        next_attempt_time: Set(Some(alert.create_time)),
    });
    let there = OnConflict::columns([
        spend_alert::Column::Payer,
        spend_alert::Column::WindowStart,
        spend_alert::Column::Percent,
    ])
    .do_nothing()
    .to_owned();
    let insert = spend_alert::Entity::insert_many(rows).on_conflict(there);
    Ok(insert.exec_without_returning(tx).await?)
}

/// Reads a payer's alerts since some time, newest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn newest(
    conn: &impl ConnectionTrait,
    payer: &Payer,
    since: Time,
    limit: u64,
) -> Result<Vec<SpendAlert>, Error> {
    let rows = spend_alert::Entity::find()
        .filter(spend_alert::Column::Payer.eq(payer.to_string()))
        .filter(spend_alert::Column::CreateTime.gte(since))
        .order_by_desc(spend_alert::Column::CreateTime)
        .order_by_desc(spend_alert::Column::Percent)
        .limit(limit)
        .all(conn)
        .await?;
    rows.iter().map(alert_of).collect()
}

/// Whether an alert is to be told now.
///
/// # Errors
/// [`Error::Database`].
pub async fn is_any_due(conn: &impl ConnectionTrait, now: Time) -> Result<bool, Error> {
    let due = spend_alert::Entity::find()
        .select_only()
        .column(spend_alert::Column::Percent)
        .filter(spend_alert::Column::NextAttemptTime.lte(now));
    Ok(due.into_tuple::<i16>().one(conn).await?.is_some())
}

/// Takes the alert that waits longest to be told. Nobody else gets it before `until`; who has died by then has it told by
/// others.
///
/// # Errors
/// [`Error::Database`].
pub async fn claim(
    tx: &DatabaseTransaction,
    now: Time,
    until: Time,
) -> Result<Option<Untold>, Error> {
    let row = spend_alert::Entity::find()
        .filter(spend_alert::Column::NextAttemptTime.lte(now))
        .order_by_asc(spend_alert::Column::NextAttemptTime)
        .order_by_asc(spend_alert::Column::Payer)
        .order_by_asc(spend_alert::Column::Percent)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(tx)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let claimed = Untold {
        payer: payers::parse(&row.payer)?,
        window_start: row.window_start,
        alert: alert_of(&row)?,
        attempts: row.attempts.saturating_add(1),
    };
    spend_alert::Entity::update_many()
        .col_expr(spend_alert::Column::Attempts, Expr::value(claimed.attempts))
        .col_expr(
            spend_alert::Column::NextAttemptTime,
            Expr::value(Some(until)),
        )
        .filter(row_of(&claimed))
        .exec(tx)
        .await?;
    Ok(Some(claimed))
}

/// Notes that an alert was told at `now`.
///
/// # Errors
/// [`Error::Database`].
pub async fn set_told(tx: &DatabaseTransaction, claimed: &Untold, now: Time) -> Result<(), Error> {
    spend_alert::Entity::update_many()
        .col_expr(spend_alert::Column::ToldTime, Expr::value(Some(now)))
        .col_expr(
            spend_alert::Column::NextAttemptTime,
            Expr::value(None::<Time>),
        )
        .filter(row_of(claimed))
        .exec(tx)
        .await?;
    Ok(())
}

/// Lets a claimed alert be tried again at `time`, or never, unless somebody else has claimed or told it since.
///
/// # Errors
/// [`Error::Database`].
pub async fn put_off(
    tx: &DatabaseTransaction,
    claimed: &Untold,
    time: Option<Time>,
) -> Result<(), Error> {
    spend_alert::Entity::update_many()
        .col_expr(spend_alert::Column::NextAttemptTime, Expr::value(time))
        .filter(row_of(claimed))
        .filter(spend_alert::Column::Attempts.eq(claimed.attempts))
        .filter(spend_alert::Column::ToldTime.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

fn row_of(claimed: &Untold) -> Condition {
    let percent = i16::try_from(claimed.alert.percent).unwrap_or(i16::MAX);
    Condition::all()
        .add(spend_alert::Column::Payer.eq(claimed.payer.to_string()))
        .add(spend_alert::Column::WindowStart.eq(claimed.window_start))
        .add(spend_alert::Column::Percent.eq(percent))
}

fn alert_of(row: &spend_alert::Model) -> Result<SpendAlert, Error> {
    Ok(SpendAlert {
        percent: u32::try_from(row.percent).unwrap_or_default(),
        soft: credits(row.soft_credits)?,
        spent: credits(row.spent)?,
        create_time: row.create_time,
    })
}
