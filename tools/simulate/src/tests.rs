//! Small runs on a real store.

use clap::Parser;

use crate::engine;
use crate::options::Options;
use crate::outcome::{Outcome, percentile};
use crate::report::{self, Runs};
use crate::workload::{Kind, Scope, Variant};

fn options(arguments: &[&str]) -> Options {
    Options::parse_from(["simulate"].iter().chain(arguments))
}

const SMALL: [&str; 11] = [
    "--workers",
    "40",
    "--tenants",
    "8",
    "--models",
    "4",
    "--duration",
    "3m",
    "--warm-up",
    "1m",
    "--cancel-rest",
];

/// Runs end with an error when a job has no outcome, or two, and when a limit is exceeded.
async fn run(options: &Options, variant: Variant) -> Outcome {
    engine::run(options, variant, None).await.expect("a run")
}

#[tokio::test]
async fn a_small_fleet_is_kept_busy_and_shared_by_weight_and_no_light_tenant_waits_long() {
    let mut options = options(&SMALL);
    options.light_rate = 0.5;
    options.load = 4.0;
    let all = run(&options, Variant::of(Scope::All)).await;
    let busy = (all.working + all.loading).as_secs_f64() / all.capacity.as_secs_f64();
    assert!(busy > 0.95, "{busy}");
    let index = all.jain_index().expect("tenants with a backlog");
    assert!(index > 0.9, "{index}: {:?}", all.shares());
    assert!(all.shares().contains_key("flood"));
    let light = percentile(&all.waits_of_kind(Kind::Light), 95);
    let flood = percentile(&all.waits_of_kind(Kind::Flood), 50);
    assert!(light * 3 < flood, "{light:?} beside {flood:?}");
}

#[tokio::test]
async fn workers_that_vanish_cost_steps_and_no_job() {
    let mut options = options(&SMALL);
    options.spot_share = 1.0;
    options.spot_life = std::time::Duration::from_secs(60);
    options.cancel_rest = false;
    options.load = 0.5;
    let all = run(&options, Variant::of(Scope::All)).await;
    assert!(
        all.lost_leases > 20 && all.stale_reports > 0,
        "{}",
        all.lost_leases
    );
    assert!(all.steps_recomputed > 0);
    assert_eq!(all.cancelled, 0);
    assert!(
        all.completed * 10 > all.submitted * 9,
        "{} of {}",
        all.completed,
        all.submitted
    );
}

#[tokio::test]
async fn affinity_saves_loading() {
    let options = options(&SMALL);
    let all = run(&options, Variant::of(Scope::All)).await;
    let blind = Variant {
        is_affine: false,
        ..Variant::of(Scope::All)
    };
    let blind = run(&options, blind).await;
    assert!(
        all.loading * 2 < blind.loading,
        "{:?} and {:?}",
        all.loading,
        blind.loading
    );
}

#[tokio::test]
async fn the_same_seed_gives_the_same_table() {
    let options = options(&[
        "--workers",
        "20",
        "--tenants",
        "4",
        "--models",
        "3",
        "--duration",
        "1m",
        "--warm-up",
        "10s",
    ]);
    let mut tables = Vec::new();
    for _ in 0..2 {
        let runs = Runs {
            alone: run(&options, Variant::of(Scope::LightAlone)).await,
            all: run(&options, Variant::of(Scope::All)).await,
        };
        tables.push(report::virtual_part(&options, &runs));
    }
    assert_eq!(tables[0], tables[1]);
    assert!(tables[0].contains("fairness"), "{}", tables[0]);
}
