//! Many who follow the events of a video, each over a connection of HTTP/1.1 of its own: what one takes of memory, and how
//! long an event takes from the service to it.
//!
//! All watchers are in one process, which shares the cores: an event for all of them at once is a thousand times reading,
//! writing and waking, so that its figures are about what the last ones wait. Events one after the other, each to one watcher,
//! are what service and edge take when nothing is piled up.

use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use chrono::DateTime;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::args::Scale;
use crate::client::{Client, Http};
use crate::stand::{Stand, Way};
use crate::table::{Times, goal, number};

/// Kilobytes that a watcher may take of the edge's memory.
const GOAL_KILOBYTES: f64 = 50.0;

/// Connections that are opened at a time.
const OPENING: usize = 50;

/// Before memory is looked at, and between events for all.
const PAUSE: Duration = Duration::from_millis(250);

/// No event takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls before memory is looked at first, so that what every call needs is there.
const WARM_UP: usize = 500;

/// What comes of one way.
struct Row {
    way: Way,
    /// Bytes: without a watcher, with all, and after their events.
    memory: [u64; 3],
    at_once: Times,
    one_by_one: Times,
}

/// Watchers, and what they have got.
struct Crowd {
    /// How long each event took, as they come in.
    got: mpsc::UnboundedReceiver<Duration>,
    watching: JoinSet<Result<()>>,
}

pub async fn measure(stand: &Stand, scale: &Scale) -> Result<()> {
    let mut rows = Vec::new();
    for way in [Way::Edge(Http::One), Way::Envoy(Http::One)] {
        if stand.ways().contains(&way) {
            rows.push(follow(stand, way, scale).await?);
        }
    }
    print(rows, scale)
}

async fn follow(stand: &Stand, way: Way, scale: &Scale) -> Result<Row> {
    let between = stand.between(way).context("nothing stands between")?;
    let mut client = stand.connect(way).await?;
    for _ in 0..WARM_UP {
        client.get().await?;
    }
    drop(client);
    sleep(PAUSE).await;
    let alone = between.resident_bytes()?;
    let mut crowd = Crowd::gather(stand, way, scale.watchers).await?;
    sleep(PAUSE).await;
    let with_all = between.resident_bytes()?;
    let (mut at_once, mut one_by_one) = (Times::default(), Times::default());
    for _ in 0..scale.bursts {
        stand.send_events(Duration::ZERO)?;
        at_once.extend(crowd.next(scale.watchers).await?);
        sleep(PAUSE).await;
    }
    for _ in 0..scale.steady_seconds {
        stand.send_events(Duration::from_secs(1))?;
        one_by_one.extend(crowd.next(scale.watchers).await?);
    }
    sleep(PAUSE).await;
    Ok(Row {
        way,
        memory: [alone, with_all, between.resident_bytes()?],
        at_once,
        one_by_one,
    })
}

impl Crowd {
    /// Opens connections; each has got its first event.
    async fn gather(stand: &Stand, way: Way, count: usize) -> Result<Self> {
        let (tell, got) = mpsc::unbounded_channel();
        let mut crowd = Self {
            got,
            watching: JoinSet::new(),
        };
        let mut open = 0;
        while open < count {
            let more = OPENING.min(count - open);
            for _ in 0..more {
                let (client, tell) = (stand.connect(way).await?, tell.clone());
                crowd.watching.spawn(watch(client, tell));
            }
            crowd.next(more).await?;
            open += more;
        }
        Ok(crowd)
    }

    /// The next so many events, of whomever.
    async fn next(&mut self, count: usize) -> Result<Times> {
        let mut times = Times::default();
        while times.count() < count {
            let next = timeout(PATIENCE, self.got.recv());
            let next = tokio::select! {
                next = next => next,
                Some(ended) = self.watching.join_next() => {
                    ended??;
                    bail!("a stream of events ended");
                }
            };
            let missing = || format!("{} of {count} events came", times.count());
            let time = next.with_context(missing)?;
            times.add(time.context("all watchers are gone")?);
        }
        Ok(times)
    }
}

/// Tells how long each event took.
async fn watch(mut client: Client, tell: mpsc::UnboundedSender<Duration>) -> Result<()> {
    let events: Incoming = client.events().await?;
    let mut events = std::pin::pin!(events);
    let mut text = String::new();
    while let Some(frame) = events.frame().await {
        let now = SystemTime::now();
        let frame = frame?;
        let Some(bytes) = frame.data_ref() else {
            continue;
        };
        text.push_str(std::str::from_utf8(bytes)?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(sent) = time_of(event)? {
                // Nobody listens once all is measured.
                let _ = tell.send(now.duration_since(sent).unwrap_or_default());
            }
            text = rest.to_owned();
        }
    }
    Ok(())
}

/// When an event happened. None of what is no event.
fn time_of(event: &str) -> Result<Option<SystemTime>> {
    let Some((_, rest)) = event.split_once("\"time\":\"") else {
        ensure!(!event.contains("data:"), "no event: {event}");
        return Ok(None);
    };
    let (time, _) = rest.split_once('"').context("a time without an end")?;
    Ok(Some(DateTime::parse_from_rfc3339(time)?.into()))
}

fn print(rows: Vec<Row>, scale: &Scale) -> Result<()> {
    let mut out = io::stdout().lock();
    let Scale {
        watchers,
        bursts,
        steady_seconds,
        ..
    } = scale;
    writeln!(
        out,
        "{watchers} watchers; {bursts} events for all at once, and {steady_seconds} times an event for each, one after the other within a second\n"
    )?;
    writeln!(
        out,
        "| way | resident without | a watcher | a watcher, after its events | at once: p50 | p95 | p99 | one by one: p50 | p95 | p99 | goal |"
    )?;
    writeln!(
        out,
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for mut row in rows {
        let [alone, with_all, after] = row.memory;
        let each = |bytes: u64| kilobytes(bytes.saturating_sub(alone)) / number(*watchers);
        let (open, after) = (each(with_all), each(after));
        let at_once = [50, 95, 99].map(|percent| millis(row.at_once.quantile(percent)));
        let one_by_one = [50, 95, 99].map(|percent| millis(row.one_by_one.quantile(percent)));
        let goal = match row.way {
            Way::Edge(_) => goal("<= 50 kB", open.max(after) <= GOAL_KILOBYTES),
            Way::Direct | Way::Envoy(_) => String::new(),
        };
        writeln!(
            out,
            "| {} | {:.1} MB | {open:.1} kB | {after:.1} kB | {} | {} | {goal} |",
            row.way.name(),
            kilobytes(alone) / 1e3,
            at_once.join(" | "),
            one_by_one.join(" | "),
        )?;
    }
    Ok(writeln!(out)?)
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn kilobytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX))
}
