//! Endpoints and deliveries.

use kinora_ids::JobId;
use uuid::Uuid;

use super::event::{EventKind, Subscription};
use super::secret::Secrets;
use crate::domain::job::Time;

/// Endpoints that an owner may have, not counting those of ended jobs.
pub const MAX_ENDPOINTS: i16 = 16;

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A UUIDv7.
    pub id: Uuid,
    /// As it was checked, in its normal form. May hold what only its owner should know: never logged.
    pub url: String,
    /// The wanted events.
    pub subscription: Subscription,
    /// The only job it is told of.
    pub job: Option<JobId>,
    /// What signs.
    pub secrets: Secrets,
    /// How it has been doing.
    pub health: Health,
    /// When it was made.
    pub create_time: Time,
}

/// How an endpoint has been doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether it gets messages at all.
    pub enabled: bool,
    /// Failed tries since the last good one.
    pub consecutive_failures: u32,
    /// How often the circuit opened since the last good try.
    pub openings: u32,
    /// Nothing is sent before.
    pub paused_until: Option<Time>,
}

impl Health {
    /// Of an endpoint that has done nothing wrong yet.
    #[must_use]
    pub const fn good() -> Self {
        Self {
            enabled: true,
            consecutive_failures: 0,
            openings: 0,
            paused_until: None,
        }
    }
}

/// One message to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// A UUIDv7.
    pub id: Uuid,
    /// Where it goes.
    pub endpoint: Uuid,
    /// What it is.
    pub message: MessageId,
    /// What it tells of.
    pub event: EventKind,
    /// Which job it tells of.
    pub job: JobId,
    /// Where it stands.
    pub state: DeliveryState,
    /// Tries so far, replays included.
    pub attempts: u32,
    /// HTTP status of the last try; 0 when there was no answer.
    pub last_status: u16,
    /// Why the last try failed; empty when it did not.
    pub last_error: String,
    /// When it was made.
    pub create_time: Time,
    /// The next try, or the time by which the present one is given up. Means nothing once it is over.
    pub next_attempt_time: Time,
    /// When the last try began.
    pub last_attempt_time: Option<Time>,
}

/// The `webhook-id` of a message: the same for every endpoint, every try and every replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageId(pub Uuid);

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "msg_{}", self.0.simple())
    }
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Another try is to come.
    Pending,
    /// The endpoint has taken it.
    Delivered,
    /// No further try is made, unless it is replayed.
    Failed,
}

/// How a try went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint has taken it.
    Delivered {
        /// 200 to 299.
        status: u16,
    },
    /// The endpoint wants no more messages.
    Gone,
    /// It did not work out.
    Failed(FailedTry),
}

impl Outcome {
    /// One word, for logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Gone => "gone",
            Self::Failed(_) => "failed",
        }
    }
}

/// A try that did not work out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTry {
    /// What the endpoint answered, if it did.
    pub status: Option<u16>,
    /// For the owner; holds nothing that the endpoint sent.
    pub error: &'static str,
    /// How long the endpoint wants to be left alone.
    pub retry_after: Option<std::time::Duration>,
}
