//! The scheduler's options.

use std::time::Duration;

use clap::{ArgAction, Args};
use humantime::parse_duration;
use kinora_mesh::lifecycle::{DrainOptions, ProbeOptions};
use kinora_mesh::serve::GrpcOptions;
use kinora_mesh::withheld::Withheld;
use kinora_store::DatabaseUrl;

use crate::domain::job::Terms;
use crate::domain::retry::RetryPolicy;
use crate::policy::PolicyOptions;
use crate::signals::EventsVia;
use crate::store::{Caps, Limits};
use crate::webhooks::WebhookOptions;

const DEFAULT_ACCOUNTS_ENDPOINT: &str = "http://127.0.0.1:7003";

const DEFAULT_TOKEN_ISSUER: &str = "kinora";

/// How the scheduler runs.
#[derive(Args, Clone, Debug)]
pub struct SchedulerOptions {
    /// The database: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`.
    #[arg(
        id = "scheduler_database",
        long = "scheduler-database",
        env = "KINORA_SCHEDULER_DATABASE",
        default_value = "sqlite://kinora-scheduler.db",
        hide_env_values = true,
        value_parser = Withheld::<DatabaseUrl>::new()
    )]
    pub database: DatabaseUrl,
    /// Whether the schema is brought up to date at the start.
    #[arg(
        id = "scheduler_migrate",
        long = "migrate",
        env = "KINORA_SCHEDULER_MIGRATE",
        default_value_t = true,
        action = ArgAction::Set
    )]
    pub migrate: bool,
    /// Model of submissions that name none; not needed while there is only one.
    #[arg(long, env = "KINORA_SCHEDULER_DEFAULT_MODEL")]
    pub default_model: Option<String>,
    /// How often workers send a heartbeat.
    #[arg(long, env = "KINORA_SCHEDULER_HEARTBEAT_INTERVAL", default_value = "2s", value_parser = parse_duration)]
    pub heartbeat_interval: Duration,
    /// How long a worker may be silent before its jobs are given to others.
    #[arg(long, env = "KINORA_SCHEDULER_WORKER_TTL", default_value = "4500ms", value_parser = parse_duration)]
    pub worker_ttl: Duration,
    /// How events reach other replicas: `memory` (they do not: one replica), `postgres` (through the database), or
    /// `nats://[USER:PASSWORD@]HOST:PORT[/PREFIX]`. By default `postgres` on PostgreSQL and `memory` on SQLite.
    /// Subjects on NATS begin with the prefix, `kinora` by default: all replicas of a deployment share one, and
    /// deployments that share a server must have different ones.
    #[arg(
        long = "scheduler-events",
        env = "KINORA_SCHEDULER_EVENTS",
        hide_env_values = true,
        value_parser = Withheld::<EventsVia>::new()
    )]
    pub events: Option<EventsVia>,
    /// How often the progress of a running attempt is written to the database. Watchers see more of it.
    #[arg(long, env = "KINORA_SCHEDULER_PROGRESS_INTERVAL", default_value = "1s", value_parser = parse_duration)]
    pub progress_interval: Duration,
    /// How long a watcher may read nothing before its stream ends.
    #[arg(long, env = "KINORA_SCHEDULER_WATCHER_PATIENCE", default_value = "30s", value_parser = parse_duration)]
    pub watcher_patience: Duration,
    /// How often the queue and the workers are counted for the metrics.
    #[arg(long, env = "KINORA_SCHEDULER_MEASURE_INTERVAL", default_value = "10s", value_parser = parse_duration)]
    pub measure_interval: Duration,
    /// How often silent workers and overdue attempts are looked for.
    #[arg(long, env = "KINORA_SCHEDULER_REAP_INTERVAL", default_value = "250ms", value_parser = parse_duration)]
    pub reap_interval: Duration,
    /// How often the database is read for what other replicas changed.
    #[arg(long, env = "KINORA_SCHEDULER_POLL_INTERVAL", default_value = "1s", value_parser = parse_duration)]
    pub poll_interval: Duration,
    /// How long a batch job waits until it counts as a standard one.
    #[arg(long = "scheduler-batch-aging", env = "KINORA_SCHEDULER_BATCH_AGING", default_value = "5m", value_parser = parse_duration)]
    pub batch_aging: Duration,
    /// How long a standard job waits until it counts as an interactive one.
    #[arg(long = "scheduler-standard-aging", env = "KINORA_SCHEDULER_STANDARD_AGING", default_value = "2m", value_parser = parse_duration)]
    pub standard_aging: Duration,
    /// Whether an interactive job that finds no free worker takes the place of one of a lower class, which goes on from
    /// its checkpoint later.
    #[arg(long = "scheduler-preemption", env = "KINORA_SCHEDULER_PREEMPTION", default_value_t = true, action = ArgAction::Set)]
    pub preemption: bool,
    /// How long an attempt may take.
    #[arg(long, env = "KINORA_SCHEDULER_TIME_LIMIT", default_value = "30m", value_parser = parse_duration)]
    pub time_limit: Duration,
    /// Attempts that may end badly before a job fails.
    #[arg(long, env = "KINORA_SCHEDULER_MAX_ATTEMPTS", default_value_t = 3)]
    pub max_attempts: u32,
    /// Delay before a failed job is tried again; doubles with every further attempt, up to a minute.
    #[arg(long, env = "KINORA_SCHEDULER_RETRY_DELAY", default_value = "2s", value_parser = parse_duration)]
    pub retry_delay: Duration,
    /// How often objects that are due for removal are looked for.
    #[arg(long, env = "KINORA_SCHEDULER_SWEEP_INTERVAL", default_value = "2s", value_parser = parse_duration)]
    pub sweep_interval: Duration,
    /// When removed prefixes are swept again, for what a cut-off worker uploaded late. Longer than the time limit
    /// of attempts, since a worker may upload until then.
    #[arg(long, env = "KINORA_SCHEDULER_LATE_SWEEP_DELAY", default_value = "40m", value_parser = parse_duration)]
    pub late_sweep_delay: Duration,
    /// Submissions with pictures that are taken in at a time; more are refused for the moment. Each holds up to 100 MiB.
    #[arg(long, env = "KINORA_SCHEDULER_PICTURE_UPLOADS", default_value_t = 8)]
    pub picture_uploads: u16,
    /// Uploads of a principal that may be there at a time, used or not; 0 for no limit. Each holds up to 16 MiB.
    #[arg(long, env = "KINORA_SCHEDULER_MAX_UPLOADS", default_value_t = 250)]
    pub max_uploads: u32,
    /// How long after its link was made an upload is removed, used or not.
    #[arg(long, env = "KINORA_SCHEDULER_UPLOAD_RETENTION", default_value = "24h", value_parser = parse_duration)]
    pub upload_retention: Duration,
    /// Jobs of a principal that may be under way at a time, those that wait for others not counted; 0 for no limit.
    #[arg(long, env = "KINORA_SCHEDULER_MAX_ACTIVE", default_value_t = 3)]
    pub max_active: u32,
    /// Jobs of a tenant that may wait at a time; 0 for no limit.
    #[arg(long, env = "KINORA_SCHEDULER_MAX_QUEUED", default_value_t = 10_000)]
    pub max_queued: u32,
    /// Jobs of one model and class that may wait at a time; 0 for no limit.
    #[arg(long, env = "KINORA_SCHEDULER_MAX_QUEUE", default_value_t = 100_000)]
    pub max_queue: u32,
    /// Jobs of a principal that run at a time; 0 for no limit.
    #[arg(long, env = "KINORA_SCHEDULER_MAX_RUNNING", default_value_t = 0)]
    pub max_running: u32,
    /// Jobs of a tenant that run at a time; 0 for no limit.
    #[arg(long, env = "KINORA_SCHEDULER_MAX_TENANT_RUNNING", default_value_t = 0)]
    pub max_tenant_running: u32,
    /// Streams on which a principal follows jobs at a time, at one replica; 0 for no limit.
    #[arg(long, env = "KINORA_SCHEDULER_MAX_WATCHES", default_value_t = 1000)]
    pub max_watches: u32,
    /// How long a preview waits for its approval before its job expires.
    #[arg(long, env = "KINORA_SCHEDULER_APPROVAL_WINDOW", default_value = "24h", value_parser = parse_duration)]
    pub approval_window: Duration,
    /// How long ended jobs are kept with their objects. What is accepted keeps what was promised then.
    #[arg(long = "scheduler-retention", env = "KINORA_SCHEDULER_RETENTION", default_value = "30d", value_parser = parse_duration)]
    pub retention: Duration,
    /// How often jobs are looked for that expire or whose retention is over.
    #[arg(long, env = "KINORA_SCHEDULER_UPKEEP_INTERVAL", default_value = "2s", value_parser = parse_duration)]
    pub upkeep_interval: Duration,
    /// The accounts service, which says what callers' tokens are checked against.
    #[arg(
        id = "scheduler_accounts_endpoint",
        long = "accounts-endpoint",
        env = "KINORA_ACCOUNTS_ENDPOINT",
        default_value = DEFAULT_ACCOUNTS_ENDPOINT
    )]
    pub accounts_endpoint: String,
    /// Who signs the tokens of callers.
    #[arg(
        id = "scheduler_token_issuer",
        long = "token-issuer",
        env = "KINORA_TOKEN_ISSUER",
        default_value = DEFAULT_TOKEN_ISSUER
    )]
    pub token_issuer: String,
    /// The billing service, which sets credits aside for jobs. Without it nothing costs anything.
    #[arg(
        id = "scheduler_billing_endpoint",
        long = "billing-endpoint",
        alias = "billing-url",
        env = "KINORA_BILLING_ENDPOINT"
    )]
    pub billing_endpoint: Option<String>,
    /// How long a call to billing may take.
    #[arg(long, env = "KINORA_SCHEDULER_BILLING_TIMEOUT", default_value = "5s", value_parser = parse_duration)]
    pub billing_timeout: Duration,
    /// The prompts service, which moderates prompts and rewrites them. Without it they are taken as they come.
    #[arg(
        id = "scheduler_prompts_endpoint",
        long = "prompts-endpoint",
        env = "KINORA_PROMPTS_ENDPOINT"
    )]
    pub prompts_endpoint: Option<String>,
    /// How long a call to prompts may take; longer than that service takes for a prompt.
    #[arg(long, env = "KINORA_SCHEDULER_PROMPTS_TIMEOUT", default_value = "10s", value_parser = parse_duration)]
    pub prompts_timeout: Duration,
    /// How often billing is told what has become of holds.
    #[arg(long, env = "KINORA_SCHEDULER_SETTLE_INTERVAL", default_value = "1s", value_parser = parse_duration)]
    pub settle_interval: Duration,
    /// How often the holds that are open are compared with the jobs.
    #[arg(long, env = "KINORA_SCHEDULER_HOLD_SWEEP_INTERVAL", default_value = "1m", value_parser = parse_duration)]
    pub hold_sweep_interval: Duration,
    /// How webhooks are sent.
    #[command(flatten)]
    pub webhooks: WebhookOptions,
    /// How calls are answered.
    #[command(flatten)]
    pub grpc: GrpcOptions,
    /// Where the service says how it is.
    #[command(flatten)]
    pub probes: ProbeOptions,
    /// How it leaves.
    #[command(flatten)]
    pub drain: DrainOptions,
}

impl SchedulerOptions {
    /// The defaults on a given database.
    #[must_use]
    pub fn new(database: DatabaseUrl) -> Self {
        Self {
            database,
            migrate: true,
            default_model: None,
            heartbeat_interval: Duration::from_secs(2),
            worker_ttl: Duration::from_millis(4500),
            events: None,
            progress_interval: Duration::from_secs(1),
            watcher_patience: Duration::from_secs(30),
            measure_interval: Duration::from_secs(10),
            reap_interval: Duration::from_millis(250),
            poll_interval: Duration::from_secs(1),
            batch_aging: Duration::from_secs(5 * 60),
            standard_aging: Duration::from_secs(2 * 60),
            preemption: true,
            time_limit: Duration::from_secs(30 * 60),
            max_attempts: 3,
            retry_delay: Duration::from_secs(2),
            sweep_interval: Duration::from_secs(2),
            late_sweep_delay: Duration::from_secs(40 * 60),
            picture_uploads: 8,
            max_uploads: 250,
            upload_retention: Duration::from_secs(24 * 60 * 60),
            max_active: 3,
            max_queued: 10_000,
            max_queue: 100_000,
            max_running: 0,
            max_tenant_running: 0,
            max_watches: 1000,
            approval_window: Duration::from_secs(24 * 60 * 60),
            retention: Duration::from_secs(30 * 24 * 60 * 60),
            upkeep_interval: Duration::from_secs(2),
            accounts_endpoint: DEFAULT_ACCOUNTS_ENDPOINT.to_owned(),
            token_issuer: DEFAULT_TOKEN_ISSUER.to_owned(),
            billing_endpoint: None,
            billing_timeout: Duration::from_secs(5),
            prompts_endpoint: None,
            prompts_timeout: Duration::from_secs(10),
            settle_interval: Duration::from_secs(1),
            hold_sweep_interval: Duration::from_secs(60),
            webhooks: WebhookOptions::new(),
            grpc: GrpcOptions::default(),
            probes: ProbeOptions::default(),
            drain: DrainOptions::default(),
        }
    }

    /// How often a job is tried.
    #[must_use]
    pub const fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            max_attempts: self.max_attempts,
            base_delay: self.retry_delay,
        }
    }

    /// Who goes first.
    #[must_use]
    pub fn policy(&self) -> PolicyOptions {
        let usual = PolicyOptions::default();
        PolicyOptions {
            batch_aging: self.batch_aging,
            standard_aging: self.standard_aging,
            max_preemptions: if self.preemption {
                usual.max_preemptions
            } else {
                0
            },
            ..usual
        }
    }

    /// What is promised to a job that is accepted now.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        Terms {
            approval_window: self.approval_window,
            retention: self.retention,
            adult_audience: false,
        }
    }

    /// How much may wait.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits {
            max_active_per_owner: self.max_active,
            max_queued_per_tenant: self.max_queued,
            max_queued_per_queue: self.max_queue,
        }
    }

    /// How much may run.
    #[must_use]
    pub const fn caps(&self) -> Caps {
        Caps {
            max_running_per_owner: self.max_running,
            max_running_per_tenant: self.max_tenant_running,
        }
    }

    /// Every problem with the values, in one text.
    pub(crate) fn problems(&self) -> Option<String> {
        let durations = [
            ("heartbeat-interval", self.heartbeat_interval),
            ("progress-interval", self.progress_interval),
            ("watcher-patience", self.watcher_patience),
            ("measure-interval", self.measure_interval),
            ("reap-interval", self.reap_interval),
            ("poll-interval", self.poll_interval),
            ("sweep-interval", self.sweep_interval),
            ("time-limit", self.time_limit),
            ("upkeep-interval", self.upkeep_interval),
            ("approval-window", self.approval_window),
            ("upload-retention", self.upload_retention),
            ("billing-timeout", self.billing_timeout),
            ("prompts-timeout", self.prompts_timeout),
            ("settle-interval", self.settle_interval),
            ("hold-sweep-interval", self.hold_sweep_interval),
        ];
        let mut problems: Vec<String> = durations
            .iter()
            .filter(|(_, value)| value.is_zero())
            .map(|(name, _)| format!("{name} must be longer than zero"))
            .collect();
        if self.worker_ttl <= self.heartbeat_interval {
            problems.push("worker-ttl must be longer than heartbeat-interval".to_owned());
        }
        if matches!(self.events, Some(EventsVia::Postgres)) && !self.database.is_postgres() {
            problems.push("scheduler-events may be postgres only on a PostgreSQL".to_owned());
        }
        if self.max_attempts == 0 {
            problems.push("max-attempts must be 1 or more".to_owned());
        }
        if self.picture_uploads == 0 {
            problems.push("picture-uploads must be 1 or more".to_owned());
        }
        problems.extend(self.webhooks.problems());
        (!problems.is_empty()).then(|| problems.join("; "))
    }
}

#[cfg(test)]
mod tests;
