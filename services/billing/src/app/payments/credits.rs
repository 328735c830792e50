//! The credits of a receipt follow its money: what goes back takes its share of them along, and what comes back brings it.

use chrono::TimeDelta;
use sea_orm::DatabaseTransaction;

use crate::domain::Time;
use crate::domain::burn;
use crate::domain::credits::Credits;
use crate::domain::grant::{Grant, GrantOrigin};
use crate::domain::ledger::{Account, SystemAccount, Transfer, TransferKind};
use crate::domain::payer::Payer;
use crate::domain::receipt::credits_taken;
use crate::error::Error;
use crate::store::entity::payments::receipt;
use crate::store::grants::{self, NewGrant, Reason};
use crate::store::{self, ledger};

/// Credits that come back can be spent for so long at least.
const LEAST_DAYS: i64 = 30;

/// Takes credits of a receipt, or gives them back, until as many are taken as its money says. The payer is locked; the row
/// is changed, and written by the caller.
///
/// # Errors
/// [`Error::Refused`] when credits cannot be given now; [`Error::Database`].
pub(super) async fn agree(
    tx: &DatabaseTransaction,
    payer: &Payer,
    row: &mut receipt::Model,
    now: Time,
) -> Result<(), Error> {
    let went_back = row.refunded.saturating_add(row.disputed);
    let wanted = credits_taken(store::credits(row.credits)?, row.paid, went_back);
    let taken = store::credits(row.taken)?;
    if wanted == taken {
        return Ok(());
    }
    let turn = row.turns.checked_add(1);
    row.turns = turn.ok_or_else(|| Error::Broken(format!("{} has too many turns", row.id)))?;
    match wanted.checked_sub(taken) {
        Some(more) => take(tx, payer, row, more, now).await?,
        None => restore(tx, payer, row, taken.saturating_sub(wanted), now).await?,
    }
    row.taken = wanted.get();
    let (receipt, taken) = (&row.id, row.taken);
    tracing::info!(receipt, %payer, taken, "money went back or came again");
    Ok(())
}

/// What is left of the receipt's own grant goes first, then what would be spent first; what is missing is owed. Credits that
/// are held for jobs stay held: when they come back they pay the debt.
async fn take(
    tx: &DatabaseTransaction,
    payer: &Payer,
    row: &receipt::Model,
    credits: Credits,
    now: Time,
) -> Result<(), Error> {
    let own = own_grant(tx, row).await?;
    let mut grants = grants::spendable(tx, payer, now).await?;
    if let Some(own) = own {
        grants.retain(|grant| grant.id != own.id);
        grants.insert(0, own);
    }
    let (parts, missing) = burn::take(&mut grants, credits);
    let why = if row.disputed > 0 {
        "dispute"
    } else {
        "refund"
    };
    let key = format!("reverse:{}:{}", row.id, row.turns);
    let transfer =
        Transfer::new(key, TransferKind::Adjust, *payer).noted(&format!("{why} of {}", row.id));
    let transfer = burn::leaving(transfer, &parts)
        .loses(Account::Debt(*payer), missing)
        .gains(Account::System(SystemAccount::Clearing), credits);
    ledger::post_new(tx, &[transfer], now).await
}

/// Gives credits again, of which a debt is paid first.
async fn restore(
    tx: &DatabaseTransaction,
    payer: &Payer,
    row: &receipt::Model,
    credits: Credits,
    now: Time,
) -> Result<(), Error> {
    let own = own_grant(tx, row).await?;
    let least = now + TimeDelta::days(LEAST_DAYS);
    let expires_at = own.and_then(|grant| grant.expire_time);
    let new = NewGrant {
        key: format!("restore:{}:{}", row.id, row.turns),
        payer: *payer,
        origin: GrantOrigin::Purchase,
        credits,
        expires_at: expires_at.map(|end| end.max(least)),
        note: format!("{} is paid again", row.id),
        user_id: None,
    };
    let reason = Reason {
        kind: TransferKind::Adjust,
        job: None,
        body: new.body(),
    };
    grants::give_for(tx, &new, reason, now).await?;
    Ok(())
}

async fn own_grant(tx: &DatabaseTransaction, row: &receipt::Model) -> Result<Option<Grant>, Error> {
    let found = grants::find_many(tx, row.grant_id.into_iter()).await?;
    Ok(found.into_iter().next())
}

#[cfg(test)]
mod tests;
