//! One client that makes one call after the other, in rounds in which all ways have their turn.
//!
//! A hop is what a way's p50 is above the direct one's of the same round.

use std::io::{self, Write as _};
use std::time::Instant;

use anyhow::Result;

use crate::args::Scale;
use crate::client::Client;
use crate::stand::{Stand, Way};
use crate::table::{Rounds, Times, goal};

/// Microseconds that the edge may add.
const GOAL_MICROS: f64 = 250.0;

/// A way and its rounds.
struct Row {
    way: Way,
    client: Client,
    p50: Rounds,
    p95: Rounds,
    p99: Rounds,
    hop: Rounds,
}

pub async fn measure(stand: &Stand, scale: &Scale) -> Result<()> {
    let mut rows = Vec::new();
    for way in stand.ways() {
        rows.push(Row {
            way,
            client: stand.connect(way).await?,
            p50: Rounds::default(),
            p95: Rounds::default(),
            p99: Rounds::default(),
            hop: Rounds::default(),
        });
    }
    for round in 0..=scale.rounds {
        let mut direct = None;
        for row in &mut rows {
            let mut times = call_often(&mut row.client, scale.calls).await?;
            let p50 = times.quantile(50);
            let direct = *direct.get_or_insert(p50);
            if round > 0 {
                row.p50.add_time(p50);
                row.p95.add_time(times.quantile(95));
                row.p99.add_time(times.quantile(99));
                row.hop
                    .add((p50.as_secs_f64() - direct.as_secs_f64()) * 1e6);
            }
        }
    }
    print(&rows, scale)
}

async fn call_often(client: &mut Client, calls: usize) -> Result<Times> {
    let mut times = Times::default();
    for _ in 0..calls {
        let begun = Instant::now();
        client.get().await?;
        times.add(begun.elapsed());
    }
    Ok(times)
}

fn print(rows: &[Row], scale: &Scale) -> Result<()> {
    let mut out = io::stdout().lock();
    let Scale { calls, rounds, .. } = scale;
    writeln!(
        out,
        "`GetVideo`, one client, {calls} calls one after the other, {rounds} rounds in turns, microseconds\n"
    )?;
    writeln!(
        out,
        "| way | p50, median of rounds | min | max | p95 | p99 | hop, median of rounds | min | max | goal |"
    )?;
    writeln!(
        out,
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for row in rows {
        let (name, p50, hop) = (row.way.name(), row.p50.cells(), row.hop.cells());
        let (p95, p99) = (row.p95.median(), row.p99.median());
        let goal = match row.way {
            Way::Edge(_) => goal("hop <= 250 µs", row.hop.median() <= GOAL_MICROS),
            Way::Direct | Way::Envoy(_) => String::new(),
        };
        writeln!(
            out,
            "| {name} | {p50} | {p95:.0} | {p99:.0} | {hop} | {goal} |"
        )?;
    }
    Ok(writeln!(out)?)
}
