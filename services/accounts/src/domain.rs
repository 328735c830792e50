//! Pure types and rules: no I/O, no contract, no tables.

pub mod caller;
pub mod origin;
pub mod refusal;

/// A point in time, to the microsecond that databases keep.
pub type Time = chrono::DateTime<chrono::Utc>;
