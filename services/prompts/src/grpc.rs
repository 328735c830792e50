//! The contract, answered by the use cases.

mod access;
mod convert;
mod prompts;
mod reviews;

pub use access::{CALLERS, SERVICES, access};
pub use prompts::PromptGrpc;
pub use reviews::ReviewGrpc;
