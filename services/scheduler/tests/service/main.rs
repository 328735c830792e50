//! The scheduler started for real, spoken to through its generated clients.

mod access;
mod admin;
mod approvals;
mod billing;
mod callers;
mod contract;
mod crash;
mod groups;
mod harness;
mod hostile;
mod images;
mod kills;
mod limits;
mod orders;
mod prompts;
mod replicas;
mod uploads;
mod videos;
mod watching;
mod webhooks;
mod workers;
