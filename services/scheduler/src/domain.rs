//! Pure types and rules: no I/O, no proto, no database. Time and randomness are passed in.

pub mod hold;
pub mod job;
pub mod listing;
pub mod model;
pub mod price;
pub mod prompting;
pub mod retry;
pub mod sequence;
pub mod submission;
pub mod transition;
pub mod vocabulary;
