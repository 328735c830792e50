//! The watchers of this process.

use std::collections::HashMap;

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use crate::Message;

type Topics<M> = HashMap<<M as Message>::Topic, broadcast::Sender<Item<M>>>;

/// A topic that has got its first watcher, or lost its last.
pub enum Interest<T> {
    /// Somebody watches.
    Began(T),
    /// Nobody does any more.
    Ended(T),
}

/// Topics that somebody watches. Cheap to clone.
pub struct Local<M: Message> {
    state: Arc<State<M>>,
}

struct State<M: Message> {
    topics: Mutex<Topics<M>>,
    capacity: usize,
    interests: Option<mpsc::UnboundedSender<Interest<M::Topic>>>,
}

/// One watcher of one topic. The topic ends with its last watcher.
pub struct Subscription<M: Message> {
    state: Arc<State<M>>,
    topic: M::Topic,
    // An option, so that dropping can give the receiver back before it looks whether others remain.
    receiver: Option<broadcast::Receiver<Item<M>>>,
}

/// What a watcher hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<M> {
    /// The next message.
    Event(M),
    /// This watcher was too slow and has lost messages: read the present state.
    Lagged,
    /// The bus has lost messages, or may have: read the present state. No fault of the watcher.
    Reread,
}

#[derive(Clone)]
enum Item<M> {
    Message(M),
    Reread,
}

impl<M: Message> Local<M> {
    /// Keeps `capacity` messages for a slow watcher.
    pub fn new(capacity: usize) -> Self {
        Self::build(capacity, None)
    }

    /// As [`Self::new`], and tells which topics are watched.
    pub fn with_interests(capacity: usize) -> (Self, mpsc::UnboundedReceiver<Interest<M::Topic>>) {
        let (sender, interests) = mpsc::unbounded_channel();
        (Self::build(capacity, Some(sender)), interests)
    }

    fn build(
        capacity: usize,
        interests: Option<mpsc::UnboundedSender<Interest<M::Topic>>>,
    ) -> Self {
        let state = State {
            topics: Mutex::default(),
            capacity: capacity.max(1),
            interests,
        };
        Self {
            state: Arc::new(state),
        }
    }

    pub fn subscribe(&self, topic: M::Topic) -> Subscription<M> {
        let mut topics = self.state.topics.lock();
        let ring = topics.entry(topic.clone()).or_insert_with(|| {
            self.state.tell(Interest::Began(topic.clone()));
            broadcast::Sender::new(self.state.capacity)
        });
        Subscription {
            receiver: Some(ring.subscribe()),
            state: Arc::clone(&self.state),
            topic,
        }
    }

    /// Hands a message to the watchers of its topics.
    pub fn deliver(&self, message: &M) {
        self.deliver_to(&message.topics(), message);
    }

    /// Hands a message to the watchers of these topics.
    pub fn deliver_to(&self, topics: &[M::Topic], message: &M) {
        self.send(topics, || Item::Message(message.clone()));
    }

    /// Tells the watchers of these topics to read again.
    pub fn reread(&self, topics: &[M::Topic]) {
        self.send(topics, || Item::Reread);
    }

    /// Tells all watchers to read again.
    pub fn reread_all(&self) {
        for ring in self.state.topics.lock().values() {
            let _ = ring.send(Item::Reread);
        }
    }

    pub fn has_watchers(&self, topics: &[M::Topic]) -> bool {
        let watched = self.state.topics.lock();
        topics.iter().any(|topic| watched.contains_key(topic))
    }

    fn send(&self, topics: &[M::Topic], item: impl Fn() -> Item<M>) {
        let watched = self.state.topics.lock();
        for ring in topics.iter().filter_map(|topic| watched.get(topic)) {
            // Fails only when the last watcher is leaving at this moment.
            let _ = ring.send(item());
        }
    }
}

impl<M: Message> State<M> {
    fn tell(&self, interest: Interest<M::Topic>) {
        if let Some(interests) = &self.interests {
            // Fails when the engine has stopped.
            let _ = interests.send(interest);
        }
    }
}

impl<M: Message> Subscription<M> {
    /// Waits for the next message. Can be cancelled without losing one.
    pub async fn next(&mut self) -> Received<M> {
        let Some(receiver) = &mut self.receiver else {
            return Received::Reread;
        };
        match receiver.recv().await {
            Ok(Item::Message(message)) => Received::Event(message),
            Ok(Item::Reread) => Received::Reread,
            // A topic outlives its watchers, so that it cannot be closed here.
            Err(RecvError::Lagged(_) | RecvError::Closed) => Received::Lagged,
        }
    }
}

impl<M: Message> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.receiver = None;
        let mut topics = self.state.topics.lock();
        let is_last = topics
            .get(&self.topic)
            .is_some_and(|ring| ring.receiver_count() == 0);
        if is_last {
            topics.remove(&self.topic);
            self.state.tell(Interest::Ended(self.topic.clone()));
        }
    }
}
