//! Two processes on one carrier, and what they tell each other.

use std::time::Duration;

use kinora_events::{Engine, EventBus, Message, Received, Secret, Status, Subscription};
use kinora_testkit::nats::TestNats;
use kinora_testkit::postgres::TestPostgres;
use kinora_testkit::wait::until;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const CAPACITY: usize = 64;
pub(crate) const CHANNEL: &str = "kinora_test";

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Note {
    pub(crate) topics: Vec<String>,
    pub(crate) number: usize,
    pub(crate) is_spaced: bool,
    pub(crate) padding: usize,
}

impl Message for Note {
    type Topic = String;

    fn topics(&self) -> Vec<String> {
        self.topics.clone()
    }

    fn spacing(&self) -> Option<Duration> {
        self.is_spaced.then_some(Duration::from_millis(100))
    }

    fn to_wire(&self, limit: usize) -> Option<String> {
        let padding = "x".repeat(self.padding);
        let text = format!("{} {} {padding}", self.number, self.topics.join(","));
        (text.len() <= limit).then_some(text)
    }

    fn from_wire(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let number = parts.next()?.parse().ok()?;
        let topics = parts.next()?.split(',').map(str::to_owned).collect();
        let padding = parts.next()?.len();
        Some(Self {
            topics,
            number,
            is_spaced: false,
            padding,
        })
    }
}

pub(crate) fn note(topic: &str, number: usize) -> Note {
    Note {
        topics: vec![topic.to_owned()],
        number,
        is_spaced: false,
        padding: 0,
    }
}

pub(crate) fn progress(topic: &str, number: usize) -> Note {
    Note {
        is_spaced: true,
        ..note(topic, number)
    }
}

/// What carries the messages, and what can be done to it.
pub(crate) enum Carrier {
    Memory,
    Postgres { server: TestPostgres, url: String },
    Nats(TestNats),
}

/// Two processes on one carrier; in memory they are one.
pub(crate) struct Pair {
    pub(crate) here: EventBus<Note>,
    pub(crate) there: EventBus<Note>,
    pub(crate) carrier: Carrier,
    _stop: DropGuard,
}

impl Pair {
    pub(crate) async fn memory() -> Self {
        Self::start(Carrier::Memory, CAPACITY).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::start(Self::postgres_carrier().await, CAPACITY).await
    }

    pub(crate) async fn nats() -> Self {
        Self::start(Carrier::Nats(TestNats::start().await), CAPACITY).await
    }

    async fn postgres_carrier() -> Carrier {
        let server = TestPostgres::of_this_run();
        let url = server.create_database().await;
        Carrier::Postgres { server, url }
    }

    async fn start(carrier: Carrier, capacity: usize) -> Self {
        let stop = CancellationToken::new();
        let open = || EventBus::open(carrier.engine(), capacity, stop.clone());
        let here = open();
        let there = if matches!(carrier, Carrier::Memory) {
            here.clone()
        } else {
            open()
        };
        let pair = Self {
            here,
            there,
            carrier,
            _stop: stop.drop_guard(),
        };
        pair.wait("both to be connected", |status| status.is_connected)
            .await;
        pair
    }

    pub(crate) async fn wait(&self, what: &str, is_so: impl Fn(Status) -> bool) {
        until(what, PATIENCE, || async {
            let both = [self.here.status(), self.there.status()];
            if both.into_iter().all(&is_so) {
                Ok(())
            } else {
                Err(both)
            }
        })
        .await;
    }

    /// Watches at the other process, and returns once that hears.
    pub(crate) async fn watch_there(&self, topic: &str) -> Subscription<Note> {
        let mut watching = self.there.subscribe(topic.to_owned());
        // A subscription takes its time to reach the server.
        loop {
            self.here.publish(note(topic, 0));
            let heard = timeout(Duration::from_millis(200), watching.next()).await;
            if let Ok(Received::Event(note)) = heard {
                assert_eq!(note.number, 0);
                return watching;
            }
        }
    }
}

impl Carrier {
    fn engine(&self) -> Engine {
        match self {
            Self::Memory => Engine::Memory,
            Self::Postgres { url, .. } => Engine::Postgres {
                url: Secret(url.clone()),
                channel: CHANNEL,
            },
            Self::Nats(server) => Engine::Nats(server.url().parse().expect("a URL")),
        }
    }
}

pub(crate) async fn heard(watching: &mut Subscription<Note>) -> Received<Note> {
    timeout(PATIENCE, watching.next())
        .await
        .expect("something in time")
}

/// The next number above 0; what watchers are told besides is passed over.
pub(crate) async fn number(watching: &mut Subscription<Note>) -> usize {
    loop {
        match heard(watching).await {
            Received::Event(note) if note.number > 0 => return note.number,
            Received::Event(_) | Received::Reread => {}
            Received::Lagged => panic!("it was not slow"),
        }
    }
}

pub(crate) async fn reread(watching: &mut Subscription<Note>) {
    while heard(watching).await != Received::Reread {}
}
