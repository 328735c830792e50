//! Setting credits aside for jobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use chrono::TimeDelta;
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::App;
use super::in_force::InForce;
use super::together::told;
use crate::domain::Time;
use crate::domain::burn::{self, Part};
use crate::domain::caller::Caller;
use crate::domain::cap::SpendAlert;
use crate::domain::credits::Credits;
use crate::domain::grant::Grant;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::ledger::{Account, Transfer, TransferKind};
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::domain::standing::{Cost, Standing};
use crate::domain::work::{JobWork, check_jobs};
use crate::error::Error;
use crate::store::payers::PayerRow;
use crate::store::{alerts, grants, holds, ledger, payers, spend};

/// A call for holds.
#[derive(Debug)]
pub(super) struct HoldCall {
    pub(super) caller: Caller,
    pub(super) jobs: Vec<JobWork>,
}

/// The holds of a call, and how many of them are new.
pub(super) type Held = Result<(Vec<Hold>, usize), Refusal>;

/// What calls of one payer are decided by, and what has been decided so far.
struct Round {
    row: PayerRow,
    in_force: InForce,
    /// Holds of the jobs, also those that are made in this round.
    there: HashMap<Uuid, Hold>,
    /// Read for the first job that has no hold.
    purse: Option<Purse>,
    made: Vec<(Hold, Vec<Part>)>,
    alerts: Vec<SpendAlert>,
}

/// What a payer can spend, has spent where a cap counts it, and which of its people may spend.
struct Purse {
    grants: Vec<Grant>,
    spent: Credits,
    access: HashMap<Uuid, bool>,
}

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
        let (payer, weight) = (caller.payer, jobs.len());
        let call = HoldCall {
            caller: *caller,
            jobs,
        };
        let work = |calls| self.hold_together(payer, calls);
        match self.hold_line.call(payer, call, weight, work).await? {
            Ok((holds, made)) => {
                self.metrics.held(begin.elapsed(), made);
                Ok(holds)
            }
            Err(refusal) => {
                self.metrics.hold_refused(&refusal);
                Err(refusal.into())
            }
        }
    }

    /// Does calls of one payer in one transaction, as if each had come after the one before it.
    pub(super) async fn hold_together(
        &self,
        payer: Payer,
        calls: Vec<Arc<HoldCall>>,
    ) -> Result<Vec<Held>, Error> {
        // Each further time at least one more of the calls is about a job that turned out to be another payer's.
        for _ in 0..=calls.len() {
            if let Some(answers) = self.try_hold(&payer, &calls).await? {
                return Ok(answers);
            }
        }
        Err(Error::Broken("a new hold was there already".to_owned()))
    }

    /// None when another payer made a hold for one of the jobs at the same time: nothing was done.
    async fn try_hold(
        &self,
        payer: &Payer,
        calls: &[Arc<HoldCall>],
    ) -> Result<Option<Vec<Held>>, Error> {
        let tx = self.store.begin().await?;
        let in_force = self.in_force(&tx).await?;
        let row = payers::lock(&tx, payer, in_force.now).await?;
        let jobs = calls.iter().flat_map(|call| &call.jobs);
        let there = holds::find_many(&tx, jobs.map(|job| job.job)).await?;
        let mut round = Round::new(row, in_force, there);
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.push(told(self.hold_next(&tx, &mut round, call).await)?);
        }
        if round.made.is_empty() {
            return Ok(Some(answers));
        }
        if !self.write_holds(&tx, round).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(answers))
    }

    /// Decides one call after those before it: the holds, and how many of them are new.
    async fn hold_next(
        &self,
        tx: &DatabaseTransaction,
        round: &mut Round,
        call: &HoldCall,
    ) -> Result<(Vec<Hold>, usize), Error> {
        let new = round.without_hold(call)?;
        if !new.is_empty() {
            self.hold_new(tx, round, &call.caller, &new).await?;
        }
        let holds = call.jobs.iter().map(|job| round.there.get(&job.job));
        Ok((holds.flatten().cloned().collect(), new.len()))
    }

    async fn hold_new(
        &self,
        tx: &DatabaseTransaction,
        round: &mut Round,
        caller: &Caller,
        jobs: &[&JobWork],
    ) -> Result<(), Error> {
        let mut purse = match round.purse.take() {
            Some(purse) => purse,
            None => self.open_purse(tx, round).await?,
        };
        let standing = self.standing(tx, round, &mut purse, caller).await?;
        let held = self.take(round, &mut purse, &standing, caller, jobs);
        round.purse = Some(purse);
        held
    }

    /// Reads what the payer can spend, with the allowance of the present window in it.
    async fn open_purse(&self, tx: &DatabaseTransaction, round: &Round) -> Result<Purse, Error> {
        let (row, in_force) = (&round.row, &round.in_force);
        self.give_allowance(tx, row, in_force).await?;
        let grants = grants::spendable(tx, &row.payer, in_force.now).await?;
        // It bounds nothing where there is no bound.
        let spent = if row.cap.is_set() {
            let window = in_force.window_of(row);
            spend::spent(tx, &row.payer, window.start).await?
        } else {
            Credits::ZERO
        };
        Ok(Purse {
            grants,
            spent,
            access: HashMap::new(),
        })
    }

    /// All that decides whether jobs are accepted.
    async fn standing(
        &self,
        tx: &DatabaseTransaction,
        round: &Round,
        purse: &mut Purse,
        caller: &Caller,
    ) -> Result<Standing, Error> {
        let (row, now, user) = (&round.row, round.in_force.now, caller.user);
        let has_access = match purse.access.get(&user) {
            Some(&known) => known,
            None => {
                let plan = self.plan_of(row, now);
                let found = self.has_access(tx, Some(user), plan, now).await?;
                purse.access.insert(user, found);
                found
            }
        };
        Ok(Standing {
            available: purse.grants.iter().map(|grant| grant.available).sum(),
            spent: purse.spent,
            cap: row.cap,
            is_frozen: row.is_stopped(),
            has_access,
            reset_time: round.in_force.window_of(row).end,
        })
    }

    /// Takes what jobs cost, for all or for none.
    fn take(
        &self,
        round: &mut Round,
        purse: &mut Purse,
        standing: &Standing,
        caller: &Caller,
        jobs: &[&JobWork],
    ) -> Result<(), Error> {
        let wanted: Vec<_> = jobs.iter().map(|job| job.wanted()).collect();
        let costs = standing.accept(&round.in_force.book.prices, &wanted);
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.job).collect();
        let costs = costs.map_err(|refusal| refusal.of_jobs(&ids))?;
        for (job, cost) in jobs.iter().zip(&costs) {
            let parts = must_take(&mut purse.grants, cost.total)?;
            let hold = self.new_hold(caller, job, *cost, &round.row, &round.in_force)?;
            round.there.insert(hold.job, hold.clone());
            round.made.push((hold, parts));
        }
        let total: Credits = costs.iter().map(|cost| cost.total).sum();
        purse.spent = purse.spent.saturating_add(total);
        round.reach(purse.spent);
        Ok(())
    }

    /// Writes what was decided. False when another payer made a hold for one of the jobs at the same time; nothing may be
    /// committed then.
    async fn write_holds(&self, tx: &DatabaseTransaction, round: Round) -> Result<bool, Error> {
        let (payer, now) = (round.row.payer, round.in_force.now);
        let start = round.in_force.window_of(&round.row).start;
        let mut made = round.made;
        // In one order for everybody: two payers with the same jobs must not wait for each other in a circle.
        made.sort_unstable_by_key(|(hold, _)| hold.job);
        if !holds::insert_all(tx, &made).await? {
            return Ok(false);
        }
        let transfers: Vec<Transfer> = made.iter().map(set_aside).collect();
        ledger::post_new(tx, &transfers, now).await?;
        let total: Credits = made.iter().map(|(hold, _)| hold.credits).sum();
        spend::add(tx, &payer, start, total).await?;
        self.alert(tx, &payer, start, round.alerts).await?;
        Ok(true)
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

    /// Notes the parts of the soft cap that are reached and were not reached in this window before.
    async fn alert(
        &self,
        tx: &DatabaseTransaction,
        payer: &Payer,
        window_start: Time,
        reached: Vec<SpendAlert>,
    ) -> Result<(), Error> {
        let new = alerts::insert(tx, payer, window_start, reached).await?;
        if new > 0 {
            self.metrics.alerted(new);
            tracing::info!(%payer, alerts = new, "a payer reached a part of the soft cap");
        }
        Ok(())
    }
}

impl Round {
    fn new(row: PayerRow, in_force: InForce, there: Vec<Hold>) -> Self {
        Self {
            row,
            in_force,
            there: there.into_iter().map(|hold| (hold.job, hold)).collect(),
            purse: None,
            made: Vec::new(),
            alerts: Vec::new(),
        }
    }

    /// The jobs of a call that have no hold yet.
    fn without_hold<'a>(&self, call: &'a HoldCall) -> Result<Vec<&'a JobWork>, Refusal> {
        let mut new = Vec::new();
        for job in &call.jobs {
            match self.there.get(&job.job) {
                None => new.push(job),
                Some(hold) if call.is_of(hold, job) => {}
                Some(_) => return Err(Refusal::HoldConflict { job: job.job }),
            }
        }
        Ok(new)
    }

    /// Notes which parts of the soft cap are reached once `spent` was.
    fn reach(&mut self, spent: Credits) {
        let Some(soft) = self.row.cap.soft else {
            return;
        };
        for percent in self.row.cap.reached(spent) {
            if self.alerts.iter().all(|alert| alert.percent != percent) {
                self.alerts.push(SpendAlert {
                    percent,
                    soft,
                    spent,
                    create_time: self.in_force.now,
                });
            }
        }
    }
}

impl HoldCall {
    /// Whether a hold is what this call asks for.
    fn is_of(&self, hold: &Hold, job: &JobWork) -> bool {
        let is_same =
            hold.work == job.work && hold.preview_credits.is_zero() == job.preview.is_none();
        hold.payer == self.caller.payer && hold.user == self.caller.user && is_same
    }
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
