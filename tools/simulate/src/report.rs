//! The table.

use std::fmt::Write;
use std::time::Duration;

use kinora_scheduler::domain::job::Priority;

use crate::options::Options;
use crate::outcome::{Outcome, percentile};
use crate::workload::Kind;

const CLASSES: [(&str, Priority); 3] = [
    ("interactive", Priority::Interactive),
    ("standard", Priority::Standard),
    ("batch", Priority::Batch),
];

/// Everything that a run showed, beside the run of the light tenant alone.
pub fn text(options: &Options, all: &Outcome, alone: &Outcome) -> String {
    let mut text = virtual_part(options, all, alone);
    text += &timings(all);
    text
}

/// What depends on the arguments alone.
pub fn virtual_part(options: &Options, all: &Outcome, alone: &Outcome) -> String {
    let mut text = format!(
        "{} workers, {} tenants, {} models, {} of load {}, seed {}, after {} of warm-up\n\n",
        options.workers,
        options.tenants,
        options.models,
        humantime::format_duration(options.duration),
        options.load,
        options.seed,
        humantime::format_duration(options.warm_up),
    );
    let mut row = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<34} {value}");
    };
    row("jobs submitted", all.submitted.to_string());
    row("jobs completed", all.completed.to_string());
    row("jobs running, waiting at the end", format!("{}, {}", all.running, all.queued));
    row("workers working", percent(all.working, all.capacity));
    row("workers loading weights", percent(all.loading, all.capacity));
    row("leases with weights in memory", hits(all));
    row("pre-emptions", all.preemptions.to_string());
    row("fairness (Jain's index)", fairness(all));
    row("light tenant's p95 wait", light(all, alone));
    text += &waits(all, alone);
    text
}

fn hits(all: &Outcome) -> String {
    let hits = all.leases - all.loads;
    let share = 100.0 * hits as f64 / all.leases.max(1) as f64;
    format!("{share:.1} % ({hits} of {})", all.leases)
}

fn percent(part: Duration, whole: Duration) -> String {
    format!("{:.1} %", 100.0 * part.as_secs_f64() / whole.as_secs_f64().max(1e-9))
}

fn fairness(all: &Outcome) -> String {
    let shares = all.shares();
    let Some(index) = all.jain_index() else {
        return "nobody asked for more than there was".to_owned();
    };
    let least = shares.values().copied().fold(f64::INFINITY, f64::min);
    let most = shares.values().copied().fold(0.0, f64::max);
    let tenants = shares.len();
    format!("{index:.4} over {tenants} tenants with a backlog, shares {least:.3} to {most:.3} of the mean")
}

/// The light tenant's waits, with the flood and without.
fn light(all: &Outcome, alone: &Outcome) -> String {
    let [with, without] = [all, alone].map(|it| percentile(&it.waits_of_kind(Kind::Light), 95));
    let ratio = with.as_secs_f64() / without.as_secs_f64().max(1e-3);
    format!("{} beside the flood, {} alone: {ratio:.2} times", seconds(with), seconds(without))
}

fn waits(all: &Outcome, alone: &Outcome) -> String {
    let mut text = format!(
        "\n{:<34} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "wait until the first lease", "jobs", "p50", "p95", "p99", "most"
    );
    for (name, class) in CLASSES {
        text += &wait_row(name, &all.waits(|wait| wait.class == class));
    }
    text += &wait_row("light tenant", &all.waits_of_kind(Kind::Light));
    text += &wait_row("light tenant, alone", &alone.waits_of_kind(Kind::Light));
    text += &wait_row("flooding tenant", &all.waits_of_kind(Kind::Flood));
    for weight in [100, 200, 300] {
        let of_weight = all.waits(|wait| {
            let tenant = &all.tenants[wait.tenant].tenant;
            tenant.kind == Kind::Regular && tenant.weight == weight && wait.class == Priority::Standard
        });
        text += &wait_row(&format!("regular, standard, weight {weight}"), &of_weight);
    }
    text
}

fn wait_row(name: &str, waits: &[Duration]) -> String {
    let [p50, p95, p99, most] = [50, 95, 99, 100].map(|at| seconds(percentile(waits, at)));
    format!("{name:<34} {:>9} {p50:>9} {p95:>9} {p99:>9} {most:>9}\n", waits.len())
}

/// What the store and the policy took, by the clock of this machine.
fn timings(all: &Outcome) -> String {
    let mut text = format!(
        "\n{:<34} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "time on this machine", "times", "p50", "p95", "p99", "most"
    );
    let claims = all.timings.claims.iter().map(|(_, took)| *took).collect();
    let leased: usize = all.timings.claims.iter().map(|(jobs, _)| jobs).sum();
    let spent: Duration = all.timings.claims.iter().map(|(_, took)| *took).sum();
    let rows = [
        ("snapshots", all.timings.snapshots.clone()),
        ("plans, and the rest of a round", all.plans.clone()),
        ("claims", claims),
    ];
    for (name, mut times) in rows {
        times.sort_unstable();
        let [p50, p95, p99, most] = [50, 95, 99, 100].map(|at| millis(percentile(&times, at)));
        text += &format!("{name:<34} {:>9} {p50:>9} {p95:>9} {p99:>9} {most:>9}\n", times.len());
    }
    let rate = leased as f64 / spent.as_secs_f64().max(1e-9);
    let each = leased as f64 / all.timings.claims.len().max(1) as f64;
    text += &format!("{each:.1} jobs a claim, {rate:.0} jobs leased in a second of claims\n");
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
