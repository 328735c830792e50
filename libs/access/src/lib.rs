//! Who calls, and whether they may.
//!
//! The accounts service signs short-lived access tokens ([`token`]); every other service checks them by itself, against
//! a [`trust`] bundle that it fetches every few seconds: the keys that sign, the terms that are in force, and the
//! sessions and keys that have ended. No call asks the accounts service, and what has been revoked is refused everywhere
//! within seconds.
//!
//! What a method wants of the person or program behind a call is an option of its contract, `kinora.access.v1.rule`; which
//! workloads of the mesh may call it, its service declares as [`rules::Callers`]. [`layer::Access`] does not start when
//! either is missing, and lets a call through once all of it holds; the handler then finds a [`Caller`] with [`caller`].
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
pub mod throttle;
pub mod token;
pub mod trust;

pub use authenticator::Authenticator;
pub use caller::{Caller, caller};
pub use claims::{Age, Claims, Role, Scope, Scopes};
pub use error::Refusal;
pub use layer::Access;
pub use rules::{Callers, RulesError, Wanted, Workloads};
pub use token::{SigningKey, TokenError, Verifier};
pub use trust::{GrpcTrust, TrustKeeper, TrustSource};
