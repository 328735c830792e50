//! Taking back what was redeemed, as far as it is left.

use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use crate::app::App;
use crate::app::vouchers::source_of;
use crate::domain::Time;
use crate::domain::credits::Credits;
use crate::domain::grant::GrantOrigin;
use crate::domain::payer::Payer;
use crate::error::Error;
use crate::store::entity::vouchers::redemption;
use crate::store::redemptions::{self, Of};
use crate::store::{audit, entitlements, grants, payers, plans};

/// Redemptions that are read at a time.
const PAGE: u64 = 100;

impl App {
    /// Takes back what is left of all redemptions `of` something that nobody can redeem any longer, and ends access and
    /// plans that came with them; each in a transaction of its own, so that no payer waits for others. Answers the credits.
    /// What was taken back stays so when it breaks off; the next call goes on.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(super) async fn claw_back(
        &self,
        operator: Uuid,
        of: &Of,
        target: &str,
    ) -> Result<u64, Error> {
        let mut credits = 0;
        let mut after = None;
        loop {
            let reader = self.store.reader();
            let page = redemptions::standing(reader, of, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(credits);
            };
            after = Some(last.id);
            for redemption in &page {
                credits += self.claw_one_back(operator, redemption, target).await?;
            }
        }
    }

    async fn claw_one_back(
        &self,
        operator: Uuid,
        redemption: &redemption::Model,
        target: &str,
    ) -> Result<u64, Error> {
        let now = self.now();
        let payer = payer_of(&redemption.payer)?;
        let tx = self.store.begin().await?;
        payers::lock(&tx, &payer, now).await?;
        // Somebody else may be at it, too: of the two, one takes it back.
        if !redemptions::claw_back(&tx, redemption.id, now).await? {
            return Ok(0);
        }
        let credits = take_back(&tx, &payer, redemption, now).await?;
        let (id, actor) = (redemption.id, operator.to_string());
        let result = format!("{}: {credits} credits of redemption {id}", audit::DONE);
        audit::audit(&tx, &actor, "voucher.claw_back", target, &result, now).await?;
        tx.commit().await?;
        Ok(credits.into())
    }
}

/// The payer is locked, and the redemption marked.
async fn take_back(
    tx: &DatabaseTransaction,
    payer: &Payer,
    redemption: &redemption::Model,
    now: Time,
) -> Result<Credits, Error> {
    let source = source_of(redemption.id);
    let mut credits = Credits::ZERO;
    if let Some(grant) = redemption.grant_id {
        credits = grants::take_back(tx, grant, &format!("claw-back:{source}"), now).await?;
    }
    if redemption.access {
        entitlements::end(tx, &source, now).await?;
    }
    if !redemption.plan.is_empty() && plans::end(tx, &source).await? > 0 {
        credits = credits.saturating_add(take_allowance_back(tx, payer, redemption, now).await?);
    }
    redemptions::set_clawed_back(tx, redemption.id, credits.get()).await?;
    Ok(credits)
}

/// Takes back what is left of the allowances that the payer got by the plan since it was redeemed.
async fn take_allowance_back(
    tx: &DatabaseTransaction,
    payer: &Payer,
    redemption: &redemption::Model,
    now: Time,
) -> Result<Credits, Error> {
    let mut credits = Credits::ZERO;
    for grant in grants::spendable(tx, payer, now).await? {
        let is_of_plan = grant.origin == GrantOrigin::Plan && grant.note == redemption.plan;
        if is_of_plan && grant.create_time >= redemption.create_time {
            let key = format!("claw-back:{}", grant.id);
            let taken = grants::take_back(tx, grant.id, &key, now).await?;
            credits = credits.saturating_add(taken);
        }
    }
    Ok(credits)
}

fn payer_of(key: &str) -> Result<Payer, Error> {
    key.parse()
        .map_err(|_| Error::Broken(format!("`{key}` is no payer")))
}
