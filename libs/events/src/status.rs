//! How a bus is doing.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How a bus is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether messages of other processes can be heard. Always, where there are none.
    pub is_connected: bool,
    /// How long the newest message to itself took. None where there are no other processes, and before the first.
    pub lag: Option<Duration>,
    /// Messages that were not sent, because too many waited.
    pub dropped: u64,
    /// Messages that were not understood.
    pub garbage: u64,
    /// How often a connection was lost.
    pub losses: u64,
}

/// What the tasks of an engine have seen.
pub struct Observed(Mutex<State>);

struct State {
    status: Status,
    /// The newest ping, and when it was sent.
    ping: (u64, Instant),
}

impl Observed {
    pub fn new(is_connected: bool) -> Self {
        let status = Status {
            is_connected,
            ..Status::default()
        };
        Self(Mutex::new(State {
            status,
            ping: (0, Instant::now()),
        }))
    }

    pub fn status(&self, dropped: u64) -> Status {
        Status {
            dropped,
            ..self.0.lock().status
        }
    }

    pub fn connected(&self) {
        self.0.lock().status.is_connected = true;
    }

    /// Counts a connection that was lost, once.
    pub fn disconnected(&self) {
        let status = &mut self.0.lock().status;
        status.losses += u64::from(status.is_connected);
        status.is_connected = false;
    }

    pub fn garbage(&self) {
        self.0.lock().status.garbage += 1;
    }

    /// The number of a new ping.
    pub fn ping(&self) -> u64 {
        let mut state = self.0.lock();
        let number = state.ping.0 + 1;
        state.ping = (number, Instant::now());
        number
    }

    /// Notes that a ping was heard.
    pub fn pong(&self, number: u64) {
        let mut state = self.0.lock();
        let (newest, sent) = state.ping;
        if number == newest {
            state.status.lag = Some(sent.elapsed());
        }
    }
}
