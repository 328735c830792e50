//! graphile-worker on the same PostgreSQL, in the same run: jobs that do nothing, fetched and completed.
//!
//! It knows neither tenants nor limits nor fairness, and keeps no history of what it has done.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Result, ensure};
use kinora_testkit::postgres::TestPostgres;
use serde::Deserialize;
use tokio::process::Command;

use crate::args::Scale;
use crate::table::{Samples, Table};

/// What peer.mjs prints.
#[derive(Deserialize)]
struct Report {
    jobs: f64,
    seconds: f64,
    left: u64,
}

pub async fn measure(folder: Option<&Path>, scale: &Scale, table: &mut Table) -> Result<()> {
    for (mode, what) in [
        ("single", "jobs/s, one at a time, 16 concurrent"),
        (
            "batched",
            "jobs/s, 500 fetched at a time, completed in batches",
        ),
    ] {
        let figure = format!("graphile-worker, {what}");
        let Some(folder) = folder else {
            table.without(&figure, "PostgreSQL", "no --peer")?;
            continue;
        };
        let mut rates = Samples::default();
        for _ in 0..scale.repetitions {
            rates.add(run(folder, mode, scale.peer_jobs).await?);
        }
        table.row(&figure, "PostgreSQL", &rates, "", "")?;
    }
    Ok(())
}

async fn run(folder: &Path, mode: &str, jobs: u32) -> Result<f64> {
    let url = TestPostgres::of_this_run().create_database().await;
    let output = Command::new(folder.join("node_modules/.bin/node"))
        .arg(folder.join("peer.mjs"))
        .args([&url, mode, &jobs.to_string()])
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "the peer failed: {}",
        output.status
    );
    let report: Report = serde_json::from_slice(&output.stdout)?;
    ensure!(report.left == 0, "the peer left {} jobs", report.left);
    Ok(report.jobs / report.seconds)
}
