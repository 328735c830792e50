//! How long a submission takes at 50 a second, while a fleet leases and completes what comes in.
//!
//! Submissions come when they are due, whatever the earlier ones do, and are timed from when they were due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::args::Scale;
use crate::fill::COST;
use crate::fleet::{Fleet, crowd};
use crate::place::{Engine, Place};
use crate::shop::Shop;
use crate::table::{Samples, Table};

/// Submissions a second.
const RATE: u32 = 50;

/// What a job takes.
const SERVICE: Duration = Duration::from_millis(100);

pub async fn measure(engine: Engine, scale: &Scale, table: &mut Table) -> Result<()> {
    let place = Arc::new(Place::open(engine).await?);
    let mut shop = Shop {
        place: Arc::clone(&place),
        fleet: Fleet::attach(&place, scale.workers.min(64)).await?,
        service: SERVICE,
    };
    let mut quantiles: [Samples; 2] = Default::default();
    for _ in 0..scale.repetitions {
        let stop = CancellationToken::new();
        let open = tokio::spawn(shop.run(stop.clone()));
        let times = submissions(&place, scale.scenario).await?;
        stop.cancel();
        (shop, _) = open.await??;
        quantiles[0].add(times.quantile(50));
        quantiles[1].add(times.quantile(95));
    }
    for ((quantile, goal), samples) in [(50, ""), (95, "<= 50 ms")].into_iter().zip(&quantiles) {
        let figure = format!("submission at {RATE}/s, p{quantile}");
        table.row(&figure, &engine.to_string(), samples, " ms", goal)?;
    }
    place.close().await
}

async fn submissions(place: &Arc<Place>, duration: Duration) -> Result<Samples> {
    let mut pending = JoinSet::new();
    let users: Vec<String> = crowd().collect();
    let begun = Instant::now();
    for (number, user) in (0_u32..).zip(users.into_iter().cycle()) {
        let due = begun + number * Duration::from_secs(1) / RATE;
        if due > begun + duration {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let place = Arc::clone(place);
        pending.spawn(async move {
            place.submit(&user, 1, COST).await?;
            Ok::<_, anyhow::Error>(due.elapsed())
        });
    }
    let mut times = Samples::default();
    for took in pending.join_all().await {
        times.add_time(took?);
    }
    Ok(times)
}
