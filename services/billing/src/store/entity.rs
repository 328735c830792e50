//! Rows as they are in the tables.

pub mod ledger;
pub mod payers;
pub mod rules;
pub mod vouchers;
