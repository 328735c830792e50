//! The edge as its clients meet it: over sockets, with a scheduler behind it that tests command.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what goes wrong fails the test"
)]

mod access;
mod admin;
mod credentials;
mod events;
mod fake;
mod groups;
mod grpc;
mod grpc_web;
mod harness;
mod hostile;
mod openai;
mod payments;
mod runpod;
mod submissions;
mod videos;
mod webhooks;
