//! Options of the webhooks.

use std::time::Duration;

use clap::Args;
use humantime::parse_duration;

use super::retry::RetryRules;
use super::sender::Patience;
use super::target::TargetRules;

/// How webhooks are sent.
#[derive(Args, Clone, Debug)]
pub struct WebhookOptions {
    /// Whether webhooks may go to private, loopback and link-local addresses. Lets users reach what the scheduler can.
    #[arg(
        id = "scheduler_webhook_allow_private",
        long = "scheduler-webhook-allow-private",
        env = "KINORA_SCHEDULER_WEBHOOK_ALLOW_PRIVATE"
    )]
    pub allow_private: bool,
    /// Whether webhooks may go out over http, readable on their way.
    #[arg(
        id = "scheduler_webhook_allow_http",
        long = "scheduler-webhook-allow-http",
        env = "KINORA_SCHEDULER_WEBHOOK_ALLOW_HTTP"
    )]
    pub allow_http: bool,
    /// Webhooks that this process sends at a time; 16 of them an owner and 4 an endpoint.
    #[arg(
        id = "scheduler_webhook_concurrency",
        long = "scheduler-webhook-concurrency",
        env = "KINORA_SCHEDULER_WEBHOOK_CONCURRENCY",
        default_value_t = 128
    )]
    pub concurrency: u16,
    /// How often the outbox is read.
    #[arg(id = "scheduler_webhook_poll_interval", long = "scheduler-webhook-poll-interval", env = "KINORA_SCHEDULER_WEBHOOK_POLL_INTERVAL", default_value = "500ms", value_parser = parse_duration)]
    pub poll_interval: Duration,
    /// Longest delay before a message is tried again; doubles with every failure, up to an hour.
    #[arg(id = "scheduler_webhook_retry_delay", long = "scheduler-webhook-retry-delay", env = "KINORA_SCHEDULER_WEBHOOK_RETRY_DELAY", default_value = "5s", value_parser = parse_duration)]
    pub retry_delay: Duration,
    /// How long a message is tried.
    #[arg(id = "scheduler_webhook_give_up", long = "scheduler-webhook-give-up", env = "KINORA_SCHEDULER_WEBHOOK_GIVE_UP", default_value = "24h", value_parser = parse_duration)]
    pub give_up: Duration,
    /// Failures in a row after which an endpoint is left alone for a while.
    #[arg(
        id = "scheduler_webhook_failures_to_pause",
        long = "scheduler-webhook-failures-to-pause",
        env = "KINORA_SCHEDULER_WEBHOOK_FAILURES_TO_PAUSE",
        default_value_t = 10
    )]
    pub failures_to_pause: u32,
    /// How long it is left alone; doubles with every further failure, up to an hour.
    #[arg(id = "scheduler_webhook_pause", long = "scheduler-webhook-pause", env = "KINORA_SCHEDULER_WEBHOOK_PAUSE", default_value = "30s", value_parser = parse_duration)]
    pub pause: Duration,
    /// Shortest time between two progress messages of a job.
    #[arg(id = "scheduler_webhook_progress_interval", long = "scheduler-webhook-progress-interval", env = "KINORA_SCHEDULER_WEBHOOK_PROGRESS_INTERVAL", default_value = "10s", value_parser = parse_duration)]
    pub progress_interval: Duration,
    /// How long deliveries are kept once they are over.
    #[arg(id = "scheduler_webhook_retention", long = "scheduler-webhook-retention", env = "KINORA_SCHEDULER_WEBHOOK_RETENTION", default_value = "7d", value_parser = parse_duration)]
    pub retention: Duration,
}

impl WebhookOptions {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            allow_private: false,
            allow_http: false,
            concurrency: 128,
            poll_interval: Duration::from_millis(500),
            retry_delay: Duration::from_secs(5),
            give_up: Duration::from_secs(24 * 3600),
            failures_to_pause: 10,
            pause: Duration::from_secs(30),
            progress_interval: Duration::from_secs(10),
            retention: Duration::from_secs(7 * 24 * 3600),
        }
    }

    /// Where webhooks may go.
    #[must_use]
    pub const fn target_rules(&self) -> TargetRules {
        TargetRules {
            allows_http: self.allow_http,
            allows_private: self.allow_private,
        }
    }

    /// How tries are repeated.
    #[must_use]
    pub const fn retry_rules(&self) -> RetryRules {
        RetryRules {
            base_delay: self.retry_delay,
            failures_to_open: self.failures_to_pause,
            base_pause: self.pause,
        }
    }

    /// How long a try may take.
    #[must_use]
    pub const fn patience(&self) -> Patience {
        Patience {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(15),
        }
    }

    /// Every problem with the values.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.concurrency == 0 {
            problems.push("scheduler-webhook-concurrency must be 1 or more".to_owned());
        }
        if self.failures_to_pause == 0 {
            problems.push("scheduler-webhook-failures-to-pause must be 1 or more".to_owned());
        }
        for (name, value) in [
            ("poll-interval", self.poll_interval),
            ("progress-interval", self.progress_interval),
        ] {
            if value.is_zero() {
                problems.push(format!("scheduler-webhook-{name} must be longer than zero"));
            }
        }
        problems
    }
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self::new()
    }
}
