//! Notifications of jobs by HTTP, after Standard Webhooks 1.0.
//!
//! An event goes its way in three steps, each in a transaction: [`outbox::note`] writes the message beside the change
//! of the job; the relay makes a delivery for each endpoint that wants it; a deliverer leases the delivery, sends it,
//! and writes down how that went. Whatever is cut off on its way is done again by any replica. A message may therefore
//! arrive twice, always under the same `webhook-id`, and messages may overtake each other: `data.seq` tells their
//! order.
//!
//! Where messages go is up to users, and the scheduler stands inside the operator's network: [`target`] checks what a
//! URL says, [`resolve`] what its name leads to at the moment of each connection. Redirects are not followed, proxies
//! not used, answers not read.
//!
//! Secrets lie in the database as they are: an HMAC needs its key. They are never logged and shown once.

pub mod address;
pub mod courier;
pub mod error;
pub mod event;
pub mod metrics;
pub mod model;
pub mod options;
pub mod payload;
pub mod resolve;
pub mod retry;
pub mod secret;
pub mod sender;
pub mod service;
pub mod store;
pub mod target;

pub use error::WebhookError;
pub use options::WebhookOptions;
pub use service::Webhooks;
pub use store::outbox;

#[cfg(test)]
mod fixtures;
