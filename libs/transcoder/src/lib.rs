//! REST from the contracts.
//!
//! A method says in `google.api.http` how it is reached over HTTP. [`Transcoder`] reads that from the descriptors, finds
//! the method of a request, turns path, query and body into its message by the canonical JSON of protocol buffers, calls
//! it, and writes the answer as JSON, fields of their default value included. Names in JSON are those of the contract.
//!
//! It knows no service. Who calls, limits and problem documents are its user's.

mod call;
mod form;
mod json;
mod message;
pub mod openapi;
mod route;
mod routes;
mod rule;
mod template;
#[cfg(test)]
mod testing;

pub use call::{JsonWriter, answer, answer_json, call, stream, to_json};
pub use form::{Form, read_form};
pub use json::read_json;
pub use message::{set_message, set_text};
pub use prost_reflect::DynamicMessage;
pub use route::Route;
pub use routes::{Found, InvalidRoutes, Miss, Transcoder};
