//! Loopback ports.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
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
    if std::fs::create_dir(&marks).is_ok() {
        // Other users of this machine have the same ports.
        let shared = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(&marks, shared).expect("opens the folder of the marks to all");
    }
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes of one run begin at different places.
    let first = usize::try_from(std::process::id()).unwrap_or(0) * 13 % PORTS.len();
    let mut problem = None;
    for port in PORTS.cycle().skip(first).take(PORTS.len()) {
        if taken.contains_key(&port) {
            continue;
        }
        match mark(&marks.join(port.to_string())) {
            Ok(mark) if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() => {
                taken.insert(port, mark);
                return port;
            }
            Ok(_) => {}
            Err(error) => problem = Some(error),
        }
    }
    let (first, last) = (PORTS.start, PORTS.end);
    panic!("no port from {first} to {last} is free; the last mark: {problem:?}");
}

/// Marks a port by a lock, which ends with the process.
fn mark(path: &Path) -> Result<File, TryLockError> {
    // Another user's mark can be locked, not written.
    let mark = match File::open(path) {
        Ok(mark) => mark,
        Err(_) => File::create(path).map_err(TryLockError::Error)?,
    };
    mark.try_lock()?;
    Ok(mark)
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
