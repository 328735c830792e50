//! Pure types and rules: no I/O, no contract, no tables.

pub mod finding;
pub mod order;
pub mod prepared;
pub mod review;

/// A point in time, to the microsecond that databases keep.
pub type Time = chrono::DateTime<chrono::Utc>;
