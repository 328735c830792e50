//! Small runs on a real store.

use clap::Parser;

use crate::engine;
use crate::options::Options;
use crate::outcome::{Outcome, percentile};
use crate::report;
use crate::workload::{Kind, Scope};

fn options(arguments: &[&str]) -> Options {
    Options::parse_from(["simulate"].iter().chain(arguments))
}

const SMALL: [&str; 10] = [
    "--workers", "60", "--tenants", "8", "--models", "4", "--duration", "4m", "--warm-up", "1m",
];

async fn run(options: &Options, scope: Scope) -> Outcome {
    engine::run(options, scope).await.expect("a run")
}

#[tokio::test]
async fn a_small_fleet_is_kept_busy_and_shared_by_weight() {
    let options = options(&SMALL);
    let all = run(&options, Scope::All).await;
    let done = all.completed + all.running + all.queued;
    assert_eq!(all.submitted, done, "no job is lost and none ends twice");
    let busy = (all.working + all.loading).as_secs_f64() / all.capacity.as_secs_f64();
    assert!(busy > 0.97, "{busy}");
    let index = all.jain_index().expect("tenants with a backlog");
    assert!(index > 0.9, "{index}: {:?}", all.shares());
    assert!(all.shares().contains_key("flood"));
}

#[tokio::test]
async fn a_flood_does_not_hold_up_a_light_tenant() {
    let options = options(&SMALL);
    let all = run(&options, Scope::All).await;
    let light = percentile(&all.waits_of_kind(Kind::Light), 95);
    let flood = percentile(&all.waits_of_kind(Kind::Flood), 50);
    assert!(!light.is_zero() && light * 4 < flood, "{light:?} beside {flood:?}");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_table() {
    let options = options(&[
        "--workers", "20", "--tenants", "4", "--models", "3", "--duration", "1m", "--warm-up", "10s",
    ]);
    let mut tables = Vec::new();
    for _ in 0..2 {
        let alone = run(&options, Scope::LightAlone).await;
        let all = run(&options, Scope::All).await;
        tables.push(report::virtual_part(&options, &all, &alone));
    }
    assert_eq!(tables[0], tables[1]);
    assert!(tables[0].contains("fairness"), "{}", tables[0]);
}
