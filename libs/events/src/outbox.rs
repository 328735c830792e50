//! What waits to be sent to other processes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::Message;

/// Messages that may wait. Beyond that the oldest goes.
const CAPACITY: usize = 8192;

/// Messages sent in one go.
const BATCH: usize = 128;

/// How often it is looked for spaced messages whose time has come.
const TICK: Duration = Duration::from_millis(25);

/// A bounded queue in which newer messages replace older ones where those do not count.
pub struct Outbox<M: Message> {
    state: Mutex<State<M>>,
    changed: Notify,
}

/// Messages to be sent now.
pub struct Batch<M> {
    /// In their order.
    pub messages: Vec<M>,
    /// Whether others must be told first that messages were lost.
    pub is_after_loss: bool,
}

struct State<M: Message> {
    ready: VecDeque<M>,
    spaced: HashMap<M::Topic, Spaced<M>>,
    next_look: Instant,
    has_lost: bool,
    dropped: u64,
}

/// A subject that had a message sent a moment ago.
struct Spaced<M> {
    due: Instant,
    waiting: Option<M>,
}

impl<M: Message> Default for Outbox<M> {
    fn default() -> Self {
        let state = State {
            ready: VecDeque::new(),
            spaced: HashMap::new(),
            next_look: Instant::now(),
            has_lost: false,
            dropped: 0,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }
}

impl<M: Message> Outbox<M> {
    /// Queues a message.
    pub fn push(&self, message: M) {
        let Some(subject) = message.topics().into_iter().next() else {
            return;
        };
        let is_ready = self.state.lock().push(subject, message);
        if is_ready {
            self.changed.notify_one();
        }
    }

    /// Has others told that messages may not have arrived.
    pub fn lost(&self) {
        self.state.lock().has_lost = true;
        self.changed.notify_one();
    }

    /// Messages that were never sent.
    pub fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }

    /// Waits until there is something to send. Can be cancelled without losing anything.
    pub async fn next(&self) -> Batch<M> {
        loop {
            let wait = {
                let mut state = self.state.lock();
                state.release(Instant::now());
                if !state.ready.is_empty() || state.has_lost {
                    return state.take();
                }
                (!state.spaced.is_empty()).then_some(state.next_look)
            };
            let changed = self.changed.notified();
            match wait {
                None => changed.await,
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }
}

impl<M: Message> State<M> {
    /// Whether there is something to send at once.
    fn push(&mut self, subject: M::Topic, message: M) -> bool {
        match message.spacing() {
            None => {
                if let Some(spaced) = self.spaced.get_mut(&subject) {
                    spaced.waiting = None;
                }
            }
            Some(spacing) => {
                if let Some(spaced) = self.spaced.get_mut(&subject) {
                    spaced.waiting = Some(message);
                    return false;
                }
                let due = Instant::now() + spacing;
                let waiting = None;
                self.spaced.insert(subject, Spaced { due, waiting });
            }
        }
        self.enqueue(message);
        true
    }

    fn enqueue(&mut self, message: M) {
        if self.ready.len() >= CAPACITY {
            self.ready.pop_front();
            self.dropped += 1;
            self.has_lost = true;
        }
        self.ready.push_back(message);
    }

    /// Moves spaced messages whose time has come, and forgets subjects that have been quiet.
    fn release(&mut self, now: Instant) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + TICK;
        let mut due = Vec::new();
        self.spaced.retain(|_, spaced| {
            if spaced.due > now {
                return true;
            }
            let Some(message) = spaced.waiting.take() else {
                return false;
            };
            spaced.due = now + message.spacing().unwrap_or_default();
            due.push(message);
            true
        });
        for message in due {
            self.enqueue(message);
        }
    }

    fn take(&mut self) -> Batch<M> {
        let count = self.ready.len().min(BATCH);
        Batch {
            messages: self.ready.drain(..count).collect(),
            is_after_loss: std::mem::take(&mut self.has_lost),
        }
    }
}

#[cfg(test)]
mod tests;
