//! Faults of a whole mesh, longer than tests have time for, and two of the processes that such a mesh needs.

#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use kinora_blobs::{BlobOptions, BlobStore, EmbeddedS3, Secret};
use kinora_integration_tests::chaos::{Phase, RollingOptions, SoakOptions, rolling_restart, soak};
use kinora_mesh::identity::{Identity, IdentityOptions};
use kinora_mesh::telemetry::TelemetryOptions;
use kinora_scheduler::SchedulerOptions;
use kinora_scheduler::clock::{Clock, SystemClock};

#[derive(Parser)]
#[command(name = "kinora-chaos")]
struct Arguments {
    #[command(flatten)]
    telemetry: TelemetryOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kill, freeze and end random processes while callers work; tell what was lost, done twice or wrongly paid.
    Soak(SoakArguments),
    /// Replace all schedulers under load; tell which attempts that interrupted.
    Rolling {
        /// How often.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Workers, each with a job at all times.
        #[arg(long, default_value_t = 4)]
        workers: usize,
        /// Replicas.
        #[arg(long, default_value_t = 3)]
        schedulers: usize,
    },
    /// An object store over a folder.
    Store(StoreArguments),
    /// A scheduler whose clock is as far off as a file says.
    Scheduler(Box<SchedulerArguments>),
}

#[derive(Args)]
struct SoakArguments {
    /// Faults in all.
    #[arg(long, default_value_t = 1000)]
    kills: u32,
    /// Decides what is struck, how and when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Minutes over which the faults are spread.
    #[arg(long, default_value_t = 12.0)]
    minutes: f64,
    /// Replicas.
    #[arg(long, default_value_t = 2)]
    schedulers: usize,
    /// Workers.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Jobs under way at a time.
    #[arg(long, default_value_t = 12)]
    users: usize,
    /// A further argument of every scheduler, such as `--scheduler-events=postgres`.
    #[arg(long)]
    scheduler_argument: Vec<String>,
    /// Also writes the table into this file.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Args)]
struct StoreArguments {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// The folder.
    #[arg(long)]
    root: PathBuf,
    /// Id of the access key.
    #[arg(long, env = "KINORA_S3_ACCESS_KEY")]
    access_key: String,
    /// The access key's secret.
    #[arg(long, env = "KINORA_S3_SECRET_KEY", hide_env_values = true)]
    secret_key: Secret,
}

#[derive(Args)]
struct SchedulerArguments {
    /// File with the milliseconds by which the clock is ahead; the clock is right while there is none.
    #[arg(long)]
    clock_offset: PathBuf,
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    #[command(flatten)]
    identity: IdentityOptions,
    #[command(flatten)]
    scheduler: SchedulerOptions,
    #[command(flatten)]
    blobs: BlobOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // Fails only when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _telemetry = kinora_mesh::telemetry::init("kinora-chaos", &arguments.telemetry)?;
    match arguments.command {
        Command::Soak(soak) => run_soak(soak).await,
        Command::Rolling {
            rounds,
            workers,
            schedulers,
        } => {
            let options = RollingOptions {
                rounds,
                workers,
                schedulers,
                ..RollingOptions::default()
            };
            let report = rolling_restart(options).await;
            println!("{report}");
            Ok(exit_code(report.is_clean()))
        }
        Command::Store(store) => serve_store(store).await,
        Command::Scheduler(scheduler) => serve_scheduler(*scheduler).await,
    }
}

async fn run_soak(arguments: SoakArguments) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new(arguments.kills.into());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} faults  {msg}  {elapsed} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let options = SoakOptions {
        kills: arguments.kills,
        seed: arguments.seed,
        length: Duration::try_from_secs_f64(arguments.minutes * 60.0).unwrap_or_default(),
        schedulers: arguments.schedulers,
        workers: arguments.workers,
        users: arguments.users,
        scheduler_arguments: arguments.scheduler_argument,
    };
    let report = soak(options, |phase| match phase {
        Phase::Striking(faults, jobs) => {
            bar.set_position(faults.into());
            bar.set_message(format!("{jobs} jobs"));
        }
        Phase::Ending => bar.set_message("the last jobs end"),
        Phase::Judging => bar.set_message("every job is looked at"),
    })
    .await;
    bar.finish();
    println!("{report}");
    if let Some(file) = arguments.report {
        std::fs::write(&file, report.to_string())
            .with_context(|| format!("{} was not written", file.display()))?;
    }
    Ok(exit_code(report.is_clean()))
}

fn exit_code(is_clean: bool) -> ExitCode {
    if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn serve_store(arguments: StoreArguments) -> anyhow::Result<ExitCode> {
    let shutdown = kinora_mesh::shutdown::on_signals();
    let listener = kinora_mesh::serve::bind(arguments.listen).await?;
    let StoreArguments {
        root,
        access_key,
        secret_key,
        ..
    } = arguments;
    let stop = shutdown.cancelled_owned();
    EmbeddedS3::serve(listener, root, access_key, secret_key, stop)
        .await
        .context("the object store stopped")?;
    Ok(ExitCode::SUCCESS)
}

async fn serve_scheduler(arguments: SchedulerArguments) -> anyhow::Result<ExitCode> {
    let shutdown = kinora_mesh::shutdown::on_signals();
    let listener = kinora_mesh::serve::bind(arguments.listen).await?;
    let objects = Arc::new(BlobStore::new(&arguments.blobs));
    let clock = Arc::new(SteppedClock(arguments.clock_offset));
    let identity = Identity::load(&arguments.identity)?;
    let options = arguments.scheduler;
    let serving =
        kinora_scheduler::serve_with_clock(options, objects, identity, listener, clock, shutdown);
    Box::pin(serving).await.context("the scheduler stopped")?;
    Ok(ExitCode::SUCCESS)
}

/// The machine's clock, off by what a file says at every look.
struct SteppedClock(PathBuf);

impl Clock for SteppedClock {
    fn now(&self) -> kinora_scheduler::domain::job::Time {
        let now = SystemClock.now();
        let offset = offset_in(&self.0).unwrap_or(0);
        let offset = chrono::TimeDelta::milliseconds(offset);
        now.checked_add_signed(offset).unwrap_or(now)
    }
}

fn offset_in(file: &Path) -> Option<i64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
