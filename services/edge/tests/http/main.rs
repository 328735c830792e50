//! The edge as its clients meet it: over sockets, with a scheduler behind it that tests command.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what goes wrong fails the test"
)]

mod access;
mod admin;
mod audit;
mod conditional;
mod connections;
mod credentials;
mod document;
mod event_source;
mod events;
mod fake;
mod groups;
mod grpc;
mod grpc_web;
mod harness;
mod hostile;
mod limits;
mod openai;
mod payments;
mod reflection;
mod runpod;
mod submissions;
mod videos;
mod webhooks;
