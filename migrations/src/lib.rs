//! Schema migrations, a module per service.
//!
//! The schema builder writes the SQL of either engine, so that a table is described once. A migration
//! that has been released is never changed; the next one corrects it.

pub mod accounts;
mod append_only;
pub mod billing;
pub mod prompts;
pub mod scheduler;
