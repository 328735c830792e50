//! Notifications of jobs by HTTP, after Standard Webhooks 1.0.

pub mod event;
pub mod payload;
pub mod store;

pub use store::outbox;

#[cfg(test)]
mod fixtures;
