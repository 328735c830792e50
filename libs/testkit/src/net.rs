//! Loopback ports.

use std::net::{Ipv4Addr, TcpListener};

/// Returns a port that is free on the loopback now.
///
/// Prefer [`loopback_listener`]: another program may take this port before it is used.
///
/// # Panics
/// When the loopback cannot be bound at all.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a loopback port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// Binds a listener to a free loopback port.
///
/// # Panics
/// When the loopback cannot be bound at all.
pub async fn loopback_listener() -> tokio::net::TcpListener {
    tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("bind a loopback port")
}
