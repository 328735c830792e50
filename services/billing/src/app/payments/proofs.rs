//! Payments against a fake Stripe over HTTP, on both databases: what is bought, what goes wrong, and what the order in which
//! it is heard of changes, which is nothing.

mod crashes;
mod disputes;
mod door;
mod faults;
mod order;
mod packs;
mod refunds;
mod shop;
mod strangers;
mod subscriptions;
mod webhooks;
