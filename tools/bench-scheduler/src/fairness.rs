//! How long a light tenant waits, alone and while another one floods.
//!
//! 64 slots take jobs of half a second each. The light tenant submits a job now and then and waits from its submission
//! until it is leased. The flood is a hundred jobs for each of these, submitted before; it never runs out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::args::Scale;
use crate::fill::COST;
use crate::fleet::Fleet;
use crate::place::{Engine, Place};
use crate::shop::Shop;
use crate::table::{Samples, Table};

/// Between two jobs of the light tenant.
const SPACING: Duration = Duration::from_millis(250);

/// What a job takes.
const SERVICE: Duration = Duration::from_millis(500);

/// Jobs of the flood for one of the light tenant.
const FLOOD: usize = 100;

/// Jobs of a submission of the flood.
const BATCH: usize = 100;

pub async fn measure(engine: Engine, scale: &Scale, table: &mut Table) -> Result<()> {
    let mut figures: [Samples; 3] = Default::default();
    for _ in 0..scale.repetitions {
        let solo = waits(engine, scale, false).await?.quantile(95);
        let flooded = waits(engine, scale, true).await?.quantile(95);
        figures[0].add(solo);
        figures[1].add(flooded);
        figures[2].add(flooded / solo);
    }
    let on = engine.to_string();
    let rows = [
        ("light tenant alone, p95 of its waits", " ms", ""),
        ("light tenant while another floods 100:1, p95", " ms", ""),
        ("ratio of these two", "", "<= 2"),
    ];
    for ((figure, unit, goal), samples) in rows.into_iter().zip(&figures) {
        table.row(figure, &on, samples, unit, goal)?;
    }
    Ok(())
}

async fn waits(engine: Engine, scale: &Scale, is_flooded: bool) -> Result<Samples> {
    let place = Arc::new(Place::open(engine).await?);
    let jobs = u32::try_from(scale.scenario.as_millis() / SPACING.as_millis())?;
    if is_flooded {
        for _ in 0..usize::try_from(jobs)? * FLOOD / BATCH {
            place.submit("heavy", BATCH, COST).await?;
        }
    }
    let shop = Shop {
        place: Arc::clone(&place),
        fleet: Fleet::attach(&place, scale.workers.min(64)).await?,
        service: SERVICE,
    };
    let stop = CancellationToken::new();
    let open = tokio::spawn(shop.run(stop.clone()));
    let submitted = submissions(&place, jobs).await?;
    // The last one has been leased long before.
    tokio::time::sleep(SERVICE * 2).await;
    stop.cancel();
    let (_, leased_at) = open.await??;
    let mut waits = Samples::default();
    for (job, at) in submitted {
        let leased = leased_at
            .get(&job)
            .context("a light job was never leased")?;
        waits.add_time(leased.saturating_duration_since(at));
    }
    place.close().await?;
    Ok(waits)
}

async fn submissions(place: &Place, jobs: u32) -> Result<Vec<(kinora_ids::JobId, Instant)>> {
    // The fleet is at work before the first one.
    tokio::time::sleep(SERVICE).await;
    let mut due = interval(SPACING);
    let mut submitted = Vec::new();
    for _ in 0..jobs {
        due.tick().await;
        let at = Instant::now();
        let ids = place.submit("light", 1, COST).await?;
        submitted.extend(ids.into_iter().map(|id| (id, at)));
    }
    Ok(submitted)
}
