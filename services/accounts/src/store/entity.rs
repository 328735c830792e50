//! The tables, as sea-orm sees them.

pub mod people;
pub mod programs;
pub mod trust;
