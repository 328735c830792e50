//! The service, started for real and spoken to through its generated clients.

mod harness;

mod access;
mod crash;
mod ledger;
mod operators;
mod people;
