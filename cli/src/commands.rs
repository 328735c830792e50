//! The commands.

pub mod connect;
pub mod generate;
pub mod jobs;
pub mod model;
pub mod models;
pub mod reproduce;
pub mod up;
