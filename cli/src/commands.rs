//! The commands.

mod accounts;
pub mod admin;
mod approval;
pub mod batch;
mod billing;
pub mod connect;
pub mod credits;
pub mod estimate;
pub mod generate;
mod group;
pub mod identity;
pub mod jobs;
pub mod model;
pub mod models;
pub mod payments;
pub mod prompts;
mod report;
pub mod reproduce;
mod request;
pub mod reviews;
pub mod sequence;
mod session;
mod single;
pub mod up;
mod vouchers;
pub mod webhooks;
