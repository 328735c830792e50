//! REST from the contracts.
//!
//! A method says in `google.api.http` how it is reached over HTTP. [`Transcoder`] reads that from the descriptors, finds
//! the method of a request, turns path, query and body into its message by the canonical JSON of protocol buffers, calls
//! it, and writes the answer as JSON, fields of their default value included. Names in JSON are those of the contract.
//!
//! It knows no service. Who calls, limits and problem documents are its user's.

mod call;
mod message;
mod routes;
mod template;

pub use call::{call, stream, to_json};
pub use message::set_message;
pub use prost_reflect::DynamicMessage;
pub use routes::{Found, InvalidRoutes, Miss, Route, Transcoder};
