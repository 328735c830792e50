use std::sync::atomic::{AtomicU32, Ordering};

use kinora_store::Database;
use kinora_testkit::wait::until;
use sea_orm::ConnectionTrait;

use super::*;
use crate::clock::SystemClock;
use crate::domain::hold::Due;
use crate::domain::job::{Time, VideoSpec};
use crate::store::Limits;

/// Longer than the longest pause.
const SOON: Duration = Duration::from_secs(20);

/// Counts the looks, of which each try takes one.
struct CountingClock(AtomicU32);

impl Clock for CountingClock {
    fn now(&self) -> Time {
        self.0.fetch_add(1, Ordering::Relaxed);
        SystemClock.now()
    }
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

kinora_store::on_both_databases! {
    async fn credits_are_given_back_as_soon_as_the_database_is(url: DatabaseUrl) {
        let db = Database::connect(&url).await.expect("opens");
        kinora_migrations::scheduler::migrate(db.writer()).await.expect("migrates");
        let store = JobStore::new(db.clone());
        let now = SystemClock.now();
        let job = job(now);
        let (jobs, until_then, limits) = (std::slice::from_ref(&job), now + PLANNED_FOR, Limits::default());
        let reserved = store.reserve(jobs, &[job.id], None, &limits, until_then).await;
        assert_eq!(reserved.expect("reserves"), Reservation::Made);

        let rename = "ALTER TABLE settlement RENAME TO gone";
        db.writer().execute_unprepared(rename).await.expect("renames");
        let clock = Arc::new(CountingClock(AtomicU32::new(0)));
        let given_up = tokio::spawn(give_up(store.clone(), clock.clone(), vec![job.id]));
        until("the first try has failed", SOON, || {
            let tries = clock.0.load(Ordering::Relaxed);
            std::future::ready((tries > 1).then_some(()).ok_or(tries))
        })
        .await;
        let rename = "ALTER TABLE gone RENAME TO settlement";
        db.writer().execute_unprepared(rename).await.expect("renames");
        tokio::time::timeout(SOON, given_up).await.expect("in time").expect("ends");
        let due = store.due_settlements(SystemClock.now(), SOON, 10).await.expect("looks");
        let due: Vec<_> = due.into_iter().map(|one| (one.job, one.due)).collect();
        assert_eq!(due, [(job.id, Due::Release)]);
    }
}
