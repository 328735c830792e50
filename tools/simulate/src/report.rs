//! The table.

mod compare;

pub use compare::text as comparison;

use std::fmt::Write;
use std::time::Duration;

use kinora_scheduler::domain::job::Priority;

use crate::options::Options;
use crate::outcome::{Outcome, percentile};
use crate::workload::{Kind, STEPS};

const CLASSES: [(&str, Priority); 3] = [
    ("interactive", Priority::Interactive),
    ("standard", Priority::Standard),
    ("batch", Priority::Batch),
];

/// What was run.
pub struct Runs {
    pub all: Outcome,
    /// The light tenant alone.
    pub alone: Outcome,
}

/// Runs of a small fleet.
pub struct Experiments {
    pub alone: Outcome,
    pub without_flood: Outcome,
    pub all: Outcome,
    pub without_affinity: Outcome,
    pub without_preemption: Outcome,
}

/// Everything that these runs showed.
pub fn text(options: &Options, runs: &Runs) -> String {
    virtual_part(options, runs) + &timings(&runs.all)
}

/// What depends on the arguments alone.
pub fn virtual_part(options: &Options, runs: &Runs) -> String {
    let Runs { all, alone, .. } = runs;
    let mut text = format!(
        "{} workers, {} tenants, {} models, {} of load {} after {} of warm-up, seed {}\n\n",
        options.workers,
        options.tenants,
        options.models,
        humantime::format_duration(options.duration),
        options.load,
        humantime::format_duration(options.warm_up),
        options.seed,
    );
    for (name, value) in outcomes(all).into_iter().chain(service(all, alone)) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<34} {value}");
    }
    text += &waits(all, alone);
    text += &tenants(all);
    text
}

/// What became of the jobs.
fn outcomes(all: &Outcome) -> Vec<(&'static str, String)> {
    let mut again = all.re_leases.clone();
    again.sort_unstable();
    let ended = format!(
        "{} completed, {} failed, {} quarantined, {} cancelled",
        all.completed, all.failed, all.quarantined, all.cancelled
    );
    let checked = format!(
        "{} of {}, in the database as reported",
        all.submitted, all.submitted
    );
    let steps = all.steps_recomputed as f64 / (all.completed.max(1) * u64::from(STEPS)) as f64;
    vec![
        ("jobs accepted", all.submitted.to_string()),
        ("jobs with exactly one outcome", checked),
        ("outcomes", ended),
        (
            "attempts, of them failed by fault",
            format!("{}, {}", all.attempts, all.failures),
        ),
        (
            "workers vanished, leases lost",
            format!("{}, {}", all.vanished, all.lost_leases),
        ),
        ("late reports, all refused", all.stale_reports.to_string()),
        (
            "vanished until leased again",
            format!(
                "p50 {}, p95 {}",
                seconds(percentile(&again, 50)),
                seconds(percentile(&again, 95))
            ),
        ),
        (
            "steps recomputed",
            format!(
                "{} ({:.3} % of those in clips)",
                all.steps_recomputed,
                100.0 * steps
            ),
        ),
        ("simulated time", seconds(all.simulated)),
    ]
}

/// How workers and tenants fared.
fn service(all: &Outcome, alone: &Outcome) -> Vec<(&'static str, String)> {
    let capped = all.tenants.iter().find(|it| it.tenant.kind == Kind::Capped);
    let limit = capped.map(|it| format!("{} of {}", it.most_running, it.tenant.max_running));
    vec![
        ("workers working", percent(all.working, all.capacity)),
        (
            "workers loading weights",
            percent(all.loading, all.capacity),
        ),
        ("leases with weights in memory", hits(all)),
        ("pre-emptions", all.preemptions.to_string()),
        (
            "most running under a limit",
            limit.unwrap_or_else(|| "nobody has one".to_owned()),
        ),
        ("fairness (Jain's index)", fairness(all)),
        ("light tenant's p95 wait", light(all, alone)),
    ]
}

fn hits(all: &Outcome) -> String {
    let hits = all.leases - all.loads;
    let share = 100.0 * hits as f64 / all.leases.max(1) as f64;
    format!("{share:.1} % ({hits} of {})", all.leases)
}

fn percent(part: Duration, whole: Duration) -> String {
    format!(
        "{:.1} %",
        100.0 * part.as_secs_f64() / whole.as_secs_f64().max(1e-9)
    )
}

fn fairness(all: &Outcome) -> String {
    let shares = all.shares();
    let Some(index) = all.jain_index() else {
        return "nobody asked for more than there was".to_owned();
    };
    let least = shares.values().copied().fold(f64::INFINITY, f64::min);
    let most = shares.values().copied().fold(0.0, f64::max);
    let tenants = shares.len();
    format!(
        "{index:.4} over {tenants} tenants with a backlog, shares {least:.3} to {most:.3} of the mean"
    )
}

/// The light tenant's waits, with the others and without.
fn light(all: &Outcome, alone: &Outcome) -> String {
    let [with, without] = [all, alone].map(|it| percentile(&it.waits_of_kind(Kind::Light), 95));
    format!(
        "{} beside the others, {} alone",
        seconds(with),
        seconds(without)
    )
}

fn waits(all: &Outcome, alone: &Outcome) -> String {
    let mut text = heading("wait until the first lease", "jobs");
    for (name, class) in CLASSES {
        text += &wait_row(name, &all.waits(|wait| wait.class == class));
    }
    text += &wait_row("light tenant", &all.waits_of_kind(Kind::Light));
    text += &wait_row("light tenant, alone", &alone.waits_of_kind(Kind::Light));
    text += &wait_row("flooding tenant", &all.waits_of_kind(Kind::Flood));
    for weight in [100, 200, 300] {
        let of_weight = all.waits(|wait| {
            let tenant = &all.tenants[wait.tenant].tenant;
            tenant.kind == Kind::Regular
                && tenant.weight == weight
                && wait.class == Priority::Standard
        });
        text += &wait_row(&format!("regular, standard, weight {weight}"), &of_weight);
    }
    text
}

fn heading(what: &str, count: &str) -> String {
    format!(
        "\n{what:<34} {count:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "p50", "p95", "p99", "most"
    )
}

fn wait_row(name: &str, waits: &[Duration]) -> String {
    let [p50, p95, p99, most] = [50, 95, 99, 100].map(|at| seconds(percentile(waits, at)));
    format!(
        "{name:<34} {:>9} {p50:>9} {p95:>9} {p99:>9} {most:>9}\n",
        waits.len()
    )
}

fn tenants(all: &Outcome) -> String {
    let shares = all.shares();
    let mut text = format!(
        "\n{:<14} {:>7} {:>9} {:>15} {:>14} {:>9} {:>9}\n",
        "tenant", "weight", "jobs", "device time", "of fair share", "p50 wait", "p95 wait"
    );
    for (at, it) in all.tenants.iter().enumerate() {
        let waits = all.waits(|wait| wait.tenant == at);
        let [p50, p95] = [50, 95].map(|at| seconds(percentile(&waits, at)));
        let share = shares.get(&it.tenant.name);
        let share = share.map_or_else(|| "asks for less".to_owned(), |share| format!("{share:.3}"));
        let share = if it.tenant.max_running > 0 {
            "has a limit".to_owned()
        } else {
            share
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<14} {:>7} {:>9} {:>15} {share:>14} {p50:>9} {p95:>9}",
            it.tenant.name,
            it.tenant.weight,
            it.submitted,
            format!("{:.0} s", it.served.as_secs_f64()),
        );
    }
    text
}

/// What the store and the policy took, by the clock of this machine.
fn timings(all: &Outcome) -> String {
    let mut text = heading("time on this machine", "times");
    let claims = all.timings.claims.iter().map(|(_, took)| *took).collect();
    let leased: usize = all.timings.claims.iter().map(|(jobs, _)| jobs).sum();
    let spent: Duration = all.timings.claims.iter().map(|(_, took)| *took).sum();
    let rows = [
        ("submissions", all.submits.clone()),
        ("snapshots", all.timings.snapshots.clone()),
        ("plans, and the rest of a round", all.plans.clone()),
        ("claims", claims),
        ("reports", all.changes.clone()),
    ];
    for (name, mut times) in rows {
        times.sort_unstable();
        let [p50, p95, p99, most] = [50, 95, 99, 100].map(|at| millis(percentile(&times, at)));
        text += &format!(
            "{name:<34} {:>9} {p50:>9} {p95:>9} {p99:>9} {most:>9}\n",
            times.len()
        );
    }
    let rate = leased as f64 / spent.as_secs_f64().max(1e-9);
    let each = leased as f64 / all.timings.claims.len().max(1) as f64;
    let took = all.took.as_secs_f64();
    text += &format!(
        "{each:.1} jobs a claim, {rate:.0} jobs leased in a second of claims, {took:.0} s for the run of all tenants\n"
    );
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
