//! The Wan family against its references, and what it promises its callers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failing test may panic and print"
)]

mod autoencoder;
mod clip;
mod goldens;
mod loading;
mod pipeline;
mod support;
mod trained;
