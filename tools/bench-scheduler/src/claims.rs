//! Claims and completions a second.
//!
//! 10,000 jobs of 200 users of 50 tenants wait (fewer in a quick run). A claim is a whole round of dispatch: a bounded
//! look at the queue, the policy's plan, and the transaction that leases under locked limits. A single claim serves one
//! free worker, a batched one many. Completions come in eight at a time, each a transaction of its own; the last row is
//! what a fleet of workers without any work gets out of both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kinora_scheduler::domain::job::Job;

use crate::args::Scale;
use crate::fill::{replace, spread};
use crate::fleet::{Fleet, complete_all};
use crate::place::{Engine, Place};
use crate::table::{Samples, Table};

pub async fn measure(engine: Engine, scale: &Scale, table: &mut Table) -> Result<()> {
    let place = Arc::new(Place::open(engine).await?);
    let backlog = scale.backlogs.get(1).copied().unwrap_or(10_000);
    spread(&place, backlog).await?;
    let mut fleet = Fleet::attach(&place, scale.workers).await?;
    let mut figures: [Samples; 4] = Default::default();
    // The first repetition warms up.
    for repetition in 0..=scale.repetitions {
        let (one, one_time) = claim(&place, &mut fleet, scale.singles, 1).await?;
        finish(&place, one.clone()).await?;
        let batches = scale.workers / scale.batch;
        let (many, many_time) = claim(&place, &mut fleet, batches, scale.batch).await?;
        let end_time = finish(&place, many.clone()).await?;
        let rates = [
            rate(&one, one_time),
            rate(&many, many_time),
            rate(&many, end_time),
            rate(&many, many_time + end_time),
        ];
        for (samples, rate) in figures.iter_mut().zip(rates).filter(|_| repetition > 0) {
            samples.add(rate);
        }
        replace(&place, &one).await?;
        replace(&place, &many).await?;
    }
    let on = engine.to_string();
    let batched = format!("claims/s, {} at a time", scale.batch);
    let rows = [
        ("claims/s, one at a time", ""),
        (batched.as_str(), ">= 2000"),
        ("completions/s, one a transaction", ""),
        ("jobs/s, claimed in batches and completed", ""),
    ];
    for ((figure, goal), samples) in rows.into_iter().zip(&figures) {
        table.row(figure, &on, samples, "", goal)?;
    }
    place.close().await
}

/// Claims for so many workers at a time, each of them once.
async fn claim(
    place: &Arc<Place>,
    fleet: &mut Fleet,
    rounds: u32,
    workers: u32,
) -> Result<(Vec<Job>, Duration)> {
    let idle = fleet.views();
    let workers = usize::try_from(workers)?;
    let mut leased = Vec::new();
    let begun = Instant::now();
    for idle in idle.chunks_exact(workers).take(usize::try_from(rounds)?) {
        leased.extend(fleet.round(place, idle).await?);
    }
    let took = begun.elapsed();
    ensure!(!leased.is_empty(), "nothing was leased");
    Ok((leased, took))
}

async fn finish(place: &Arc<Place>, jobs: Vec<Job>) -> Result<Duration> {
    let begun = Instant::now();
    complete_all(place, jobs).await?;
    Ok(begun.elapsed())
}

#[allow(clippy::cast_precision_loss, reason = "counts of jobs are small")]
fn rate(jobs: &[Job], took: Duration) -> f64 {
    jobs.len() as f64 / took.as_secs_f64()
}
