//! Events a second through each bus.
//!
//! One process publishes, another one watches; both are here, each with connections of its own. Every watcher watches
//! a job of its own, and events go to the jobs in turn. At most 1,024 are under way, so that nothing is dropped: a rate
//! at which every event arrived. The memory bus has one process only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kinora_events::{Engine as Bus, EventBus, Received, Secret, Subscription};
use kinora_scheduler::domain::job::{Event, Job};
use kinora_scheduler::signals::{Signal, Topic};
use kinora_testkit::nats::TestNats;
use kinora_testkit::postgres::TestPostgres;
use kinora_testkit::wait;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::args::Scale;
use crate::fill::COST;
use crate::place::{new_job, now};
use crate::table::{Samples, Table};

/// Events under way.
const WINDOW: usize = 1024;

/// Events that a watcher may be behind.
const CAPACITY: usize = 2048;

/// A run that takes longer has lost an event without saying so.
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn measure(has_nats: bool, scale: &Scale, table: &mut Table) -> Result<()> {
    let nats = if has_nats {
        Some(TestNats::start().await)
    } else {
        None
    };
    for &watchers in &scale.watchers {
        let figure = format!("events/s, watchers: {watchers}");
        table.row(
            &figure,
            "memory",
            &rates(&Bus::Memory, watchers, scale).await?,
            "",
            "",
        )?;
        let url = Secret(TestPostgres::of_this_run().create_database().await);
        let channel = "kinora_bench";
        let postgres = Bus::Postgres { url, channel };
        table.row(
            &figure,
            "PostgreSQL",
            &rates(&postgres, watchers, scale).await?,
            "",
            "",
        )?;
        match &nats {
            Some(nats) => {
                let bus = Bus::Nats(nats.url().parse()?);
                table.row(
                    &figure,
                    "NATS",
                    &rates(&bus, watchers, scale).await?,
                    "",
                    "",
                )?;
            }
            None => table.without(&figure, "NATS", "no nats-server")?,
        }
    }
    Ok(())
}

async fn rates(bus: &Bus, watchers: u32, scale: &Scale) -> Result<Samples> {
    let mut rates = Samples::default();
    for _ in 0..scale.repetitions {
        let stop = CancellationToken::new();
        let rate = timeout(PATIENCE, rate(bus, watchers, scale.events, &stop)).await;
        stop.cancel();
        rates.add(rate.context("an event was lost")??);
    }
    Ok(rates)
}

/// What the watchers have heard.
struct Heard {
    room: Semaphore,
    /// Watchers that have heard anything.
    ready: AtomicU32,
    losses: AtomicU64,
}

async fn rate(bus: &Bus, watchers: u32, events: u32, stop: &CancellationToken) -> Result<f64> {
    let there = EventBus::<Signal>::open(bus.clone(), CAPACITY, stop.clone());
    let here = match bus {
        Bus::Memory => there.clone(),
        _ => EventBus::open(bus.clone(), CAPACITY, stop.clone()),
    };
    let heard = Arc::new(Heard {
        room: Semaphore::new(WINDOW),
        ready: AtomicU32::new(0),
        losses: AtomicU64::new(0),
    });
    let jobs: Vec<Job> = (0..watchers).map(|_| new_job("anna", COST)).collect();
    let mut watching = JoinSet::new();
    for job in &jobs {
        let subscription = there.subscribe(Topic::Job(job.id));
        watching.spawn(watch(subscription, Arc::clone(&heard)));
    }
    connect(&here, &jobs, &heard).await;
    let lost = heard.losses.load(Ordering::Relaxed);
    let begun = Instant::now();
    for (number, job) in (1_u64..=u64::from(events)).zip(jobs.iter().cycle()) {
        heard.room.acquire().await?.forget();
        here.publish(signal(job, number));
    }
    let all = u32::try_from(WINDOW)?;
    drop(heard.room.acquire_many(all).await?);
    let took = begun.elapsed();
    ensure!(
        lost == heard.losses.load(Ordering::Relaxed),
        "watchers were told to read again"
    );
    Ok(f64::from(events) / took.as_secs_f64())
}

/// Counts until it is aborted. The first event, number 0, says that there is a connection.
async fn watch(mut subscription: Subscription<Signal>, heard: Arc<Heard>) {
    let mut is_ready = false;
    loop {
        match subscription.next().await {
            Received::Event(Signal::Progress { event, .. }) if event.seq > 0 => {
                heard.room.add_permits(1)
            }
            Received::Event(_) if is_ready => {}
            Received::Event(_) => {
                is_ready = true;
                heard.ready.fetch_add(1, Ordering::Relaxed);
            }
            Received::Lagged | Received::Reread => {
                heard.losses.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Publishes until every watcher has heard something.
async fn connect(bus: &EventBus<Signal>, jobs: &[Job], heard: &Heard) {
    wait::until("the bus to carry events", PATIENCE, || async {
        for job in jobs {
            bus.publish(signal(job, 0));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let ready = heard.ready.load(Ordering::Relaxed);
        if usize::try_from(ready) == Ok(jobs.len()) {
            Ok(())
        } else {
            Err(ready)
        }
    })
    .await;
}

fn signal(job: &Job, number: u64) -> Signal {
    let event = Event {
        seq: number,
        ..job.event(now())
    };
    Signal::Progress {
        event: Arc::new(event),
        is_new_stage: true,
    }
}
