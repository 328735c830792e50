//! Services that show each other who they are, over real connections.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what goes wrong fails the test"
)]

mod callers;
mod echo;
mod files;
mod issuing;
mod raw;
mod rotation;
#[path = "../shared/takes_all.rs"]
mod takes_all;
