//! Where notifications go, and what became of them.

use serde::{Deserialize, Serialize};

/// A webhook.
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
    /// The video whose events it gets; empty for all videos.
    pub video_id: String,
    /// Whether it is notified.
    pub enabled: bool,
    /// Deliveries wait until then, after too many failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<String>,
    /// How many deliveries failed since the last that arrived.
    pub consecutive_failures: u32,
    /// How many secrets sign, 1 or 2.
    pub secrets: u32,
    /// `whsec_` and base64: what verifies signatures. Only where it has just been made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
}

/// The caller's webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WebhookList {
    /// Oldest first.
    pub webhooks: Vec<Webhook>,
}

/// One message to one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// UUIDv7 in text form.
    pub id: String,
    /// Always `delivery`.
    pub object: String,
    /// The webhook.
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
    /// HTTP status of the last try; 0 when there was no answer.
    pub last_status: u32,
    /// Why the last try failed; empty when it did not.
    pub last_error: String,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    /// When it is tried next; none once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<String>,
    /// When it was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt_time: Option<String>,
}

/// Whether a delivery arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is tried again.
    Pending,
    /// The webhook took it.
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeliveryList {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// Pass it as `page_token` for the next page. Empty when there are no more.
    pub next_page_token: String,
}
