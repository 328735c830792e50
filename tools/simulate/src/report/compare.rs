//! What the flood, affinity and pre-emption change, side by side.

use kinora_scheduler::domain::job::Priority;

use super::{Experiments, percent, seconds};
use crate::options::Options;
use crate::outcome::{Outcome, percentile};
use crate::workload::Kind;

/// One row for each run.
pub fn text(options: &Options, experiments: &Experiments) -> String {
    let mut text = format!(
        "\nthe same rules on {} workers for {}, load {}; waits are p95\n{:<22} {:>9} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}\n",
        options.workers,
        humantime::format_duration(options.duration),
        options.load,
        "run",
        "light",
        "interactive",
        "standard",
        "working",
        "loading",
        "in memory",
        "asked back",
        "recomputed"
    );
    let rows = [
        ("light tenant alone", &experiments.alone),
        ("without the flood", &experiments.without_flood),
        ("all", &experiments.all),
        ("all, no affinity", &experiments.without_affinity),
        ("all, no pre-emption", &experiments.without_preemption),
    ];
    for (name, outcome) in rows {
        text += &row(name, outcome);
    }
    text
}

fn row(name: &str, outcome: &Outcome) -> String {
    let p95 = |waits: Vec<_>| seconds(percentile(&waits, 95));
    let light = p95(outcome.waits_of_kind(Kind::Light));
    let interactive = p95(outcome.waits(|it| it.class == Priority::Interactive));
    let standard = p95(outcome.waits(|it| it.class == Priority::Standard));
    let hits = 100.0 * (outcome.leases - outcome.loads) as f64 / outcome.leases.max(1) as f64;
    format!(
        "{name:<22} {light:>9} {interactive:>12} {standard:>9} {:>9} {:>9} {:>9} {:>10} {:>10}\n",
        percent(outcome.working, outcome.capacity),
        percent(outcome.loading, outcome.capacity),
        format!("{hits:.1} %"),
        outcome.preemptions,
        outcome.steps_recomputed,
    )
}
