//! Calls that are broken off: by a caller who goes away, or with the process.
//!
//! A call waits between every two steps for the database, and can be broken off at each of these points. Whether a
//! statement was still under way or had been answered, and also when the commit was under way: the same call once more
//! brings about what it would have brought about, once.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use chrono::TimeDelta;
use kinora_store::on_both_databases;
use uuid::Uuid;

use super::Adjustment;
use super::hold::HoldCall;
use super::refund::RefundOrder;
use super::settle::{How, SettleCall};
use super::testing::{TestApp, amount, frames, id_of};
use crate::domain::caller::Caller;
use crate::domain::hold::HoldState;
use crate::domain::payer::Payer;
use crate::domain::work::JobWork;

/// No call waits more often.
const MOST_WAITS: usize = 2_000;

/// When, between two steps, a call is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// While the database works.
    Asked,
    /// When it has answered.
    Answered,
}

/// Lets a call wait `waits` times and then drops it. None when it was broken off.
async fn broken_off<F: Future>(call: F, waits: usize, moment: Moment) -> Option<F::Output> {
    let mut call = pin!(call);
    let mut waited = 0;
    poll_fn(|context| {
        if waited == waits {
            return Poll::Ready(None);
        }
        match call.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                waited += 1;
                if waited == waits && moment == Moment::Asked {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                }
            }
        }
    })
    .await
}

/// Breaks a call off at every point there is, each time for somebody new, makes it once more, and verifies what came of it.
pub(super) async fn at_every_point<T>(
    before: impl AsyncFn(Caller) -> T,
    call: impl AsyncFn(&T),
    verify: impl AsyncFn(&T),
) {
    for moment in [Moment::Asked, Moment::Answered] {
        for waits in 1..=MOST_WAITS {
            assert!(waits < MOST_WAITS, "it never ends");
            // What calls Stripe is large.
            let made = Box::pin(before(somebody())).await;
            let output = broken_off(Box::pin(call(&made)), waits, moment).await;
            Box::pin(call(&made)).await;
            Box::pin(verify(&made)).await;
            if output.is_some() {
                break;
            }
        }
    }
}

fn somebody() -> Caller {
    let user = Uuid::now_v7();
    Caller {
        user,
        payer: Payer::User(user),
        may_decide: true,
    }
}

/// A caller, and a job of theirs.
type Scene = (Caller, Uuid);

/// With 5,000 credits in two grants, of which the first ends tomorrow.
async fn rich(test: &TestApp, caller: Caller) -> Scene {
    test.give(&caller.payer, 600, Some(1)).await;
    test.give(&caller.payer, 4400, None).await;
    (caller, Uuid::now_v7())
}

/// With 1,000 of them held.
async fn holding(test: &TestApp, caller: Caller) -> Scene {
    let (caller, job) = rich(test, caller).await;
    hold(test, &(caller, job)).await;
    (caller, job)
}

/// With 1,000 of them captured.
async fn paid(test: &TestApp, caller: Caller) -> Scene {
    let (caller, job) = holding(test, caller).await;
    test.app.capture(job, 1, None).await.unwrap();
    (caller, job)
}

async fn hold(test: &TestApp, (caller, job): &Scene) {
    let jobs = vec![JobWork {
        job: *job,
        work: frames(16),
        preview: None,
    }];
    test.app.hold(caller, jobs).await.unwrap();
}

/// Calls for two jobs, for the first of them again, and for more than there is: done together.
async fn hold_together(test: &TestApp, (caller, jobs): &(Caller, [Uuid; 2])) {
    let call = |job, length| HoldCall {
        caller: *caller,
        jobs: vec![JobWork {
            job,
            work: frames(length),
            preview: None,
        }],
    };
    let [one, other] = *jobs;
    let calls = [
        call(one, 16),
        call(other, 32),
        call(one, 16),
        call(Uuid::now_v7(), 160),
    ];
    let calls = calls.map(Arc::new).to_vec();
    let answers = test.app.hold_together(caller.payer, calls).await.unwrap();
    let held: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(held, [true, true, true, false]);
}

/// One of two jobs is captured, and the other one released: done together.
async fn settle_together(test: &TestApp, (caller, jobs): &(Caller, [Uuid; 2])) {
    let (lease, credits) = (1, Some(amount(300)));
    let hows = [How::Capture { lease, credits }, How::Release];
    let calls = jobs
        .iter()
        .zip(hows)
        .map(|(&job, how)| Arc::new(SettleCall { job, how }));
    let answers = test
        .app
        .settle_together(caller.payer, calls.collect())
        .await;
    assert!(answers.unwrap().iter().all(Result::is_ok));
}

async fn adjust(test: &TestApp, (caller, job): &Scene, credits: i64) {
    let adjustment = Adjustment {
        request_id: job.to_string(),
        payer: caller.payer,
        credits,
        note: "once".to_owned(),
        expire_time: None,
    };
    test.app.adjust(id_of("op"), &adjustment).await.unwrap();
}

on_both_databases! {
    async fn holds_survive_crashes(url: DatabaseUrl) {
        let test = TestApp::with(&url, |options| options.default_plan = "free".to_owned()).await;
        at_every_point(
            async |caller| rich(&test, caller).await,
            async |scene| hold(&test, scene).await,
            async |scene| assert_eq!(test.sums(&scene.0).await, (604_000, 1000, 0)),
        )
        .await;
        test.check().await;
    }

    async fn captures_survive_crashes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        at_every_point(
            async |caller| holding(&test, caller).await,
            async |scene| drop(test.app.capture(scene.1, 1, Some(amount(300))).await.unwrap()),
            async |scene| assert_eq!(test.sums(&scene.0).await, (4700, 0, 0)),
        )
        .await;
        test.check().await;
    }

    async fn what_is_done_together_survives_crashes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let two_jobs = async |caller| {
            let (caller, job) = rich(&test, caller).await;
            (caller, [job, Uuid::now_v7()])
        };
        at_every_point(
            two_jobs,
            async |scene| hold_together(&test, scene).await,
            async |scene| assert_eq!(test.sums(&scene.0).await, (2000, 3000, 0)),
        )
        .await;
        at_every_point(
            async |caller| {
                let scene = two_jobs(caller).await;
                hold_together(&test, &scene).await;
                scene
            },
            async |scene| settle_together(&test, scene).await,
            async |scene| assert_eq!(test.sums(&scene.0).await, (4700, 0, 0)),
        )
        .await;
        test.check().await;
    }

    async fn a_caller_who_goes_away_takes_no_other_along(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        for waits in 1..=MOST_WAITS {
            assert!(waits < MOST_WAITS, "it never ends");
            let scene = rich(&test, somebody()).await;
            let others = [(scene.0, Uuid::now_v7()), (scene.0, Uuid::now_v7())];
            // The first to come does the work, for the others, too.
            let (gone, (), ()) = tokio::join!(
                broken_off(hold(&test, &scene), waits, Moment::Asked),
                hold(&test, &others[0]),
                hold(&test, &others[1]),
            );
            hold(&test, &scene).await;
            assert_eq!(test.sums(&scene.0).await, (2000, 3000, 0));
            let settle = async |scene: &Scene| drop(test.app.capture(scene.1, 1, None).await.unwrap());
            tokio::join!(
                broken_off(settle(&scene), waits, Moment::Asked),
                settle(&others[0]),
                settle(&others[1]),
            );
            settle(&scene).await;
            assert_eq!(test.sums(&scene.0).await, (2000, 0, 0));
            if gone.is_some() {
                break;
            }
        }
        test.check().await;
    }

    async fn releases_survive_crashes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        at_every_point(
            async |caller| holding(&test, caller).await,
            async |scene| drop(test.app.release(scene.1).await.unwrap()),
            async |scene| assert_eq!(test.sums(&scene.0).await, (5000, 0, 0)),
        )
        .await;
        test.check().await;
    }

    async fn lapses_and_late_captures_survive_crashes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        at_every_point(
            async |caller| {
                let scene = holding(&test, caller).await;
                test.clock.advance(TimeDelta::days(1));
                scene
            },
            async |scene| {
                test.app.lapse(&scene.0.payer, scene.1).await.unwrap();
            },
            async |scene| {
                assert_eq!(test.hold_of(scene.1).await.state, HoldState::Expired);
                // 600 were of the grant that has ended meanwhile.
                assert_eq!(test.sums(&scene.0).await, (4400, 0, 0));
            },
        )
        .await;
        at_every_point(
            async |caller| {
                let scene = holding(&test, caller).await;
                test.clock.advance(TimeDelta::days(1));
                test.app.lapse(&scene.0.payer, scene.1).await.unwrap();
                adjust(&test, &(scene.0, Uuid::now_v7()), -4000).await;
                scene
            },
            async |scene| drop(test.app.capture(scene.1, 7, None).await.unwrap()),
            async |scene| {
                assert_eq!(test.hold_of(scene.1).await.lease, Some(7));
                assert_eq!(test.sums(&scene.0).await, (0, 0, 0));
            },
        )
        .await;
        test.check().await;
    }

    async fn refunds_survive_crashes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        at_every_point(
            async |caller| paid(&test, caller).await,
            async |scene| {
                let order = RefundOrder {
                    request_id: scene.1.to_string(),
                    job: scene.1,
                    credits: Some(amount(300)),
                    note: "once".to_owned(),
                };
                let refunded = test.app.refund(id_of("op"), &order).await.unwrap();
                assert_eq!((refunded.credits, refunded.in_all), (amount(300), amount(300)));
            },
            async |scene| assert_eq!(test.sums(&scene.0).await, (4300, 0, 0)),
        )
        .await;
        test.check().await;
    }

    async fn adjustments_survive_crashes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        at_every_point(
            async |caller| rich(&test, caller).await,
            async |scene| adjust(&test, scene, 700).await,
            async |scene| assert_eq!(test.sums(&scene.0).await, (5700, 0, 0)),
        )
        .await;
        test.check().await;
    }

    async fn debts_survive_crashes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        at_every_point(
            async |caller| holding(&test, caller).await,
            async |scene| adjust(&test, scene, -4500).await,
            async |scene| assert_eq!(test.sums(&scene.0).await, (0, 1000, 500)),
        )
        .await;
        test.check().await;
    }

    async fn allowances_and_ends_survive_crashes(url: DatabaseUrl) {
        let test = TestApp::with(&url, |options| options.default_plan = "free".to_owned()).await;
        at_every_point(
            async |caller| caller,
            async |caller| drop(test.app.balance(&caller.payer, caller.user).await.unwrap()),
            async |caller| assert_eq!(test.sums(caller).await, (600_000, 0, 0)),
        )
        .await;
        at_every_point(
            async |caller| {
                let grant = test.give(&caller.payer, 50, Some(1)).await;
                test.clock.advance(TimeDelta::days(1));
                grant
            },
            async |_| {
                test.app.expire_grants().await.unwrap();
            },
            async |grant| assert_eq!(test.account(&format!("grant:{grant}")).await, 0),
        )
        .await;
        test.check().await;
    }
}
