//! Rows as they are in the tables.

pub mod ledger;
pub mod payers;
pub mod payments;
pub mod rules;
pub mod vouchers;
