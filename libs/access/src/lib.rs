//! Who calls, and whether they may.
//!
//! The accounts service signs short-lived access tokens ([`token`]); every other service checks them by itself, against
//! a [`trust`] bundle that it fetches every few seconds: the keys that sign, the terms that are in force, and the
//! sessions and keys that have ended. No call asks the accounts service, and what has been revoked is refused everywhere
//! within seconds.
//!
//! A service declares one [`rules::Rule`] for each method it serves: which workloads of the mesh may call it, and what it
//! wants of the person or program behind the call. [`layer::Access`] does not start when a method has no rule, and lets a
//! call through once all of it holds; the handler then finds a [`Caller`] with [`caller`].
//!
//! This crate issues nothing by itself, keeps nothing, and knows no user but by id.

pub mod authenticator;
pub mod caller;
pub mod claims;
pub mod error;
pub mod layer;
pub mod rules;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;
pub mod trust;

pub use authenticator::Authenticator;
pub use caller::{Caller, caller};
pub use claims::{Age, Claims, Role, Scope, Scopes};
pub use error::Refusal;
pub use layer::Access;
pub use rules::{Rule, RulesError};
pub use token::{SigningKey, TokenError, Verifier};
pub use trust::{GrpcTrust, TrustKeeper, TrustSource};
