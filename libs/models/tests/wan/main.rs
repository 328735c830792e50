//! The Wan family against its references, and what it promises its callers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failing test may panic and print"
)]

mod goldens;
mod loading;
mod native;
mod pipeline;
mod support;
mod trained;
