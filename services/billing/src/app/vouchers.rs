//! Redeeming voucher codes.

use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::credits::Credits;
use crate::domain::grant::GrantOrigin;
use crate::domain::voucher::{Validity, VoucherRefusal};
use crate::domain::voucher_code::VoucherCode;
use crate::domain::voucher_tries::Counted;
use crate::error::Error;
use crate::store::entity::vouchers::{campaign, redemption, voucher};
use crate::store::grants::{self, NewGrant};
use crate::store::{
    audit, campaigns, entitlements, payers, plans, redemptions, voucher_tries, vouchers,
};

/// No more redemptions are listed.
const MAX_LISTED: u64 = 200;

impl App {
    /// Gives the caller what a code is good for, in one transaction: the use of the code, the person's share of the
    /// campaign, credits and plan for who pays, and access for the person. `address` is where the caller comes from, or
    /// empty.
    ///
    /// Where a person can redeem a code once, the same call again answers likewise and gives nothing more.
    ///
    /// # Errors
    /// [`VoucherRefusal`] of every kind that is about redeeming; [`Error::Throttled`] after wrong codes;
    /// [`Error::Database`].
    pub(crate) async fn redeem(
        &self,
        caller: &Caller,
        typed: &str,
        address: &str,
    ) -> Result<redemption::Model, Error> {
        let code: VoucherCode = typed.parse().map_err(|_| VoucherRefusal::Mistyped)?;
        let voucher = self.voucher_of(&code, caller.user, address).await?;
        let now = self.now();
        let tx = self.store.begin().await?;
        // Everybody takes the locks in this order: campaign, payer, the person's share, voucher.
        let campaign = campaigns::lock_shared(&tx, &voucher.campaign).await?;
        let campaign =
            campaign.ok_or_else(|| Error::Broken("a voucher without a campaign".to_owned()))?;
        payers::lock(&tx, &caller.payer, now).await?;
        let share = redemptions::lock_share(&tx, &campaign.name, caller.user).await?;
        let earlier = redemptions::last_of(&tx, voucher.id, caller.user).await?;
        if let Some(earlier) = &earlier
            && is_redeemed_once(&campaign)
        {
            tx.rollback().await?;
            return answer_again(earlier);
        }
        self.must_be_redeemable(&campaign, caller, now)?;
        use_up(&tx, &campaign, &voucher, caller.user, share, now).await?;
        let ordinal = earlier.map_or(1, |earlier| earlier.ordinal + 1);
        let mut made = redemption_of(&campaign, &voucher, caller, ordinal, now);
        made.grant_id = give(&tx, &made, caller, now).await?;
        redemptions::insert(&tx, made.clone()).await?;
        let (actor, result) = (caller.user.to_string(), result_of(&made));
        audit::audit(&tx, &actor, "voucher.redeem", &campaign.name, &result, now).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// The voucher of a code. A wrong code is counted in the transaction that looks for it, while the counters are locked:
    /// however many are tried at once, none is tried beyond the bound.
    async fn voucher_of(
        &self,
        code: &VoucherCode,
        user: Uuid,
        address: &str,
    ) -> Result<voucher::Model, Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let mut counters = Vec::new();
        for counted in Counted::of(user, address) {
            let counter = voucher_tries::lock(&tx, &counted.key, now).await?;
            counters.push((counted, counter));
        }
        let waits = counters
            .iter()
            .filter_map(|(counted, counter)| counter.wait(counted.rule, now));
        if let Some(wait) = waits.max() {
            return Err(Error::Throttled {
                retry_after: wait.to_std().unwrap_or_default(),
            });
        }
        if let Some(voucher) = vouchers::of_code(&tx, self.options.voucher_key.hash(code)).await? {
            // Nothing is kept of a try that was right, and others from there go on.
            tx.rollback().await?;
            return Ok(voucher);
        }
        for (counted, counter) in counters {
            let charged = counter.charge(counted.rule, now);
            voucher_tries::set(&tx, &counted.key, charged, now).await?;
        }
        tx.commit().await?;
        Err(VoucherRefusal::Unknown.into())
    }

    /// Passes when codes of the campaign can be redeemed by the caller at `now`.
    fn must_be_redeemable(
        &self,
        campaign: &campaign::Model,
        caller: &Caller,
        now: Time,
    ) -> Result<(), Error> {
        let validity = Validity {
            start_time: campaign.start_time,
            expire_time: campaign.expire_time,
            grant_expire_time: campaign.grant_expire_time,
            disable_time: campaign.disable_time,
        };
        validity.check(now)?;
        if campaign.plan.is_empty() {
            return Ok(());
        }
        if self.plans.get(&campaign.plan).is_none() {
            return Err(VoucherRefusal::PlanGone.into());
        }
        // It takes the place of the plan that the payer has.
        Ok(caller.must_decide()?)
    }

    /// Lists what a person redeemed, newest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn list_redemptions(
        &self,
        user: Uuid,
    ) -> Result<Vec<redemption::Model>, Error> {
        Ok(redemptions::of_user(self.store.reader(), user, MAX_LISTED).await?)
    }

    /// Forgets counters of wrong codes that begin anew anyway, and answers how many there were.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn sweep_voucher_tries(&self) -> Result<u64, Error> {
        let tx = self.store.begin().await?;
        let removed = voucher_tries::sweep(&tx, self.now()).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

/// Names a redemption where what it gave is kept.
pub(super) fn source_of(redemption: Uuid) -> String {
    format!("voucher:{redemption}")
}

/// Whether one person can redeem a code of it no more than once.
const fn is_redeemed_once(campaign: &campaign::Model) -> bool {
    campaign.per_user == 1 || campaign.max_uses == 1
}

/// The answer to who asks once more.
fn answer_again(earlier: &redemption::Model) -> Result<redemption::Model, Error> {
    if earlier.claw_back_time.is_some() {
        return Err(VoucherRefusal::Disabled.into());
    }
    Ok(earlier.clone())
}

/// Takes one of the person's share of the campaign and one use of the voucher. The share is locked.
async fn use_up(
    tx: &DatabaseTransaction,
    campaign: &campaign::Model,
    voucher: &voucher::Model,
    user: Uuid,
    share: i32,
    now: Time,
) -> Result<(), Error> {
    if share >= campaign.per_user {
        return Err(VoucherRefusal::Limit.into());
    }
    if !vouchers::use_once(tx, voucher.id, now).await? {
        return Err(why_not(vouchers::find(tx, voucher.id).await?).into());
    }
    Ok(redemptions::set_share(tx, &campaign.name, user, share + 1).await?)
}

/// Why a voucher could not be used.
fn why_not(voucher: Option<voucher::Model>) -> VoucherRefusal {
    match voucher {
        Some(voucher) if voucher.disable_time.is_some() => VoucherRefusal::Disabled,
        _ => VoucherRefusal::UsedUp,
    }
}

fn redemption_of(
    campaign: &campaign::Model,
    voucher: &voucher::Model,
    caller: &Caller,
    ordinal: i32,
    now: Time,
) -> redemption::Model {
    redemption::Model {
        id: Uuid::now_v7(),
        voucher_id: voucher.id,
        user_id: caller.user,
        ordinal,
        campaign: campaign.name.clone(),
        hint: voucher.hint.clone(),
        payer: caller.payer.to_string(),
        grant_id: None,
        credits: campaign.credits,
        access: campaign.access,
        plan: campaign.plan.clone(),
        create_time: now,
        expire_time: campaign.grant_expire_time,
        claw_back_time: None,
        clawed_back: 0,
    }
}

/// Gives what a redemption is for, and answers the grant if there is one. The payer is locked.
async fn give(
    tx: &DatabaseTransaction,
    redemption: &redemption::Model,
    caller: &Caller,
    now: Time,
) -> Result<Option<Uuid>, Error> {
    let (source, ends_at) = (source_of(redemption.id), redemption.expire_time);
    if redemption.access {
        entitlements::give(tx, caller.user, &source, ends_at, now).await?;
    }
    if !redemption.plan.is_empty() {
        let plan = &redemption.plan;
        plans::set(tx, &caller.payer, plan, &source, ends_at, now).await?;
    }
    let credits = Credits::try_from(redemption.credits);
    let credits = credits.map_err(|error| Error::Broken(error.to_string()))?;
    if credits.is_zero() {
        return Ok(None);
    }
    let grant = NewGrant {
        key: source,
        payer: caller.payer,
        origin: GrantOrigin::Voucher,
        credits,
        expires_at: ends_at,
        note: redemption.campaign.clone(),
        user_id: Some(caller.user),
    };
    Ok(Some(grants::give(tx, &grant, now).await?))
}

fn result_of(made: &redemption::Model) -> String {
    let (hint, payer) = (&made.hint, &made.payer);
    format!(
        "{}: ..{hint} for {payer}, redemption {}",
        audit::DONE,
        made.id
    )
}

#[cfg(test)]
mod tests;
