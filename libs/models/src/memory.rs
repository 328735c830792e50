//! How much memory a model and a request take, and how to make them fit: arithmetic without tensors.
//!
//! [`WeightCount`] counts parameters from a configuration. [`Estimate`] adds what lives at once in
//! each stage. [`plan`] picks the fastest policy whose estimate stays below a limit, or says what
//! would fit. The formulas list the tensors that the networks hold at their worst moment; the
//! example `memory` measures them.

pub mod activations;
pub mod available;
mod estimate;
mod need;
mod plan;
mod weights;

pub use available::{available_at_start, available_bytes, total_bytes};
pub use estimate::{
    ClipSize, Estimate, MemoryOptions, StageEstimate, cpu_overhead_bytes, with_margin,
};
pub use need::MemoryNeed;
pub use plan::{DoesNotFit, MAX_PAIRED_TOKENS, MemoryPlan, plan};
pub use weights::{WeightCount, WeightPart};

/// Bytes as people read them, such as `12.3 GiB`.
#[must_use]
pub fn readable(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 1024.0 {
        format!("{mebibytes:.1} MiB")
    } else {
        format!("{:.1} GiB", mebibytes / 1024.0)
    }
}

/// A size from a configuration. Those are checked to be positive and small enough to multiply.
fn size(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
