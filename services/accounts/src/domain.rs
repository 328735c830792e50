//! Pure types and rules: no I/O, no contract, no tables.

pub mod age;
pub mod api_key;
pub mod audit;
pub mod caller;
pub mod email;
pub mod name;
pub mod origin;
pub mod password;
pub mod providers;
pub mod recovery;
pub mod refusal;
pub mod relying_party;
pub mod scope;
pub mod session;
pub mod signing_key;
pub mod terms;
pub mod throttle;
pub mod tokens;
pub mod totp;
pub mod verifier;

/// A point in time, to the microsecond that databases keep.
pub type Time = chrono::DateTime<chrono::Utc>;
