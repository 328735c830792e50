//! Language models against transformers, and what they promise their callers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failing test may panic and print"
)]

mod folders;
mod goldens;
mod smollm2;
mod support;
