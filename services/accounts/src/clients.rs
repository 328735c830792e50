//! Servers of others that this service asks.

pub mod oidc;
