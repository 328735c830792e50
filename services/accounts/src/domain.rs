//! Pure types and rules: no I/O, no contract, no tables.

pub mod age;
pub mod audit;
pub mod caller;
pub mod origin;
pub mod page;
pub mod recovery;
pub mod refusal;
pub mod terms;
pub mod totp;
pub mod verifier;

/// A point in time, to the microsecond that databases keep.
pub type Time = chrono::DateTime<chrono::Utc>;
