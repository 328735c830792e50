//! What is counted. The service counts with its own instruments.

use std::time::Duration;

use super::event::EventKind;

/// Told of what happens. Methods must not block.
pub trait WebhookMetrics: Send + Sync {
    /// A try ended. `outcome` is `delivered`, `gone` or `failed`; `lag` is the time since the event.
    fn tried(&self, event: EventKind, outcome: &'static str, took: Duration, lag: Duration);

    /// The circuit of an endpoint opened.
    fn circuit_opened(&self);

    /// Messages left the outbox.
    fn relayed(&self, messages: usize);

    /// Deliveries were given up, after a day or at the endpoint's wish.
    fn given_up(&self, deliveries: u64);
}
