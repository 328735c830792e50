//! Job events from those who write them to those who watch.
//!
//! An [`EventBus`] has a topic for every key that somebody watches. A topic is a bounded ring: a watcher
//! that falls behind is told so ([`Received::Lagged`]) and reads the present state again, instead of
//! slowing down the writer. Events may be lost; the truth is in the database, and every event carries
//! the number that says whether it is news.
//!
//! The bus spans one process. Watchers of another process see a change when they next read the row.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

type Topics<K, E> = Mutex<HashMap<K, broadcast::Sender<E>>>;

/// Hands events of a key to all who watch that key. Cheap to clone.
pub struct EventBus<K, E> {
    topics: Arc<Topics<K, E>>,
    capacity: usize,
}

/// One watcher of one key. The topic ends with its last watcher.
pub struct Subscription<K: Eq + Hash, E> {
    topics: Arc<Topics<K, E>>,
    key: K,
    // An option, so that dropping can give the receiver back before it looks whether others remain.
    receiver: Option<broadcast::Receiver<E>>,
}

/// What a watcher hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<E> {
    /// The next event.
    Event(E),
    /// Events were lost: read the present state.
    Lagged,
}

impl<K: Clone + Eq + Hash, E: Clone> EventBus<K, E> {
    /// Makes a bus that keeps `capacity` events (at least one) for a slow watcher.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            topics: Arc::default(),
            capacity: capacity.max(1),
        }
    }

    /// Hands an event to the present watchers of `key`. Without any it does nothing; it never waits.
    pub fn publish(&self, key: &K, event: E) {
        if let Some(topic) = self.topics.lock().get(key) {
            // Fails only when the last watcher is leaving at this moment.
            let _ = topic.send(event);
        }
    }

    /// Watches `key` from now on.
    #[must_use]
    pub fn subscribe(&self, key: K) -> Subscription<K, E> {
        let mut topics = self.topics.lock();
        let topic = topics
            .entry(key.clone())
            .or_insert_with(|| broadcast::Sender::new(self.capacity));
        Subscription {
            receiver: Some(topic.subscribe()),
            topics: Arc::clone(&self.topics),
            key,
        }
    }
}

impl<K, E> Clone for EventBus<K, E> {
    fn clone(&self) -> Self {
        Self {
            topics: Arc::clone(&self.topics),
            capacity: self.capacity,
        }
    }
}

impl<K: Eq + Hash, E: Clone> Subscription<K, E> {
    /// Waits for the next event. Can be cancelled without losing one.
    pub async fn next(&mut self) -> Received<E> {
        let Some(receiver) = &mut self.receiver else {
            return Received::Lagged;
        };
        match receiver.recv().await {
            Ok(event) => Received::Event(event),
            // A topic outlives its watchers, so that it cannot be closed here.
            Err(RecvError::Lagged(_) | RecvError::Closed) => Received::Lagged,
        }
    }
}

impl<K: Eq + Hash, E> Drop for Subscription<K, E> {
    fn drop(&mut self) {
        self.receiver = None;
        let mut topics = self.topics.lock();
        let is_last = topics
            .get(&self.key)
            .is_some_and(|topic| topic.receiver_count() == 0);
        if is_last {
            topics.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn watchers_hear_their_key_alone() {
        let bus = EventBus::new(4);
        let mut first = bus.subscribe("a");
        let mut second = bus.subscribe("a");
        let mut other = bus.subscribe("b");
        bus.publish(&"a", 1);
        bus.publish(&"b", 2);
        assert_eq!(first.next().await, Received::Event(1));
        assert_eq!(second.next().await, Received::Event(1));
        assert_eq!(other.next().await, Received::Event(2));
    }

    #[tokio::test]
    async fn slow_watcher_is_told_and_then_hears_the_newest() {
        let bus = EventBus::new(2);
        let mut slow = bus.subscribe(());
        for event in 1..=5 {
            bus.publish(&(), event);
        }
        assert_eq!(slow.next().await, Received::Lagged);
        assert_eq!(slow.next().await, Received::Event(4));
        assert_eq!(slow.next().await, Received::Event(5));
    }

    #[test]
    fn topic_ends_with_its_last_watcher() {
        let bus: EventBus<u8, u8> = EventBus::new(1);
        let first = bus.subscribe(7);
        let second = bus.subscribe(7);
        drop(first);
        assert_eq!(bus.topics.lock().len(), 1);
        drop(second);
        assert_eq!(bus.topics.lock().len(), 0);
        bus.publish(&7, 1);
    }
}
