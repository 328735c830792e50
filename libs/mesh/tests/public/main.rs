//! A port for clients that are no services: TLS, and what it does about clients that waste its time.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what goes wrong fails the test"
)]

mod client;
mod limits;
mod port;
#[path = "../shared/takes_all.rs"]
mod takes_all;
mod tls;
