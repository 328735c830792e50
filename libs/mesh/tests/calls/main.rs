//! Calls that are too many, come to nothing, or ask how a service is, over real connections.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what goes wrong fails the test"
)]

mod overload;
mod probes;
mod reflection;
mod retries;
mod service;
