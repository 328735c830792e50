//! The scheduler started for real, spoken to through its generated clients.

mod callers;
mod crash;
mod harness;
mod hostile;
mod images;
mod webhooks;
mod workers;
