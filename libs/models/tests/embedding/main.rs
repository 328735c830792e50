//! The sentence encoder against its reference, its windows, and the classifier that reads its vectors.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failing test may panic and print"
)]

mod classifier;
mod encoder;
mod real;
mod support;
