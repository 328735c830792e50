use std::sync::Arc;

use chrono::TimeDelta;
use kinora_store::{Database, DatabaseUrl};
use kinora_testkit::postgres::TestPostgres;
use sea_orm::ConnectionTrait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::app::testing::NoObjects;
use crate::clock::{Clock, SystemClock};
use crate::config::SchedulerOptions;
use crate::domain::job::{State, VideoSpec};
use crate::policy::Assignment;
use crate::store::{Attachment, JobStore, Limits};

/// A clock that has not seen yet that the database's was set back by an hour.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Time {
        SystemClock.now() + TimeDelta::hours(1)
    }
}

async fn open(url: &DatabaseUrl) -> (App, Database) {
    open_by(url, Arc::new(SystemClock)).await
}

async fn open_by(url: &DatabaseUrl, clock: Arc<dyn Clock>) -> (App, Database) {
    let db = Database::connect(url).await.expect("opens");
    kinora_migrations::scheduler::migrate(db.writer())
        .await
        .expect("migrates");
    let app = App::new(
        JobStore::new(db),
        SchedulerOptions::new(url.clone()),
        Arc::new(NoObjects),
        clock,
        CancellationToken::new(),
    );
    (app, Database::connect(url).await.expect("opens"))
}

fn job(now: Time) -> Job {
    let spec = VideoSpec {
        model: "tiny".to_owned(),
        prompt: "a ball".to_owned(),
        negative_prompt: String::new(),
        width: 64,
        height: 64,
        frames: 5,
        steps: 100,
        guidance: 1.0,
        seed: 7,
        fps: 8,
        image: None,
        last_image: None,
    };
    Job::queued(JobId::generate(), "anna".to_owned(), spec, now)
}

/// A job that runs on a worker that was last heard an hour ago.
async fn forsaken(app: &App) -> Job {
    let hour_ago = app.now() - TimeDelta::hours(1);
    let worker = Attachment {
        worker: "w".to_owned(),
        session: Uuid::now_v7(),
        slots: 1,
        ..Attachment::default()
    };
    let lose = |_: &mut Job| (None, Vec::new());
    let attached = app.store.attach(&worker, hour_ago, hour_ago, lose).await;
    assert!(attached.expect("answers").is_some());
    let job = job(hour_ago);
    let (jobs, limits) = (std::slice::from_ref(&job), Limits::default());
    let submitted = app.store.submit(jobs, None, None, &limits, &[]);
    submitted.await.expect("submits");
    let assignment = Assignment {
        job: job.id,
        owner: job.owner,
        tenant: job.tenant,
        worker: worker.worker,
        session: worker.session,
    };
    let limit = Duration::from_secs(24 * 3600);
    let claimed = app.store.claim(&[assignment], hour_ago, limit).await;
    claimed.expect("claims").remove(0).0
}

async fn state(app: &App, job: &Job) -> State {
    let found = app.store.find(job.id).await.expect("reads");
    found.expect("the job").state
}

kinora_store::on_both_databases! {
    async fn reaper_takes_from_the_silent_once_it_has_listened_for_long_enough(url: DatabaseUrl) {
        let (app, _db) = open(&url).await;
        let job = forsaken(&app).await;
        app.reap(Duration::ZERO).await.expect("looks");
        assert_eq!(state(&app, &job).await, State::Running);
        app.reap(app.options.worker_ttl).await.expect("reaps");
        assert_eq!(state(&app, &job).await, State::Queued);
    }

    // As with a full disk: reads go on, and heartbeats are lost.
    async fn reaper_that_cannot_write_fails_and_takes_nothing(url: DatabaseUrl) {
        let (app, db) = open(&url).await;
        let job = forsaken(&app).await;
        db.writer().execute_unprepared("DROP TABLE duty").await.expect("drops");
        app.reap(Duration::MAX).await.expect_err("cannot write");
        assert_eq!(state(&app, &job).await, State::Running);
    }

    async fn reaper_fails_when_it_cannot_take_an_attempt_away(url: DatabaseUrl) {
        let (app, db) = open(&url).await;
        let job = forsaken(&app).await;
        db.writer().execute_unprepared("DROP TABLE attempt").await.expect("drops");
        app.reap(Duration::MAX).await.expect_err("cannot write");
        assert_eq!(state(&app, &job).await, State::Running);
    }
}

#[tokio::test]
async fn nobody_is_silent_by_a_clock_that_has_stepped() {
    let url = TestPostgres::of_this_run().create_database().await;
    let url = url.parse().expect("a URL");
    let (app, _db) = open_by(&url, Arc::new(Ahead)).await;
    let job = forsaken(&app).await;
    app.reap(Duration::MAX).await.expect("looks");
    assert_eq!(state(&app, &job).await, State::Running);
}

#[test]
fn a_time_is_compared_with_those_before_and_after_it() {
    let now = SystemClock.now();
    let second = TimeDelta::seconds(1);
    assert!(!has_stepped(now + second * 5, now, now + second * 10));
    assert!(!has_stepped(now - second / 2, now, now));
    assert!(has_stepped(now - second * 2, now, now));
    assert!(has_stepped(now + second * 12, now, now + second * 10));
}

#[test]
fn backoff_doubles_up_to_ten_minutes() {
    assert_eq!(backoff(0), Duration::from_secs(1));
    assert_eq!(backoff(3), Duration::from_secs(8));
    assert_eq!(backoff(u32::MAX), LONGEST_BACKOFF);
}
