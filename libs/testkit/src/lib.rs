//! For tests only: what several crates' tests need and no service ships.
//!
//! Tests run against real programs (PostgreSQL, NATS, Redis, an OpenID provider, a mail server, ffmpeg), which `make test` makes ready and names in the environment.
//! A test that misses one fails and says so; none is skipped.

pub mod env;
#[cfg(feature = "identity")]
pub mod identity;
pub mod nats;
pub mod net;
#[cfg(feature = "oidc")]
pub mod oidc;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod receiver;
pub mod redis;
mod server;
#[cfg(feature = "smtp")]
pub mod smtp;
#[cfg(feature = "stripe")]
pub mod stripe;
pub mod wait;
pub mod world;
