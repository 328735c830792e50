//! Loopback ports.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below what Linux (from 32768) and macOS (from 49152) give to sockets that ask for no port in particular.
const PORTS: Range<u16> = 15_000..32_000;

/// The marks of the ports that this process has, for as long as it runs.
static TAKEN: Mutex<BTreeMap<u16, File>> = Mutex::new(BTreeMap::new());

/// Returns a port of the loopback that is free now and stays this process's, so that a server can stop, and start again
/// on it.
///
/// No other process that asks here gets it, nor does the system give it to a connection: those come from a higher range.
///
/// # Panics
/// When no port is free, or no mark can be made in the folder of temporary files.
#[must_use]
pub fn free_port() -> u16 {
    let marks = std::env::temp_dir().join("kinora-test-ports");
    std::fs::create_dir_all(&marks).expect("makes a folder for the marks of ports");
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes of one run begin at different places.
    let first = usize::try_from(std::process::id()).unwrap_or(0) * 13 % PORTS.len();
    for port in PORTS.cycle().skip(first).take(PORTS.len()) {
        if taken.contains_key(&port) {
            continue;
        }
        let mark = File::create(marks.join(port.to_string())).expect("marks a port");
        if mark.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.insert(port, mark);
            return port;
        }
    }
    panic!("no port from {} to {} is free", PORTS.start, PORTS.end);
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
