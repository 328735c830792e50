//! Weight files as people have them: good ones are read, hostile ones are refused.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

mod checkpoints;
mod files;
mod fuzz;
mod gguf;
mod hostile;
mod onnx;
mod pickles;

/// Counts what is allocated, so that a test can say that a hostile file costs no memory.
#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);
