//! Logs, traces and metrics: one initialiser, flushed when its guard drops.

use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, ValueEnum};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::MeshError;

/// What is logged, how, and where traces and metrics go.
#[derive(Args, Clone, Debug)]
pub struct TelemetryOptions {
    /// What to log, for example `info` or `info,kinora_scheduler=debug`.
    #[arg(long, env = "KINORA_LOG", default_value = "info", global = true)]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "KINORA_LOG_FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,
    /// OTLP gRPC collector that receives traces and metrics, for example `http://127.0.0.1:4317`. None by default.
    #[arg(long, env = "KINORA_OTLP_ENDPOINT", global = true)]
    pub otlp_endpoint: Option<String>,
    /// How often metrics are sent there.
    #[arg(long, env = "KINORA_METRICS_INTERVAL", default_value = "15s", value_parser = humantime::parse_duration, global = true)]
    pub metrics_interval: Duration,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Flushes pending spans and metrics when dropped. Keep it until the end of `main`.
#[must_use = "traces and metrics are flushed when the guard drops"]
pub struct TelemetryGuard {
    provider: SdkTracerProvider,
    /// None without a collector.
    meters: Option<SdkMeterProvider>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "traces were not flushed");
        }
        if let Some(Err(error)) = self.meters.as_ref().map(SdkMeterProvider::shutdown) {
            tracing::debug!(%error, "metrics were not flushed");
        }
    }
}

/// Starts logging on the error stream and, when configured, the export of traces and metrics.
///
/// Instruments are made from the global meter afterwards; without a collector they cost nothing and tell nobody.
/// Must be called within a Tokio runtime.
///
/// Trace ids exist with or without an exporter, so that one id joins the log lines of all services.
///
/// # Errors
/// [`MeshError::Telemetry`] for a filter that cannot be read, a bad collector address, or a second call.
pub fn init(
    service: &'static str,
    options: &TelemetryOptions,
) -> Result<TelemetryGuard, MeshError> {
    let filter = EnvFilter::try_new(&options.log)
        .map_err(|error| MeshError::Telemetry(format!("log filter `{}`: {error}", options.log)))?;
    let provider = tracer_provider(service, options.otlp_endpoint.as_deref())?;
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("kinora"));
    let lines = match options.log_format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .with_writer(std::io::stderr)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(traces)
        .try_init()
        .map_err(|error| MeshError::Telemetry(error.to_string()))?;
    let meters = meter_provider(service, options)?;
    if let Some(meters) = &meters {
        opentelemetry::global::set_meter_provider(meters.clone());
    }
    Ok(TelemetryGuard { provider, meters })
}

fn resource(service: &'static str) -> Resource {
    Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

fn meter_provider(
    service: &'static str,
    options: &TelemetryOptions,
) -> Result<Option<SdkMeterProvider>, MeshError> {
    let Some(endpoint) = options.otlp_endpoint.as_deref() else {
        return Ok(None);
    };
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| MeshError::Telemetry(format!("collector `{endpoint}`: {error}")))?;
    let reader = PeriodicReader::builder(exporter)
        .with_interval(options.metrics_interval)
        .build();
    let builder = SdkMeterProvider::builder().with_resource(resource(service));
    Ok(Some(builder.with_reader(reader).build()))
}

fn tracer_provider(
    service: &'static str,
    endpoint: Option<&str>,
) -> Result<SdkTracerProvider, MeshError> {
    let builder = SdkTracerProvider::builder().with_resource(resource(service));
    let Some(endpoint) = endpoint else {
        return Ok(builder.build());
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| MeshError::Telemetry(format!("collector `{endpoint}`: {error}")))?;
    Ok(builder.with_batch_exporter(exporter).build())
}
