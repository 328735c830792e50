//! The ledger under everything at once: in an order that nobody has thought of, repeated, and by several callers.

use std::sync::Arc;

use chrono::TimeDelta;
use kinora_store::on_both_databases;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use super::refund::RefundOrder;
use super::testing::{TestApp, amount, frames, id_of, member, user};
use super::{Adjustment, App};
use crate::domain::caller::Caller;
use crate::domain::cap::SpendCap;
use crate::domain::work::JobWork;
use crate::error::Error;

const SEEDS: u64 = 4;
const STEPS: usize = 120;
const CALLERS: usize = 6;

/// Something that is done to the ledger. Doing it twice is doing it once.
#[derive(Clone, Debug)]
enum Step {
    Adjust(Adjustment),
    Hold(Caller, Vec<JobWork>),
    Capture(Uuid, u64, Option<i64>),
    Release(Uuid),
    Refund(RefundOrder),
    Renew(Vec<Uuid>),
    Plan(Caller, &'static str),
    Cap(Caller, SpendCap),
    Look(Caller),
    Lapse,
    Expire,
    Later(i64),
}

impl Step {
    /// Something or other to one of these callers, or to one of these jobs.
    fn draw(random: &mut StdRng, callers: &[Caller], jobs: &[Uuid]) -> Self {
        let caller = *callers.choose(random).expect("callers");
        let job = jobs.choose(random).copied().unwrap_or_default();
        let id = || Uuid::now_v7().to_string();
        match random.random_range(0..20) {
            0..3 => Self::Adjust(Adjustment {
                request_id: id(),
                payer: caller.payer,
                credits: random.random_range(-1500..4000_i64) | 1,
                note: "a state".to_owned(),
                expire_time: None,
            }),
            3..8 => {
                let number = random.random_range(1..4);
                let jobs = (0..number).map(|_| JobWork {
                    job: Uuid::now_v7(),
                    work: frames(random.random_range(1..40)),
                    preview: random.random_bool(0.3).then(|| frames(4)),
                });
                Self::Hold(caller, jobs.collect())
            }
            8..11 => {
                let credits = random.random_bool(0.5).then(|| random.random_range(1..900));
                Self::Capture(job, random.random_range(1..3), credits)
            }
            11..13 => Self::Release(job),
            13..15 => Self::Refund(RefundOrder {
                request_id: id(),
                job,
                credits: random
                    .random_bool(0.7)
                    .then(|| amount(random.random_range(1..400))),
                note: "a state".to_owned(),
            }),
            15 => Self::Renew(jobs.iter().rev().take(3).copied().collect()),
            16 => Self::Plan(
                caller,
                ["none", "free", "creator"][random.random_range(0..3)],
            ),
            17 => Self::Cap(
                caller,
                SpendCap {
                    hard: random
                        .random_bool(0.5)
                        .then(|| amount(random.random_range(2000..90_000))),
                    soft: None,
                },
            ),
            18 => Self::Look(caller),
            _ => [
                Self::Lapse,
                Self::Expire,
                Self::Later(random.random_range(1..200)),
            ]
            .choose(random)
            .cloned()
            .expect("three"),
        }
    }

    async fn take(&self, app: &App) -> Result<(), Error> {
        let operator = id_of("op");
        match self {
            Self::Adjust(adjustment) => app.adjust(operator, adjustment).await.map(drop),
            Self::Hold(caller, jobs) => app.hold(caller, jobs.clone()).await.map(drop),
            Self::Capture(job, lease, credits) => app
                .capture(*job, *lease, credits.map(amount))
                .await
                .map(drop),
            Self::Release(job) => app.release(*job).await.map(drop),
            Self::Refund(order) => app.refund(operator, order).await.map(drop),
            Self::Renew(jobs) => app.renew_holds(jobs).await.map(drop),
            Self::Plan(caller, plan) => app.set_plan(operator, &caller.payer, plan).await.map(drop),
            Self::Cap(caller, cap) => app.set_spend_cap(caller, *cap).await,
            Self::Look(caller) => app.balance(&caller.payer, caller.user).await.map(drop),
            Self::Lapse => app.lapse_overdue().await.map(drop),
            Self::Expire => app.expire_grants().await.map(drop),
            Self::Later(_) => Ok(()),
        }
    }
}

/// Takes random steps, some of them twice, some of them again much later, and panics when one fails instead of being done
/// or refused.
async fn run(test: &TestApp, seed: u64, callers: &[Caller], jobs: &Mutex<Vec<Uuid>>) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let mut taken: Vec<Step> = Vec::new();
    let mut done = 0;
    for number in 0..STEPS {
        let step = match taken.choose(&mut random) {
            Some(before) if random.random_bool(0.15) => before.clone(),
            _ => Step::draw(&mut random, callers, &jobs.lock().clone()),
        };
        if let Step::Later(hours) = step {
            test.clock.advance(TimeDelta::hours(hours));
        }
        match step.take(&test.app).await {
            Ok(()) => done += 1,
            Err(Error::Refused(_)) => {}
            Err(error) => panic!("seed {seed}, step {number}, {step:?}: {error:?}"),
        }
        if let Step::Hold(_, of_step) = &step {
            jobs.lock().extend(of_step.iter().map(|job| job.job));
        }
        taken.push(step);
    }
    done
}

fn callers() -> Vec<Caller> {
    vec![user("ada"), user("ben"), member("acme", "ada", true)]
}

on_both_databases! {
    async fn any_order_of_steps_leaves_a_ledger_that_adds_up(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        for seed in 0..SEEDS {
            let jobs = Mutex::new(Vec::new());
            let done = run(&test, seed, &callers(), &jobs).await;
            assert!(done > STEPS / 3, "seed {seed}: most steps did nothing: {done}");
            test.check().await;
        }
    }

    async fn many_callers_at_once_leave_a_ledger_that_adds_up(url: DatabaseUrl) {
        let test = Arc::new(TestApp::on(&url).await);
        let jobs = Arc::new(Mutex::new(Vec::new()));
        let mut running = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let (test, jobs) = (Arc::clone(&test), Arc::clone(&jobs));
            let seed = 1000 + u64::try_from(caller).unwrap();
            running.spawn(async move { run(&test, seed, &callers(), &jobs).await });
        }
        let done: usize = running.join_all().await.into_iter().sum();
        assert!(done > CALLERS * STEPS / 3, "most steps did nothing: {done}");
        test.check().await;
    }
}
