//! Calls that are done together are answered as if each had come after the one before it.
//!
//! Two organisations have the same credits, caps and debts and get the same calls: the one all at once, the other one after
//! the other. Whoever looks at them from outside cannot tell which is which.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use kinora_store::on_both_databases;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use super::Adjustment;
use super::hold::HoldCall;
use super::settle::{How, SettleCall};
use super::testing::{TestApp, amount, frames, id_of, member};
use crate::domain::caller::Caller;
use crate::domain::cap::SpendCap;
use crate::domain::hold::Hold;
use crate::domain::work::JobWork;
use crate::error::Error;

const SEEDS: u64 = 12;

/// Fewer than there are calls, so that some are about the same one.
const JOBS: usize = 8;

/// One of the two organisations.
struct Twin {
    members: Vec<Caller>,
    jobs: Vec<Uuid>,
}

/// A call for holds, as either twin makes it: who of its members, and which of its jobs with how many frames.
type Wish = (usize, Vec<(usize, u32, bool)>);

impl Twin {
    fn new(seed: u64, name: &str) -> Self {
        let organisation = format!("{name}-{seed}");
        let member = |name| member(&organisation, name, true);
        Self {
            members: ["ada", "ben"].map(member).to_vec(),
            jobs: (0..JOBS).map(|_| Uuid::now_v7()).collect(),
        }
    }

    /// Gives it what it begins with.
    async fn set_up(&self, test: &TestApp, random: &mut StdRng) {
        let someone = self.members[0];
        // No two end at the same time: of those it would be chance which is spent first.
        for number in 0..random.random_range(1..4) {
            let days = (number < 2).then_some(1 + 3 * number);
            let credits = random.random_range(300..4000);
            test.give(&someone.payer, credits, days).await;
        }
        let soft = amount(random.random_range(500..6000));
        let hard = soft.saturating_add(amount(random.random_range(0..3000)));
        let cap = SpendCap {
            hard: random.random_bool(0.5).then_some(hard),
            soft: random.random_bool(0.8).then_some(soft),
        };
        test.app.set_spend_cap(&someone, cap).await.unwrap();
    }

    fn hold_call(&self, (who, jobs): &Wish) -> HoldCall {
        let job = |&(job, length, has_preview): &(usize, u32, bool)| JobWork {
            job: self.jobs[job],
            work: frames(length),
            preview: has_preview.then(|| frames(4)),
        };
        HoldCall {
            caller: self.members[*who],
            jobs: jobs.iter().map(job).collect(),
        }
    }

    fn settle_call(&self, &(job, how): &(usize, How)) -> SettleCall {
        let job = self.jobs[job];
        SettleCall { job, how }
    }

    /// An answer without what tells the twins apart.
    fn plain<T: std::fmt::Debug>(&self, answer: Result<T, Error>) -> String {
        let mut text = format!("{answer:?}");
        for (number, job) in self.jobs.iter().enumerate() {
            text = text.replace(&job.to_string(), &format!("job {number}"));
        }
        let payer = self.members[0].payer;
        text.replace(&format!("{payer:?}"), "payer")
    }

    /// What anybody can see of it.
    async fn seen(&self, test: &TestApp) -> String {
        let someone = self.members[0];
        let balance = test.balance(&someone).await;
        let mut alerts = test.app.spend_alerts(&someone).await.unwrap();
        alerts.sort_unstable_by_key(|alert| alert.percent);
        let grants: Vec<i64> = balance
            .grants
            .iter()
            .map(|grant| grant.available.get())
            .collect();
        let sums = (balance.available, balance.held, balance.debt, balance.spent);
        format!("{sums:?} {grants:?} {alerts:?}")
    }
}

fn wishes(random: &mut StdRng) -> Vec<Wish> {
    let mut wish = || {
        let mut jobs = BTreeMap::new();
        for _ in 0..random.random_range(1..4) {
            let length = *[4, 8, 16, 40].choose(random).unwrap();
            jobs.insert(
                random.random_range(0..JOBS),
                (length, random.random_bool(0.2)),
            );
        }
        let jobs = jobs
            .into_iter()
            .map(|(job, (length, preview))| (job, length, preview));
        (random.random_range(0..2), jobs.collect())
    };
    (0..12).map(|_| wish()).collect()
}

fn endings(random: &mut StdRng) -> Vec<(usize, How)> {
    let mut ending = || {
        let capture = How::Capture {
            lease: random.random_range(1..3),
            credits: random
                .random_bool(0.6)
                .then(|| amount(random.random_range(1..1200))),
        };
        let how = if random.random_bool(0.7) {
            capture
        } else {
            How::Release
        };
        (random.random_range(0..JOBS), how)
    };
    (0..16).map(|_| ending()).collect()
}

/// Makes the same calls for holds, and compares the answers.
async fn hold(test: &TestApp, [together, apart]: &[Twin; 2], wishes: &[Wish]) {
    let calls = wishes.iter().map(|wish| Arc::new(together.hold_call(wish)));
    let payer = together.members[0].payer;
    let answers = test
        .app
        .hold_together(payer, calls.collect())
        .await
        .unwrap();
    assert_eq!(answers.len(), wishes.len());
    for (wish, answer) in wishes.iter().zip(answers) {
        let call = apart.hold_call(wish);
        let expected = test.app.hold(&call.caller, call.jobs).await;
        let answer = answer.map(|(holds, _)| holds).map_err(Error::from);
        assert_eq!(
            together.plain(answer),
            apart.plain(expected),
            "{wish:?} of {wishes:?}"
        );
    }
}

/// Makes the same calls that settle, and compares the answers.
async fn settle(test: &TestApp, [together, apart]: &[Twin; 2], endings: &[(usize, How)]) {
    let mut answered = Vec::new();
    let mut calls = Vec::new();
    for ending in endings {
        let call = apart.settle_call(ending);
        let expected: Result<Hold, Error> = match call.how {
            How::Capture { lease, credits } => test.app.capture(call.job, lease, credits).await,
            How::Release => test
                .app
                .release(call.job)
                .await
                .map(|hold| hold.expect("it has one")),
        };
        answered.push(apart.plain(expected));
        calls.push(Arc::new(together.settle_call(ending)));
    }
    let payer = together.members[0].payer;
    let answers = test.app.settle_together(payer, calls).await.unwrap();
    assert_eq!(answers.len(), endings.len());
    for ((ending, expected), answer) in endings.iter().zip(answered).zip(answers) {
        let answer = answer.map(|settled| settled.hold).map_err(Error::from);
        assert_eq!(
            together.plain(answer),
            expected,
            "{ending:?} of {endings:?}"
        );
    }
}

/// Those of the jobs that have a hold.
async fn held(test: &TestApp, twin: &Twin) -> Vec<usize> {
    let found = crate::store::holds::find_many(test.app.store.reader(), twin.jobs.iter().copied());
    let found = found.await.unwrap();
    let is_held = |number: &usize| found.iter().any(|hold| hold.job == twin.jobs[*number]);
    (0..JOBS).filter(is_held).collect()
}

/// Lets the same open holds lapse, and takes the same credits away.
async fn trouble(test: &TestApp, twins: &[Twin; 2], random: &mut StdRng) {
    let lapse = random.random_bool(0.5);
    if lapse {
        test.clock.advance(TimeDelta::days(1));
        test.app.lapse_overdue().await.unwrap();
    }
    let credits = random.random_range(-4000..0);
    for twin in twins {
        let taken = Adjustment {
            request_id: Uuid::now_v7().to_string(),
            payer: twin.members[0].payer,
            credits,
            note: "trouble".to_owned(),
            expire_time: None,
        };
        test.app.adjust(id_of("op"), &taken).await.unwrap();
    }
}

on_both_databases! {
    async fn calls_done_together_are_answered_as_one_after_the_other(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let mut settled = 0;
        for seed in 0..SEEDS {
            let twins = ["a", "b"].map(|name| Twin::new(seed, name));
            for twin in &twins {
                twin.set_up(&test, &mut StdRng::seed_from_u64(seed)).await;
            }
            let [together, apart] = &twins;
            let mut random = StdRng::seed_from_u64(1000 + seed);
            hold(&test, &twins, &wishes(&mut random)).await;
            assert_eq!(together.seen(&test).await, apart.seen(&test).await, "seed {seed}");
            if seed % 2 == 0 {
                trouble(&test, &twins, &mut random).await;
            }
            let held = held(&test, together).await;
            let mut endings = endings(&mut random);
            endings.retain(|(job, _)| held.contains(job));
            settled += endings.len();
            settle(&test, &twins, &endings).await;
            assert_eq!(together.seen(&test).await, apart.seen(&test).await, "seed {seed}");
        }
        assert!(settled > 50, "most jobs were never held: {settled}");
        test.check().await;
    }
}
