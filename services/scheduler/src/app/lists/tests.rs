use std::collections::HashSet;
use std::sync::Arc;

use chrono::TimeDelta;
use kinora_store::{Database, DatabaseUrl};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;
use uuid::{NoContext, Timestamp, Uuid};

use super::*;
use crate::app::testing::NoObjects;
use crate::clock::SystemClock;
use crate::config::SchedulerOptions;
use crate::domain::job::{State, Time, VideoSpec};
use crate::domain::listing::Words;
use crate::store::{JobStore, Limits};

/// Hours between two jobs.
const SPACING: i64 = 5;

async fn app(url: &DatabaseUrl) -> App {
    let options = SchedulerOptions::new(url.clone());
    let db = Database::connect(url).await.expect("opens");
    kinora_migrations::scheduler::migrate(db.writer())
        .await
        .expect("migrates");
    let (clock, objects) = (Arc::new(SystemClock), Arc::new(NoObjects));
    let stop = CancellationToken::new();
    App::new(JobStore::new(db), options, objects, clock, stop)
}

fn at(hours: i64) -> Time {
    let start = Time::from_timestamp(1_790_000_000, 0).expect("a time");
    start + TimeDelta::hours(hours)
}

/// A job that a replica made at `hours` by its own clock, and stored at `stored`.
fn job(hours: i64, stored: i64, model: &str, prompt: &str) -> Job {
    let spec = VideoSpec {
        model: model.to_owned(),
        prompt: prompt.to_owned(),
        negative_prompt: String::new(),
        width: 64,
        height: 48,
        frames: 13,
        steps: 20,
        guidance: 3.25,
        seed: 1,
        fps: 8,
        image: None,
        last_image: None,
    };
    let seconds = u64::try_from(at(hours).timestamp()).expect("after 1970");
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0));
    Job::queued(JobId::from_uuid(id), "anna".to_owned(), spec, at(stored))
}

async fn store(app: &App, job: &Job) {
    let (jobs, limits) = (std::slice::from_ref(job), Limits::default());
    let submitted = app.store.submit(jobs, None, None, &limits, &[]);
    submitted.await.expect("submits");
}

fn pick<T: Copy>(random: &mut StdRng, among: &[T]) -> T {
    among[random.random_range(0..among.len())]
}

/// Any job; its two times are less than a day apart.
fn any_job(random: &mut StdRng, hours: i64) -> Job {
    let stored = hours + random.random_range(-20..20);
    let model = pick(random, &["tiny", "large"]);
    let prompts = ["a red ball", "Ein ROTER Ball", "100 % über", "100x"];
    job(hours, stored, model, pick(random, &prompts))
}

fn any_query(random: &mut StdRng) -> VideoQuery {
    let hours = 60 * SPACING;
    let mut bound = || {
        let hour = random.random_range(-10..hours + 10);
        random.random_bool(0.4).then(|| at(hour))
    };
    let (created_after, created_before) = (bound(), bound());
    let all = [State::Queued, State::Cancelled, State::Failed];
    let filter = Filter {
        states: pick(random, &[&[][..], &all[..1], &all[1..2], &all[..]]).to_vec(),
        model: pick(random, &["", "", "tiny", "none"]).to_owned(),
        words: Words::of(pick(random, &["", "", "BALL", "ball ro", "%", "ÜBER"])),
        created_after,
        created_before,
    };
    VideoQuery {
        filter,
        order: pick(random, &[Order::NewestFirst, Order::OldestFirst]),
        page_size: random.random_range(1..8),
        ..VideoQuery::default()
    }
}

async fn page(app: &App, query: &VideoQuery, bounds: Bounds) -> (Vec<JobId>, String) {
    let scope = scope(query);
    let page = Page::of(PAGES, &["anna", &scope], query.page_size, &query.page_token);
    let page = page.expect("a page");
    let read = app.page_of("anna", query, &page, bounds).await;
    let (jobs, next) = read.expect("reads");
    assert!(u64::try_from(jobs.len()).is_ok_and(|shown| shown <= page.limit));
    (jobs.iter().map(|job| job.id).collect(), next)
}

/// Follows the pages to the end while some jobs are added, and while jobs end if that makes no difference to what is asked
/// for.
async fn follow(
    app: &App,
    mut query: VideoQuery,
    known: &mut Vec<Job>,
    random: &mut StdRng,
) -> Vec<JobId> {
    let bounds = Bounds {
        look: random.random_range(1..6),
        most: random.random_range(1..20),
    };
    let mut seen = Vec::new();
    for turn in 0.. {
        let (ids, next) = page(app, &query, bounds).await;
        seen.extend(ids);
        if next.is_empty() {
            break;
        }
        query.page_token = next;
        if turn < 3 {
            let added = any_job(random, i64::try_from(known.len()).expect("few") * SPACING);
            store(app, &added).await;
            known.push(added);
        }
        if turn < 3 && query.filter.states.is_empty() {
            let ended = random.random_range(0..known.len());
            let ended = &mut known[ended];
            *ended = app.cancel("anna", ended.id).await.expect("cancels").job;
        }
    }
    seen
}

kinora_store::on_both_databases! {
    async fn pages_of_any_list_show_what_fits_once_and_in_order(url: DatabaseUrl) {
        let app = app(&url).await;
        for seed in 0..2 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut known = Vec::new();
            for number in 0..40 {
                let mut job = any_job(&mut random, number * SPACING);
                store(&app, &job).await;
                if random.random_bool(0.5) {
                    job = app.cancel("anna", job.id).await.expect("cancels").job;
                }
                known.push(job);
            }
            let mut foreign = any_job(&mut random, SPACING);
            foreign.owner = "ben".to_owned();
            store(&app, &foreign).await;
            for _ in 0..12 {
                let query = any_query(&mut random);
                let there: Vec<Job> = known.clone();
                let seen = follow(&app, query.clone(), &mut known, &mut random).await;
                let distinct: HashSet<JobId> = seen.iter().copied().collect();
                assert_eq!(distinct.len(), seen.len(), "once: {query:?}");
                let mut expected: Vec<&Job> = there.iter().filter(|job| query.filter.fits(job)).collect();
                expected.sort_by_key(|job| job.id);
                if query.order == Order::NewestFirst {
                    expected.reverse();
                }
                let expected: Vec<JobId> = expected.into_iter().map(|job| job.id).collect();
                let was_there = |id: &JobId| there.iter().any(|job| job.id == *id);
                let shown: Vec<JobId> = seen.into_iter().filter(was_there).collect();
                assert_eq!(shown, expected, "seed {seed}: {query:?}");
            }
            for job in &known {
                app.delete("anna", job.id).await.expect("deletes");
            }
        }
    }

    async fn a_page_looks_at_so_many_jobs_and_no_more(url: DatabaseUrl) {
        let app = app(&url).await;
        let needle = job(0, 0, "tiny", "a needle");
        store(&app, &needle).await;
        for number in 1..20 {
            store(&app, &job(number, number, "tiny", "hay")).await;
        }
        let mut query = VideoQuery { page_size: 1, ..VideoQuery::default() };
        query.filter.words = Words::of("needle");
        let bounds = Bounds { look: 2, most: 5 };
        for _ in 0..3 {
            let (ids, next) = page(&app, &query, bounds).await;
            assert_eq!(ids, []);
            query.page_token = next;
        }
        assert_eq!(page(&app, &query, bounds).await, (vec![needle.id], String::new()));
        query.page_token.clear();
        let wide = Bounds { look: 100, most: 5 };
        assert_eq!(page(&app, &query, wide).await, (vec![needle.id], String::new()));
    }

    async fn a_page_token_belongs_to_its_filter_and_its_order(url: DatabaseUrl) {
        let app = app(&url).await;
        for number in 0..3 {
            store(&app, &job(number, number, "tiny", "a ball")).await;
        }
        let query = VideoQuery { page_size: 1, ..VideoQuery::default() };
        let (_, page_token) = app.list("anna", &query).await.expect("lists");
        let query = VideoQuery { page_token, ..query };
        let with = |change: fn(&mut VideoQuery)| {
            let mut changed = query.clone();
            change(&mut changed);
            changed
        };
        let larger = with(|it| it.page_size = 2);
        assert_eq!(app.list("anna", &larger).await.expect("lists").0.len(), 2);
        for other in [
            with(|it| it.order = Order::OldestFirst),
            with(|it| it.filter.states = vec![State::Queued]),
            with(|it| it.filter.model = "tiny".to_owned()),
            with(|it| it.filter.words = Words::of("ball")),
            with(|it| it.filter.created_after = Some(at(0))),
            with(|it| it.filter.created_before = Some(at(9))),
        ] {
            let refused = app.list("anna", &other).await.expect_err("another list's");
            assert!(matches!(refused, Error::PageToken), "{other:?}");
        }
        assert!(matches!(app.list("ben", &query).await, Err(Error::PageToken)));
    }
}
