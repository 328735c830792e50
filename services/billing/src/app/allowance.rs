//! What plans give: computed when somebody looks or spends, so that nobody's month waits for a job that runs at midnight.

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use uuid::Uuid;

use super::App;
use super::in_force::InForce;
use crate::domain::Time;
use crate::domain::grant::GrantOrigin;
use crate::domain::plan::Plan;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::grants::NewGrant;
use crate::store::payers::{PayerRow, PlanOfPayer};
use crate::store::{entitlements, grants, payers};

impl App {
    /// The plan that a payer is on.
    pub(super) fn plan_of(&self, row: &PayerRow, now: Time) -> &Plan {
        let plan = row.present_plan(now);
        self.plans.of(plan.map(|plan| plan.name.as_str()))
    }

    /// The allowance of the present window, unless it was noted as given. That of a plan that the payer pays for comes with
    /// the invoices.
    pub(super) fn due_allowance(&self, row: &PayerRow, in_force: &InForce) -> Option<NewGrant> {
        let now = in_force.now;
        if row.present_plan(now).is_some_and(PlanOfPayer::is_paid) {
            return None;
        }
        let (plan, window) = (self.plan_of(row, now), in_force.window_of(row));
        let (payer, name) = (row.payer, &plan.name);
        let key = format!("plan:{payer}:{name}:{}", window.start.timestamp());
        let credits = plan.allowance(payer);
        if credits.is_zero() || row.allowance.as_ref() == Some(&key) {
            return None;
        }
        Some(NewGrant {
            key,
            payer,
            origin: GrantOrigin::Plan,
            credits,
            expires_at: Some(window.end),
            note: name.clone(),
            user_id: None,
        })
    }

    /// Gives a locked payer the allowance of the present window, once.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(super) async fn give_allowance(
        &self,
        tx: &DatabaseTransaction,
        row: &PayerRow,
        in_force: &InForce,
    ) -> Result<(), Error> {
        let Some(new) = self.due_allowance(row, in_force) else {
            return Ok(());
        };
        // Who is put on another plan and back again has had it.
        if !grants::is_given(tx, &new).await? {
            match grants::give(tx, &new, in_force.now).await {
                Ok(_) => {}
                // There is no lack of credits; it comes when some grants are spent.
                Err(Error::Refused(Refusal::TooManyGrants)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        payers::set_allowance(tx, &row.payer, &new.key).await
    }

    /// Whether something lets a person generate, whoever pays.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(super) async fn has_access(
        &self,
        conn: &impl ConnectionTrait,
        user: Option<Uuid>,
        plan: &Plan,
        now: Time,
    ) -> Result<bool, Error> {
        if !self.options.require_access || plan.access {
            return Ok(true);
        }
        match user {
            Some(user) => entitlements::has(conn, user, now).await,
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests;
