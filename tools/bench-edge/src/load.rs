//! As many calls as the cores can take: clients that ask again as soon as they are answered.
//!
//! HTTP/1.1 has a connection for each client; over HTTP/2 and gRPC eight clients share one.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::args::Scale;
use crate::client::{Call, Client};
use crate::process::{self, Process};
use crate::stand::{Stand, Way};
use crate::table::{Rounds, Times, goal, micros, number};

/// Requests for a single video that the edge must take in a second.
const GOAL: f64 = 2000.0;

/// Clients of one connection, where that is possible.
const SHARING: usize = 8;

/// A way and its rounds.
struct Row {
    way: Way,
    rate: Rounds,
    p50: Rounds,
    p95: Rounds,
    p99: Rounds,
    /// Microseconds on processors for each call: what stands between, the service, the clients.
    between: Rounds,
    backend: Rounds,
    clients: Rounds,
}

/// Time on processors so far.
struct Spent {
    between: Duration,
    backend: Duration,
    clients: Duration,
}

impl Spent {
    fn so_far(stand: &Stand, way: Way) -> Result<Self> {
        let between = stand.between(way).map(Process::processor_time);
        Ok(Self {
            between: between.transpose()?.unwrap_or_default(),
            backend: stand.backend.processor_time()?,
            clients: process::own_processor_time()?,
        })
    }
}

impl Row {
    fn of(way: Way) -> Self {
        Self {
            way,
            rate: Rounds::default(),
            p50: Rounds::default(),
            p95: Rounds::default(),
            p99: Rounds::default(),
            between: Rounds::default(),
            backend: Rounds::default(),
            clients: Rounds::default(),
        }
    }

    /// Adds a round that took `time`.
    fn add(&mut self, mut times: Times, time: Duration, before: &Spent, after: &Spent) {
        let count = number(times.count()).max(1.0);
        self.rate.add(count / time.as_secs_f64());
        self.p50.add_time(times.quantile(50));
        self.p95.add_time(times.quantile(95));
        self.p99.add_time(times.quantile(99));
        let each = |after: Duration, before| micros(after.saturating_sub(before)) / count;
        self.between.add(each(after.between, before.between));
        self.backend.add(each(after.backend, before.backend));
        self.clients.add(each(after.clients, before.clients));
    }
}

pub async fn measure(stand: &Stand, scale: &Scale) -> Result<()> {
    for call in [Call::Get, Call::List] {
        let mut rows: Vec<Row> = stand.ways().into_iter().map(Row::of).collect();
        for round in 0..=scale.load_rounds {
            for row in &mut rows {
                let clients = connect(stand, row.way, scale.clients).await?;
                let before = Spent::so_far(stand, row.way)?;
                let begun = Instant::now();
                let times = ask_all(clients, call, scale.load).await?;
                let time = begun.elapsed();
                if round > 0 {
                    row.add(times, time, &before, &Spent::so_far(stand, row.way)?);
                }
            }
        }
        print(&rows, call, scale)?;
    }
    Ok(())
}

async fn connect(stand: &Stand, way: Way, count: usize) -> Result<Vec<Client>> {
    let mut clients: Vec<Client> = Vec::new();
    while clients.len() < count {
        let mut client = stand.connect(way).await?;
        client.get().await?;
        let room = (count - clients.len() - 1).min(SHARING - 1);
        clients.extend((0..room).filter_map(|_| client.share()));
        clients.push(client);
    }
    Ok(clients)
}

async fn ask_all(clients: Vec<Client>, call: Call, time: Duration) -> Result<Times> {
    let end = Instant::now() + time;
    let mut asking: JoinSet<Result<Times>> = JoinSet::new();
    for mut client in clients {
        asking.spawn(async move {
            let mut times = Times::default();
            let mut now = Instant::now();
            while now < end {
                client.call(call).await?;
                let answered = Instant::now();
                times.add(answered - now);
                now = answered;
            }
            Ok(times)
        });
    }
    let mut all = Times::default();
    for times in asking.join_all().await {
        all.extend(times?);
    }
    Ok(all)
}

fn print(rows: &[Row], call: Call, scale: &Scale) -> Result<()> {
    let mut out = io::stdout().lock();
    let what = match call {
        Call::Get => "`GetVideo`",
        Call::List => "`ListVideos`, a page of 20",
    };
    let Scale {
        clients,
        load,
        load_rounds,
        ..
    } = scale;
    writeln!(
        out,
        "{what}, {clients} calls at a time for {load:?}, {load_rounds} rounds in turns; microseconds, and microseconds of processors for each call\n"
    )?;
    writeln!(
        out,
        "| way | calls/s, median of rounds | min | max | p50 | p95 | p99 | processors: edge or Envoy | service | clients | goal |"
    )?;
    writeln!(
        out,
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for row in rows {
        let (name, rate) = (row.way.name(), row.rate.cells());
        let figures = [&row.p50, &row.p95, &row.p99].map(Rounds::median);
        let spent = [&row.between, &row.backend, &row.clients].map(Rounds::median);
        let cells = figures.iter().chain(&spent);
        let cells: Vec<String> = cells.map(|cell| format!("{cell:.0}")).collect();
        let goal = match (row.way, call) {
            (Way::Edge(_), Call::Get) => goal(">= 2000 calls/s", row.rate.median() >= GOAL),
            _ => String::new(),
        };
        writeln!(out, "| {name} | {rate} | {} | {goal} |", cells.join(" | "))?;
    }
    Ok(writeln!(out)?)
}
