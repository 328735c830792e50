//! The one place where panics of libtorch become errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::GenerateError;

/// Runs a job without gradients and turns a panic of libtorch into an error.
pub(crate) fn guarded<T>(
    job: impl FnOnce() -> Result<T, GenerateError>,
) -> Result<T, GenerateError> {
    catch_unwind(AssertUnwindSafe(|| tch::no_grad(job)))
        .unwrap_or_else(|payload| Err(GenerateError::from_panic(payload.as_ref())))
}
