//! What delivered clips took, by day, model and person.

use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};
use uuid::Uuid;

use super::credits;
use crate::domain::payer::Payer;
use crate::domain::usage::{Days, UsageLine};
use crate::error::Error;

/// Captured holds stand in their index in just this order.
const LINES: &str = "SELECT settle_day AS day, model, user_id, COUNT(*) AS clips, \
     CAST(SUM(frames * 1.0 / fps) AS DOUBLE PRECISION) AS seconds, \
     CAST(SUM(captured - refunded) AS BIGINT) AS credits FROM holds \
     WHERE payer = $1 AND state = 2 AND settle_day >= $2 AND settle_day <= $3";

#[derive(FromQueryResult)]
struct Row {
    day: String,
    model: String,
    user_id: Uuid,
    clips: i64,
    seconds: f64,
    credits: i64,
}

/// Reads lines of a payer in the order of day, model and person, of those after `after`.
///
/// # Errors
/// [`Error::Database`].
pub async fn lines(
    conn: &impl ConnectionTrait,
    payer: &Payer,
    days: Days,
    after: Option<&UsageLine>,
    limit: u64,
) -> Result<Vec<UsageLine>, Error> {
    let mut values: Vec<Value> = vec![
        payer.to_string().into(),
        days.from.to_string().into(),
        days.to.to_string().into(),
    ];
    let mut text = LINES.to_owned();
    if let Some(after) = after {
        text.push_str(" AND (settle_day, model, user_id) > ($4, $5, $6)");
        values.push(after.day.clone().into());
        values.push(after.model.clone().into());
        values.push(after.user.into());
    }
    text.push_str(" GROUP BY settle_day, model, user_id ORDER BY settle_day, model, user_id");
    text.push_str(&format!(" LIMIT {limit}"));
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), text, values);
    let rows = Row::find_by_statement(statement).all(conn).await?;
    rows.into_iter().map(|row| line(row, *payer)).collect()
}

fn line(row: Row, payer: Payer) -> Result<UsageLine, Error> {
    Ok(UsageLine {
        day: row.day,
        model: row.model,
        user: row.user_id,
        payer,
        clips: u64::try_from(row.clips).unwrap_or_default(),
        seconds: row.seconds,
        credits: credits(row.credits)?,
    })
}
