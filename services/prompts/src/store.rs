//! The review queue's table.

mod entity;
mod reviews;

pub use reviews::{Asked, Store};
