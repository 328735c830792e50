//! The tables, as sea-orm sees them. The migrations are the authority.

mod job_tables;
mod queue_tables;

pub use job_tables::{attempt, job, job_event, job_group, job_need, request_key};
pub use queue_tables::{model, object_deletion, pace, settlement, tenant, worker};
