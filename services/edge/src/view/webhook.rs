//! Where notifications go, and what became of them.

use kinora_proto::scheduler::v1 as proto;
use serde::{Deserialize, Serialize};

use super::convert::{given, rfc3339};

/// An endpoint that is notified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// UUIDv7 in text form.
    pub id: String,
    /// Always `webhook`.
    pub object: String,
    /// Where notifications are posted.
    pub url: String,
    /// Subscribed events; empty for all but `video.progress`.
    pub events: Vec<String>,
    /// The video whose events it gets; none for all videos.
    pub video_id: Option<String>,
    /// Whether it is notified.
    pub enabled: bool,
    /// Deliveries wait until then, after too many failures.
    pub paused_until: Option<String>,
    /// How many deliveries failed since the last that arrived.
    pub consecutive_failures: u32,
    /// How many secrets sign, 1 or 2.
    pub secrets: u32,
    /// When it was made.
    pub create_time: Option<String>,
}

/// An endpoint with a new secret, which is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookWithSecret {
    /// The endpoint.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// `whsec_` and base64: what verifies signatures.
    pub secret: String,
}

/// The caller's endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookList {
    /// Oldest first.
    pub webhooks: Vec<Webhook>,
}

/// One message to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// UUIDv7 in text form.
    pub id: String,
    /// Always `delivery`.
    pub object: String,
    /// The endpoint.
    pub webhook_id: String,
    /// The `webhook-id` header, the same for every try.
    pub message_id: String,
    /// For example `video.completed`.
    pub event: String,
    /// The video that it is about.
    pub video_id: String,
    /// Whether it arrived.
    pub state: DeliveryState,
    /// Tries so far.
    pub attempts: u32,
    /// HTTP status of the last try; none when there was no answer.
    pub last_status: Option<u32>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When it was made.
    pub create_time: Option<String>,
    /// When it is tried next; none once it is over.
    pub next_attempt_time: Option<String>,
    /// When it was tried last.
    pub last_attempt_time: Option<String>,
}

/// Whether a delivery arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is tried again.
    Pending,
    /// The endpoint took it.
    Delivered,
    /// It was given up.
    Failed,
    /// A state that this build does not know.
    #[serde(other)]
    Unknown,
}

impl DeliveryState {
    /// The name that stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One page of deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryList {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// Pass it as `page_token` for the next page. Empty when there are no more.
    pub next_page_token: String,
}

impl From<proto::Endpoint> for Webhook {
    fn from(endpoint: proto::Endpoint) -> Self {
        Self {
            id: endpoint.id,
            object: "webhook".to_owned(),
            url: endpoint.url,
            events: endpoint.events,
            video_id: given(endpoint.job_id),
            enabled: endpoint.enabled,
            paused_until: endpoint.paused_until.map(rfc3339),
            consecutive_failures: endpoint.consecutive_failures,
            secrets: endpoint.secrets,
            create_time: endpoint.create_time.map(rfc3339),
        }
    }
}

impl From<proto::Delivery> for Delivery {
    fn from(delivery: proto::Delivery) -> Self {
        let state = match delivery.state() {
            proto::DeliveryState::Unspecified => DeliveryState::Unknown,
            proto::DeliveryState::Pending => DeliveryState::Pending,
            proto::DeliveryState::Delivered => DeliveryState::Delivered,
            proto::DeliveryState::Failed => DeliveryState::Failed,
        };
        Self {
            id: delivery.id,
            object: "delivery".to_owned(),
            webhook_id: delivery.endpoint_id,
            message_id: delivery.message_id,
            event: delivery.event,
            video_id: delivery.job_id,
            state,
            attempts: delivery.attempts,
            last_status: Some(delivery.last_status).filter(|status| *status > 0),
            last_error: given(delivery.last_error),
            create_time: delivery.create_time.map(rfc3339),
            next_attempt_time: delivery.next_attempt_time.map(rfc3339),
            last_attempt_time: delivery.last_attempt_time.map(rfc3339),
        }
    }
}
