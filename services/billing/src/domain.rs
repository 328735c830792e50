//! Pure types and rules: no I/O, no contract, no tables.

pub mod burn;
pub mod caller;
pub mod cap;
pub mod credits;
pub mod grant;
pub mod hold;
pub mod ledger;
pub mod pack;
pub mod payer;
pub mod payment;
pub mod plan;
pub mod price;
pub mod receipt;
pub mod refusal;
pub mod request_id;
pub mod sheet;
pub mod standing;
pub mod usage;
pub mod voucher;
pub mod voucher_code;
pub mod voucher_tries;
pub mod window;
pub mod work;

/// A point in time, to the microsecond that databases keep.
pub type Time = chrono::DateTime<chrono::Utc>;
