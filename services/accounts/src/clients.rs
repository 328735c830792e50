//! Servers of others that this service asks.

pub(crate) mod mail;
pub mod oidc;
