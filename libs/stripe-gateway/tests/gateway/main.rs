//! The gateway against the fake Stripe, over real HTTP.

mod calls;
mod harness;
mod history;
mod hostile;
mod purchases;
mod refunds;
mod retries;
mod subscriptions;
mod webhooks;
