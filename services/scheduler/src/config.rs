//! The scheduler's options.

use std::time::Duration;

use clap::{ArgAction, Args};
use humantime::parse_duration;
use kinora_store::DatabaseUrl;

use crate::domain::retry::RetryPolicy;
use crate::webhooks::WebhookOptions;

/// How the scheduler runs.
#[derive(Args, Clone, Debug)]
pub struct SchedulerOptions {
    /// The database: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`.
    #[arg(
        id = "scheduler_database",
        long = "scheduler-database",
        env = "KINORA_SCHEDULER_DATABASE",
        default_value = "sqlite://kinora-scheduler.db",
        hide_env_values = true
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
    #[arg(long, env = "KINORA_SCHEDULER_WORKER_TTL", default_value = "5s", value_parser = parse_duration)]
    pub worker_ttl: Duration,
    /// How often silent workers and overdue attempts are looked for.
    #[arg(long, env = "KINORA_SCHEDULER_REAP_INTERVAL", default_value = "1s", value_parser = parse_duration)]
    pub reap_interval: Duration,
    /// How often the database is read for what other replicas changed.
    #[arg(long, env = "KINORA_SCHEDULER_POLL_INTERVAL", default_value = "1s", value_parser = parse_duration)]
    pub poll_interval: Duration,
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
    /// How webhooks are sent.
    #[command(flatten)]
    pub webhooks: WebhookOptions,
}

impl SchedulerOptions {
    /// The defaults on a given database.
    #[must_use]
    pub const fn new(database: DatabaseUrl) -> Self {
        Self {
            database,
            migrate: true,
            default_model: None,
            heartbeat_interval: Duration::from_secs(2),
            worker_ttl: Duration::from_secs(5),
            reap_interval: Duration::from_secs(1),
            poll_interval: Duration::from_secs(1),
            time_limit: Duration::from_secs(30 * 60),
            max_attempts: 3,
            retry_delay: Duration::from_secs(2),
            sweep_interval: Duration::from_secs(2),
            late_sweep_delay: Duration::from_secs(40 * 60),
            picture_uploads: 8,
            webhooks: WebhookOptions::new(),
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

    /// Every problem with the values, in one text.
    pub(crate) fn problems(&self) -> Option<String> {
        let durations = [
            ("heartbeat-interval", self.heartbeat_interval),
            ("reap-interval", self.reap_interval),
            ("poll-interval", self.poll_interval),
            ("sweep-interval", self.sweep_interval),
            ("time-limit", self.time_limit),
        ];
        let mut problems: Vec<String> = durations
            .iter()
            .filter(|(_, value)| value.is_zero())
            .map(|(name, _)| format!("{name} must be longer than zero"))
            .collect();
        if self.worker_ttl <= self.heartbeat_interval {
            problems.push("worker-ttl must be longer than heartbeat-interval".to_owned());
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
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        options: SchedulerOptions,
    }

    #[test]
    fn command_line_and_constructor_have_the_same_defaults() {
        let parsed = Program::parse_from(["program"]).options;
        let made = SchedulerOptions::new(parsed.database.clone());
        assert_eq!(format!("{parsed:?}"), format!("{made:?}"));
        assert_eq!(made.problems(), None);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let mut options = SchedulerOptions::new("sqlite://x".parse().expect("a URL"));
        options.max_attempts = 0;
        options.picture_uploads = 0;
        options.worker_ttl = Duration::ZERO;
        let problems = options.problems().expect("problems");
        assert!(problems.contains("max-attempts") && problems.contains("worker-ttl"));
        assert!(problems.contains("picture-uploads"));
    }
}
