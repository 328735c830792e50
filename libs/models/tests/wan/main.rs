//! The Wan family against its references, and what it promises its callers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failing test may panic and print"
)]

mod autoencoder;
mod clip;
mod families;
mod fitting;
mod goldens;
mod loading;
mod native;
mod pipeline;
mod resume;
mod stages;
mod step_cache;
mod support;
mod trained;
