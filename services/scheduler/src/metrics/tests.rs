use std::collections::BTreeMap;

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

use super::*;
use crate::webhooks::event::EventKind;
use crate::webhooks::metrics::WebhookMetrics;

/// Every instrument with its unit, after each has had something to say.
fn registered() -> BTreeMap<String, String> {
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let metrics = Metrics::new(&provider.meter(SCOPE));
    metrics.claim(Duration::from_millis(3));
    metrics.waited(Duration::from_secs(3), Priority::Batch, "anna");
    metrics.tried(
        EventKind::Completed,
        "delivered",
        Duration::from_millis(80),
        Duration::from_secs(1),
    );
    let queue = QueueLoad {
        model: "tiny".to_owned(),
        class: Priority::Standard,
        queued: 7,
        oldest: Some(Duration::from_secs(9)),
        device_time: Duration::from_secs(70),
        running: 2,
    };
    let settlements = SettlementLoad {
        waiting: 3,
        oldest: Some(Duration::from_secs(5)),
        set_aside: 1,
    };
    let load = Load {
        queues: vec![queue],
        workers: WorkerLoad::default(),
        settlements: Some(settlements),
    };
    metrics.billing_called("hold", Called::Answered, Duration::from_millis(3));
    metrics.prompts_called(Called::Answered, Duration::from_millis(3));
    let bus = Status {
        lag: Some(Duration::from_millis(2)),
        ..Status::default()
    };
    metrics.show(load, bus);
    provider.force_flush().expect("collects");
    let collected = exporter.get_finished_metrics().expect("collects");
    let scopes = collected
        .iter()
        .flat_map(|resource| resource.scope_metrics());
    scopes
        .flat_map(|scope| scope.metrics())
        .map(|metric| (metric.name().to_owned(), metric.unit().to_owned()))
        .collect()
}

/// The names and units of the table in the documentation.
fn documented() -> BTreeMap<String, String> {
    let page = include_str!("../../../../docs/metrics.md");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `kinora.scheduler."));
    rows.map(|row| {
        let cells: Vec<&str> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        (cells[1].to_owned(), cells[3].to_owned())
    })
    .collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_exists() {
    assert_eq!(documented(), registered());
}
