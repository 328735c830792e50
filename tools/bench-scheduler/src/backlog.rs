//! How long a claim takes, by what waits.
//!
//! The backlog grows; its users stay the same, so that all of it is depth. At each depth claims are timed one by one, as
//! in the section before. What was claimed is completed and submitted anew between the measurements.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::args::Scale;
use crate::fill::{grow, replace, spread};
use crate::fleet::{Fleet, complete_all, crowd};
use crate::place::{Engine, Place};
use crate::table::{Samples, Table};

pub async fn measure(engine: Engine, scale: &Scale, table: &mut Table) -> Result<()> {
    let place = Arc::new(Place::open(engine).await?);
    spread(&place, u64::try_from(crowd().count())?).await?;
    let mut fleet = Fleet::attach(&place, scale.workers).await?;
    for &backlog in &scale.backlogs {
        grow(&place, backlog).await?;
        for (jobs, rounds) in [(1, scale.singles), (scale.batch, scale.batches)] {
            let mut quantiles: [Samples; 2] = Default::default();
            for _ in 0..scale.repetitions {
                let times = times(&place, &mut fleet, rounds, jobs).await?;
                quantiles[0].add(times.quantile(50));
                quantiles[1].add(times.quantile(99));
            }
            for (quantile, samples) in [50, 99].into_iter().zip(&quantiles) {
                let figure = format!("claim of {jobs}, p{quantile}, {backlog} queued");
                let is_judged = quantile == 99 && backlog >= 1_000_000;
                let goal = if is_judged { "<= 50 ms" } else { "" };
                table.row(&figure, &engine.to_string(), samples, " ms", goal)?;
            }
        }
    }
    place.close().await
}

/// Times of claims for so many workers each.
async fn times(
    place: &Arc<Place>,
    fleet: &mut Fleet,
    rounds: u32,
    workers: u32,
) -> Result<Samples> {
    let workers = usize::try_from(workers)?;
    let idle = fleet.views();
    let mut times = Samples::default();
    let mut leased = Vec::new();
    let mut busy = 0;
    for idle in idle
        .chunks_exact(workers)
        .cycle()
        .take(usize::try_from(rounds)?)
    {
        if busy + workers > fleet.size() {
            complete_all(place, leased.clone()).await?;
            replace(place, &leased).await?;
            leased.clear();
            busy = 0;
        }
        let begun = Instant::now();
        let jobs = fleet.round(place, idle).await?;
        times.add_time(begun.elapsed());
        ensure!(!jobs.is_empty(), "nothing was leased");
        leased.extend(jobs);
        busy += workers;
    }
    complete_all(place, leased.clone()).await?;
    replace(place, &leased).await?;
    Ok(times)
}
