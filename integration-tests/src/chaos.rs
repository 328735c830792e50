//! Faults: a whole mesh as separate processes that are killed, frozen, cut off and started again, and the judge that
//! says afterwards whether anything was lost, done twice or wrongly paid.

mod attempts;
mod client;
mod entrance;
mod judge;
mod killer;
mod load;
mod member;
mod mesh;
mod postgres;
mod rolling;
mod soak;
mod starting;
mod steps;
mod table;

pub use attempts::Pauses;
pub use client::{Client, Ended};
pub use entrance::Entrance;
pub use judge::{Accepted, Settled, Verdict, judge};
pub use killer::{Kind, Role};
pub use member::{CommandLine, Member};
pub use mesh::{ChaosMesh, MeshOptions};
pub use postgres::{PostgresServer, Shutdown};
pub use rolling::{RollingOptions, RollingReport, rolling_restart};
pub use soak::{Phase, SoakOptions, SoakReport, soak};
pub use steps::{Begun, StepLog};
