//! The plots of a run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kinora_scheduler::domain::job::Priority;

use crate::outcome::Outcome;
use crate::svg::{COLOURS, Chart, Series};
use crate::workload::Kind;

/// Points of a distribution.
const POINTS: usize = 200;

/// Dots of the claims.
const DOTS: usize = 1500;

/// Writes the plots into a folder.
///
/// # Errors
/// When the folder or a file cannot be written.
pub fn write(folder: &Path, all: &Outcome, alone: &Outcome) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let plots = [
        ("waits.svg", waits(all, alone)),
        ("shares.svg", shares(all)),
        ("fleet.svg", fleet(all)),
        ("claims.svg", claims(all)),
    ];
    for (name, chart) in plots {
        fs::write(folder.join(name), chart.render())?;
    }
    Ok(())
}

fn waits(all: &Outcome, alone: &Outcome) -> Chart<'static> {
    let of_class = |class: Priority| all.waits(|wait| wait.class == class);
    let distributions = [
        ("interactive", of_class(Priority::Interactive)),
        ("standard", of_class(Priority::Standard)),
        ("batch", of_class(Priority::Batch)),
        ("light tenant", all.waits_of_kind(Kind::Light)),
        ("light tenant, alone", alone.waits_of_kind(Kind::Light)),
        ("flooding tenant", all.waits_of_kind(Kind::Flood)),
    ];
    let series = distributions.into_iter().zip(COLOURS);
    Chart {
        title: "How long jobs wait for their first lease",
        x_label: "seconds",
        y_label: "share of jobs that wait no longer",
        is_log: true,
        series: series
            .map(|((name, waits), colour)| Series {
                name: name.to_owned(),
                colour,
                points: distribution(&waits),
                are_dots: false,
            })
            .collect(),
    }
}

fn distribution(sorted: &[Duration]) -> Vec<(f64, f64)> {
    if sorted.is_empty() {
        return Vec::new();
    }
    let last = sorted.len() - 1;
    (0..=POINTS)
        .map(|at| {
            let share = at as f64 / POINTS as f64;
            (sorted[last * at / POINTS].as_secs_f64(), share)
        })
        .collect()
}

fn shares(all: &Outcome) -> Chart<'static> {
    let tenants = all.tenants.iter().enumerate();
    let mut named = Vec::new();
    let series = tenants.map(|(at, it)| {
        let (name, colour) = match it.tenant.kind {
            Kind::Light => ("light tenant".to_owned(), COLOURS[3]),
            Kind::Flood => ("flooding tenant".to_owned(), COLOURS[1]),
            Kind::Capped => ("with a limit".to_owned(), COLOURS[6]),
            Kind::Regular if it.tenant.weight == 100 => ("weight 100".to_owned(), COLOURS[0]),
            Kind::Regular if it.tenant.weight == 200 => ("weight 200".to_owned(), COLOURS[2]),
            Kind::Regular => (format!("weight {}", it.tenant.weight), COLOURS[4]),
        };
        let is_new = !named.contains(&name);
        named.push(name.clone());
        let samples = all.samples.iter();
        Series {
            name: if is_new { name } else { String::new() },
            colour,
            points: samples
                .map(|it| (it.at.as_secs_f64(), it.shares[at]))
                .collect(),
            are_dots: false,
        }
    });
    Chart {
        title: "Device time by weight: tenants that ask for more than their share",
        x_label: "simulated seconds",
        y_label: "device seconds of ended attempts, for a weight of 100",
        is_log: false,
        series: series.collect(),
    }
}

fn fleet(all: &Outcome) -> Chart<'static> {
    let series = |name: &str, colour, value: fn(&crate::outcome::Sample) -> u64| Series {
        name: name.to_owned(),
        colour,
        points: all
            .samples
            .iter()
            .map(|it| (it.at.as_secs_f64(), value(it) as f64))
            .collect(),
        are_dots: false,
    };
    Chart {
        title: "The fleet and its queue",
        x_label: "simulated seconds",
        y_label: "workers, jobs",
        is_log: false,
        series: vec![
            series("busy workers", COLOURS[0], |it| it.busy),
            series("jobs that wait", COLOURS[1], |it| it.queued),
        ],
    }
}

fn claims(all: &Outcome) -> Chart<'static> {
    let step = all.claims_by_depth.len().div_ceil(DOTS).max(1);
    let dots = all.claims_by_depth.iter().step_by(step);
    let dots = dots.map(|(queued, _, took)| (*queued as f64, took.as_secs_f64() * 1000.0));
    Chart {
        title: "Claims do not slow down as the queue grows",
        x_label: "jobs that wait",
        y_label: "milliseconds a claim (of up to 128 jobs)",
        is_log: false,
        series: vec![Series {
            name: "claims".to_owned(),
            colour: COLOURS[0],
            points: dots.collect(),
            are_dots: true,
        }],
    }
}
