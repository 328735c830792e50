//! Setting credits aside for jobs.

use std::collections::HashMap;
use std::time::Instant;

use chrono::TimeDelta;
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use super::in_force::InForce;
use crate::domain::burn::{self, Part};
use crate::domain::caller::Caller;
use crate::domain::cap::{SpendAlert, SpendCap};
use crate::domain::credits::Credits;
use crate::domain::grant::Grant;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::ledger::{Account, Transfer, TransferKind};
use crate::domain::refusal::Refusal;
use crate::domain::standing::{Cost, Standing};
use crate::domain::work::{JobWork, check_jobs};
use crate::error::Error;
use crate::store::payers::PayerRow;
use crate::store::{alerts, grants, holds, ledger, payers, spend};

impl App {
    /// Sets credits aside for jobs, for all or for none, and answers in their order. A job that has a hold for the same work
    /// keeps it, whatever has become of it.
    ///
    /// # Errors
    /// [`Error::Field`]; [`Refusal::HoldConflict`]; [`Refusal::PayerFrozen`], [`Refusal::AccessRequired`],
    /// [`Refusal::InsufficientCredits`], [`Refusal::SpendCapReached`]; [`Error::Database`].
    pub(crate) async fn hold(
        &self,
        caller: &Caller,
        jobs: Vec<JobWork>,
    ) -> Result<Vec<Hold>, Error> {
        check_jobs(&jobs)?;
        let begin = Instant::now();
        match self.hold_checked(caller, &jobs).await {
            Ok((holds, made)) => {
                self.metrics.held(begin.elapsed(), made);
                Ok(holds)
            }
            Err(error) => {
                if let Error::Refused(refusal) = &error {
                    self.metrics.hold_refused(refusal);
                }
                Err(error)
            }
        }
    }

    /// The holds, and how many of them are new.
    async fn hold_checked(
        &self,
        caller: &Caller,
        jobs: &[JobWork],
    ) -> Result<(Vec<Hold>, usize), Error> {
        // What is the same for everybody is read before anybody has to wait.
        let in_force = self.in_force(self.store.reader()).await?;
        let tx = self.store.begin().await?;
        let row = payers::lock(&tx, &caller.payer, in_force.now).await?;
        let all: Vec<&JobWork> = jobs.iter().collect();
        let mut there = earlier(&tx, caller, &all).await?;
        let is_new = |job: &&JobWork| !there.contains_key(&job.job);
        let new: Vec<&JobWork> = all.into_iter().filter(is_new).collect();
        let made = new.len();
        if !new.is_empty() {
            let holds = self.hold_new(&tx, &row, caller, &new, &in_force).await?;
            there.extend(holds.into_iter().map(|hold| (hold.job, hold)));
        }
        tx.commit().await?;
        let holds = jobs.iter().filter_map(|job| there.remove(&job.job));
        Ok((holds.collect(), made))
    }

    async fn hold_new(
        &self,
        tx: &DatabaseTransaction,
        row: &PayerRow,
        caller: &Caller,
        jobs: &[&JobWork],
        in_force: &InForce,
    ) -> Result<Vec<Hold>, Error> {
        let (payer, now) = (caller.payer, in_force.now);
        self.give_allowance(tx, row, in_force).await?;
        let mut grants = grants::spendable(tx, &payer, now).await?;
        let standing = self.standing(tx, row, caller, &grants, in_force).await?;
        let wanted: Vec<_> = jobs.iter().map(|job| job.wanted()).collect();
        let costs = standing.accept(&in_force.book.prices, &wanted);
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.job).collect();
        let costs = costs.map_err(|refusal| refusal.of_jobs(&ids))?;
        let mut made = Vec::with_capacity(jobs.len());
        for (job, cost) in jobs.iter().zip(&costs) {
            let parts = must_take(&mut grants, cost.total)?;
            let hold = self.new_hold(caller, job, *cost, row, in_force)?;
            made.push((hold, parts));
        }
        // In one order for everybody: two payers with the same jobs must not wait for each other in a circle.
        made.sort_unstable_by_key(|(hold, _)| hold.job);
        if !holds::insert_all(tx, &made).await? {
            // Another payer has made a hold for one of these jobs since they were looked for.
            earlier(tx, caller, jobs).await?;
            return Err(Error::Broken("a new hold was there already".to_owned()));
        }
        let transfers: Vec<Transfer> = made.iter().map(set_aside).collect();
        ledger::post_new(tx, &transfers, now).await?;
        let total: Credits = costs.iter().map(|cost| cost.total).sum();
        let window = in_force.window_of(row);
        spend::add(tx, &payer, window.start, total).await?;
        self.alert(tx, row, &standing, total, in_force).await?;
        Ok(made.into_iter().map(|(hold, _)| hold).collect())
    }

    /// All that decides whether jobs are accepted.
    async fn standing(
        &self,
        tx: &DatabaseTransaction,
        row: &PayerRow,
        caller: &Caller,
        grants: &[Grant],
        in_force: &InForce,
    ) -> Result<Standing, Error> {
        let window = in_force.window_of(row);
        // It bounds nothing where there is no bound.
        let spent = if row.cap.is_set() {
            spend::spent(tx, &row.payer, window.start).await?
        } else {
            Credits::ZERO
        };
        let plan = self.plan_of(row, in_force.now);
        let user = Some(caller.user);
        Ok(Standing {
            available: grants.iter().map(|grant| grant.available).sum(),
            spent,
            cap: row.cap,
            is_frozen: row.is_frozen,
            has_access: self.has_access(tx, user, plan, in_force.now).await?,
            reset_time: window.end,
        })
    }

    fn new_hold(
        &self,
        caller: &Caller,
        job: &JobWork,
        cost: Cost,
        row: &PayerRow,
        in_force: &InForce,
    ) -> Result<Hold, Error> {
        let broken = |_| Error::Broken("the lifetime of holds is too long".to_owned());
        let lifetime = TimeDelta::from_std(self.options.hold_lifetime).map_err(broken)?;
        Ok(Hold {
            job: job.job,
            payer: caller.payer,
            user: caller.user,
            work: job.work.clone(),
            credits: cost.total,
            preview_credits: cost.preview,
            price_book: in_force.book.version,
            window: in_force.window_of(row),
            state: HoldState::Open,
            captured: Credits::ZERO,
            refunded: Credits::ZERO,
            lease: None,
            create_time: in_force.now,
            expire_time: in_force.now + lifetime,
            settle_time: None,
        })
    }

    /// Notes the parts of the soft cap that are reached by `more`, and were not reached in this window before.
    async fn alert(
        &self,
        tx: &DatabaseTransaction,
        row: &PayerRow,
        before: &Standing,
        more: Credits,
        in_force: &InForce,
    ) -> Result<(), Error> {
        let SpendCap {
            soft: Some(soft), ..
        } = row.cap
        else {
            return Ok(());
        };
        let spent = before.spent.saturating_add(more);
        let reached = row.cap.reached(spent).map(|percent| SpendAlert {
            percent,
            soft,
            spent,
            create_time: in_force.now,
        });
        let start = in_force.window_of(row).start;
        let new = alerts::insert(tx, &row.payer, start, reached.collect()).await?;
        if new > 0 {
            self.metrics.alerted(new);
            tracing::info!(payer = %row.payer, alerts = new, "a payer reached a part of the soft cap");
        }
        Ok(())
    }
}

/// Holds that jobs have already.
async fn earlier(
    tx: &DatabaseTransaction,
    caller: &Caller,
    jobs: &[&JobWork],
) -> Result<HashMap<Uuid, Hold>, Error> {
    let found = holds::find_many(tx, jobs.iter().map(|job| job.job)).await?;
    let there: HashMap<Uuid, Hold> = found.into_iter().map(|hold| (hold.job, hold)).collect();
    for job in jobs {
        let is_other = |hold: &&Hold| {
            let is_same =
                hold.work == job.work && hold.preview_credits.is_zero() == job.preview.is_none();
            hold.payer != caller.payer || hold.user != caller.user || !is_same
        };
        if there.get(&job.job).filter(is_other).is_some() {
            return Err(Refusal::HoldConflict { job: job.job }.into());
        }
    }
    Ok(there)
}

/// The costs were compared with what there is.
fn must_take(grants: &mut [Grant], cost: Credits) -> Result<Vec<Part>, Error> {
    let (parts, missing) = burn::take(grants, cost);
    if missing.is_zero() {
        return Ok(parts);
    }
    Err(Error::Broken(format!("{missing} credits are missing")))
}

fn set_aside((hold, parts): &(Hold, Vec<Part>)) -> Transfer {
    let key = format!("hold:{}", hold.job);
    let transfer = Transfer::new(key, TransferKind::Hold, hold.payer)
        .of_job(hold.job)
        .by(Some(hold.user));
    burn::leaving(transfer, parts).gains(Account::Held(hold.payer), hold.credits)
}

#[cfg(test)]
mod tests;
