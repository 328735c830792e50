//! The `kinora` command.
//!
//! Two halves: [`mesh`] runs every service in this process, for `kinora up`, for a single `kinora generate`, and for
//! tests; [`client`] speaks REST to any mesh, near or far. The commands join them.
//!
//! The data folder ([`data`]) holds all that a local mesh keeps: the database, the objects, its credentials, and a
//! lock that makes it one mesh's own.

pub mod arguments;
pub mod client;
pub mod commands;
pub mod data;
pub mod discovery;
pub mod exit;
pub mod group_progress;
pub mod mesh;
pub mod model_store;
pub mod output;
pub mod picture;
pub mod progress;
pub mod transfer_display;
