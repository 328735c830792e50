//! Events from those who write them to those who watch, across the replicas of a service.
//!
//! An [`EventBus`] has a topic for everything that somebody watches. A topic is a bounded ring: a watcher that falls
//! behind is told so ([`Received::Lagged`]) and reads the present state again, instead of slowing down the writer.
//! **Events may be lost; the truth is in the database**, and a watcher looks there now and then whatever it hears.
//!
//! Watchers of the same process hear everything. What watchers of other processes hear depends on the [`Engine`]:
//!
//! | engine | carries | bounds |
//! | --- | --- | --- |
//! | memory | nothing: there is one process | |
//! | PostgreSQL | bare `pg_notify` on a connection of its own, outside every transaction; one `LISTEN` a process | 7 kB a message |
//! | NATS | core subjects, one a topic, subscribed while somebody watches | the server's limit, 1 MB by default |
//!
//! `NOTIFY` inside the transaction that writes a row would serialise the commits of the whole server; that is why it is
//! sent on its own, after the commit. A message that is too long goes out as a hint, which reads as
//! [`Received::Reread`] elsewhere. Messages that come often ([`Message::spacing`]) are thinned: the newest one is sent,
//! at most once in that time. A connection that was lost is made again, and then all watchers are told to read again.
//!
//! [`EventBus::publish`] never waits and never fails. What waits to be sent is bounded; the oldest goes first, and the
//! others are told to read again once there is a connection.

mod frame;
mod local;
mod nats;
mod outbox;
mod postgres;
mod status;

use std::fmt;
use std::hash::Hash;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use local::{Received, Subscription};
pub use nats::NatsUrl;
pub use status::Status;

use frame::Frame;
use local::Local;
use outbox::Outbox;
use status::Observed;

/// What a bus carries.
pub trait Message: Clone + Send + Sync + 'static {
    /// What is watched. Its text has 1 to 64 characters of `a-z`, `0-9`, `-`, and `.` between others.
    type Topic: Clone + Eq + Hash + Send + Sync + fmt::Display + FromStr + 'static;

    /// The topics that hear it. The first one is its subject: messages of one subject arrive in their order.
    fn topics(&self) -> Vec<Self::Topic>;

    /// None when every one counts. Otherwise other processes get the subject's newest message, at most once in this
    /// time; one that counts replaces those that wait.
    fn spacing(&self) -> Option<Duration>;

    /// As UTF-8 text of at most `limit` bytes, without what may be left out if need be. None when it does not fit.
    fn to_wire(&self, limit: usize) -> Option<String>;

    /// Reads [`Self::to_wire`]'s text, perhaps of another version. None when it cannot.
    fn from_wire(text: &str) -> Option<Self>;
}

/// How messages reach other processes.
#[derive(Clone, Debug)]
pub enum Engine {
    /// They do not: there are none.
    Memory,
    /// Through a PostgreSQL that all of them use, by its URL.
    Postgres {
        /// `postgres://USER:PASSWORD@HOST:PORT/NAME`. A pooler in between must not pool transactions.
        url: Secret,
        /// Processes on one database that share it are one service.
        channel: &'static str,
    },
    /// Through a NATS server.
    Nats(NatsUrl),
}

/// Text that may hold a password; `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Hands messages to all who watch one of their topics. Cheap to clone.
pub struct EventBus<M: Message> {
    shared: Arc<Shared<M>>,
}

/// What the tasks of an engine share with the bus.
struct Shared<M: Message> {
    local: Local<M>,
    /// None when there are no other processes.
    outbox: Option<Outbox<M>>,
    observed: Observed,
    /// Names this process in what it sends, so that it does not hear itself.
    origin: u64,
}

impl<M: Message> EventBus<M> {
    /// Makes a bus that keeps `capacity` messages (at least one) for a slow watcher.
    ///
    /// Connections are made in the background and made again when they are lost, until `stop`.
    /// Must be called within a Tokio runtime, except for [`Engine::Memory`].
    #[must_use]
    pub fn open(engine: Engine, capacity: usize, stop: CancellationToken) -> Self {
        match engine {
            Engine::Memory => Self::memory(capacity),
            Engine::Postgres { url, channel } => {
                let shared = Shared::new(Local::new(capacity), true);
                postgres::spawn(&shared, url, channel, stop);
                Self { shared }
            }
            Engine::Nats(url) => {
                let (local, interests) = Local::with_interests(capacity);
                let shared = Shared::new(local, true);
                nats::spawn(&shared, url, interests, stop);
                Self { shared }
            }
        }
    }

    /// A bus within this process.
    #[must_use]
    pub fn memory(capacity: usize) -> Self {
        Self {
            shared: Shared::new(Local::new(capacity), false),
        }
    }

    /// Hands a message to the present watchers of its topics, here and elsewhere. Never waits.
    pub fn publish(&self, message: M) {
        self.shared.local.deliver(&message);
        self.publish_elsewhere(message);
    }

    /// As [`Self::publish`], for other processes alone.
    pub fn publish_elsewhere(&self, message: M) {
        if let Some(outbox) = &self.shared.outbox {
            outbox.push(message);
        }
    }

    /// Watches `topic` from now on.
    #[must_use]
    pub fn subscribe(&self, topic: M::Topic) -> Subscription<M> {
        self.shared.local.subscribe(topic)
    }

    /// How the bus is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let dropped = self.shared.outbox.as_ref().map_or(0, Outbox::dropped);
        self.shared.observed.status(dropped)
    }
}

impl<M: Message> Clone for EventBus<M> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<M: Message> Shared<M> {
    fn new(local: Local<M>, has_others: bool) -> Arc<Self> {
        Arc::new(Self {
            local,
            outbox: has_others.then(Outbox::default),
            observed: Observed::new(!has_others),
            origin: rand::random(),
        })
    }

    /// What others are to be told of a message, in `limit` bytes.
    fn frame(&self, message: &M, limit: usize) -> String {
        let topics = message.topics();
        match message.to_wire(limit) {
            Some(body) => Frame::Message(body.into()).to_text(self.origin, &topics),
            None => Frame::Hint.to_text(self.origin, &topics),
        }
    }

    /// Acts on what another process, or anybody, has sent; for `only` this topic if one is given.
    fn hear(&self, bytes: &[u8], only: Option<&M::Topic>) {
        let Some((origin, topics, frame)) = Frame::parse(bytes) else {
            self.observed.garbage();
            return;
        };
        if origin == self.origin {
            if let Frame::Ping(number) = frame {
                self.observed.pong(number);
            }
            return;
        }
        let topics: Vec<M::Topic> = match only {
            Some(only) => vec![only.clone()],
            None => topics.filter_map(|topic| topic.parse().ok()).collect(),
        };
        match frame {
            Frame::Ping(_) => {}
            Frame::Reset => self.local.reread_all(),
            Frame::Hint => self.local.reread(&topics),
            Frame::Message(body) if self.local.has_watchers(&topics) => match M::from_wire(&body) {
                Some(message) => self.local.deliver_to(&topics, &message),
                None => {
                    self.observed.garbage();
                    self.local.reread(&topics);
                }
            },
            Frame::Message(_) => {}
        }
    }
}
