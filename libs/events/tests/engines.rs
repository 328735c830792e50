//! What every engine promises, on every engine.

use std::time::Duration;

use kinora_events::{Engine, EventBus, Message, Received, Secret, Status, Subscription};
use kinora_testkit::nats::TestNats;
use kinora_testkit::postgres::TestPostgres;
use kinora_testkit::wait::until;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

const PATIENCE: Duration = Duration::from_secs(20);
const CAPACITY: usize = 64;
const CHANNEL: &str = "kinora_test";

#[derive(Clone, Debug, PartialEq)]
struct Note {
    topics: Vec<String>,
    number: usize,
    is_spaced: bool,
    padding: usize,
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

fn note(topic: &str, number: usize) -> Note {
    Note {
        topics: vec![topic.to_owned()],
        number,
        is_spaced: false,
        padding: 0,
    }
}

fn progress(topic: &str, number: usize) -> Note {
    Note {
        is_spaced: true,
        ..note(topic, number)
    }
}

/// What carries the messages, and what can be done to it.
enum Carrier {
    Memory,
    Postgres { server: TestPostgres, url: String },
    Nats(TestNats),
}

/// Two processes on one carrier; in memory they are one.
struct Pair {
    here: EventBus<Note>,
    there: EventBus<Note>,
    carrier: Carrier,
    _stop: DropGuard,
}

impl Pair {
    async fn memory() -> Self {
        Self::start(Carrier::Memory, CAPACITY).await
    }

    async fn postgres() -> Self {
        Self::start(Self::postgres_carrier().await, CAPACITY).await
    }

    async fn nats() -> Self {
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

    async fn wait(&self, what: &str, is_so: impl Fn(Status) -> bool) {
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
    async fn watch_there(&self, topic: &str) -> Subscription<Note> {
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

async fn heard(watching: &mut Subscription<Note>) -> Received<Note> {
    timeout(PATIENCE, watching.next())
        .await
        .expect("something in time")
}

/// The next number above 0; what watchers are told besides is passed over.
async fn number(watching: &mut Subscription<Note>) -> usize {
    loop {
        match heard(watching).await {
            Received::Event(note) if note.number > 0 => return note.number,
            Received::Event(_) | Received::Reread => {}
            Received::Lagged => panic!("it was not slow"),
        }
    }
}

async fn reread(watching: &mut Subscription<Note>) {
    while heard(watching).await != Received::Reread {}
}

async fn watchers_hear_their_topic_in_its_order(pair: Pair) {
    let mut first = pair.watch_there("a").await;
    let mut second = pair.watch_there("b").await;
    for number in 1..=40 {
        pair.here.publish(note("a", number));
        pair.here.publish(note("b", 100 + number));
    }
    for expected in 1..=40 {
        assert_eq!(number(&mut first).await, expected);
        assert_eq!(number(&mut second).await, 100 + expected);
    }
}

async fn message_of_two_topics_is_heard_once_at_each(pair: Pair) {
    let (mut job, mut group) = (
        pair.watch_there("job.1").await,
        pair.watch_there("group.1").await,
    );
    let topics = vec!["job.1".to_owned(), "group.1".to_owned()];
    pair.here.publish(Note {
        topics,
        ..note("", 1)
    });
    pair.here.publish(note("job.1", 2));
    pair.here.publish(note("group.1", 3));
    assert_eq!((number(&mut job).await, number(&mut job).await), (1, 2));
    assert_eq!((number(&mut group).await, number(&mut group).await), (1, 3));
}

async fn slow_watcher_is_told_and_then_hears_the_newest(pair: Pair) {
    let (mut slow, mut quick) = (pair.watch_there("a").await, pair.watch_there("a").await);
    let last = 3 * CAPACITY;
    for sent in 1..=last {
        pair.here.publish(note("a", sent));
        assert_eq!(number(&mut quick).await, sent);
    }
    while heard(&mut slow).await != Received::Lagged {}
    assert_eq!(number(&mut slow).await, last + 1 - CAPACITY);
}

async fn newest_progress_arrives_and_never_after_what_counts(pair: Pair) {
    let mut watching = pair.watch_there("a").await;
    for sent in 1..=50 {
        pair.here.publish(progress("a", sent));
    }
    let mut newest = 0;
    while newest < 50 {
        let next = number(&mut watching).await;
        assert!(next > newest, "{next} after {newest}");
        newest = next;
    }
    for sent in 51..=60 {
        pair.here.publish(progress("a", sent));
    }
    pair.here.publish(note("a", 61));
    pair.here.publish(note("a", 62));
    while newest < 62 {
        let next = number(&mut watching).await;
        assert!(next > newest, "{next} after {newest}");
        newest = next;
    }
}

async fn publisher_hears_itself_once(pair: Pair) {
    let mut there = pair.watch_there("a").await;
    let mut here = pair.here.subscribe("a".to_owned());
    pair.here.publish(note("a", 1));
    assert_eq!(number(&mut there).await, 1);
    pair.there.publish(note("a", 2));
    assert_eq!((number(&mut here).await, number(&mut here).await), (1, 2));
}

macro_rules! on_all_engines {
    ($($name:ident)*) => {$(
        mod $name {
            use super::Pair;

            #[tokio::test]
            async fn memory() {
                super::$name(Pair::memory().await).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::$name(Pair::postgres().await).await;
            }

            #[tokio::test]
            async fn nats() {
                super::$name(Pair::nats().await).await;
            }
        }
    )*};
}

on_all_engines! {
    watchers_hear_their_topic_in_its_order
    message_of_two_topics_is_heard_once_at_each
    slow_watcher_is_told_and_then_hears_the_newest
    newest_progress_arrives_and_never_after_what_counts
    publisher_hears_itself_once
}

/// After a loss watchers are told to read again, at both ends, and then hear as before.
async fn recovers(pair: &Pair, watching: &mut Subscription<Note>, losses: u64) {
    pair.wait("both to have lost it", |status| status.losses >= losses)
        .await;
    pair.wait("both to be back", |status| status.is_connected)
        .await;
    reread(watching).await;
    drop(pair.watch_there("a").await);
    pair.here.publish(note("a", 7));
    // What was published meanwhile may arrive late, but not after it.
    while number(watching).await != 7 {}
    pair.here.publish(note("a", 8));
    assert_eq!(number(watching).await, 8);
}

#[tokio::test]
async fn lost_postgres_connections_are_made_again() {
    let pair = Pair::postgres().await;
    let mut watching = pair.watch_there("a").await;
    let Carrier::Postgres { server, url } = &pair.carrier else {
        unreachable!("it is PostgreSQL")
    };
    for losses in 1..=2 {
        assert!(server.cut_connections(url, "kinora-events").await >= 2);
        recovers(&pair, &mut watching, losses).await;
    }
}

#[tokio::test]
async fn stopped_nats_server_is_found_again() {
    let mut pair = Pair::nats().await;
    let mut watching = pair.watch_there("a").await;
    for losses in 1..=2 {
        let Carrier::Nats(server) = &mut pair.carrier else {
            unreachable!("it is NATS")
        };
        server.stop().await;
        pair.wait("both to have lost it", |status| !status.is_connected)
            .await;
        pair.here.publish(note("a", 5));
        let Carrier::Nats(server) = &mut pair.carrier else {
            unreachable!("it is NATS")
        };
        server.start_again().await;
        recovers(&pair, &mut watching, losses).await;
    }
}

#[tokio::test]
async fn publisher_never_waits_for_an_engine_that_is_away() {
    let port = kinora_testkit::net::free_port();
    let postgres = Engine::Postgres {
        url: Secret(format!("postgres://nobody@127.0.0.1:{port}/none")),
        channel: CHANNEL,
    };
    let nats = Engine::Nats(format!("nats://127.0.0.1:{port}").parse().expect("a URL"));
    for engine in [postgres, nats] {
        let stop = CancellationToken::new();
        let bus = EventBus::open(engine, CAPACITY, stop.clone());
        let mut here = bus.subscribe("a".to_owned());
        // Nothing is awaited, so that nobody can take these away meanwhile.
        for sent in 1..=20_000 {
            bus.publish(note("a", sent));
        }
        assert!(bus.status().dropped > 10_000 && !bus.status().is_connected);
        while heard(&mut here).await != Received::Lagged {}
        assert_eq!(
            heard(&mut here).await,
            Received::Event(note("a", 20_001 - CAPACITY))
        );
        stop.cancel();
    }
}

#[tokio::test]
async fn message_that_is_too_long_is_a_hint_elsewhere() {
    let postgres = Pair::postgres().await;
    let mut watching = postgres.watch_there("a").await;
    postgres.here.publish(Note {
        padding: 6000,
        ..note("a", 1)
    });
    assert_eq!(number(&mut watching).await, 1);
    postgres.here.publish(Note {
        padding: 9000,
        ..note("a", 2)
    });
    reread(&mut watching).await;
    let nats = Pair::nats().await;
    let mut watching = nats.watch_there("a").await;
    nats.here.publish(Note {
        padding: 500_000,
        ..note("a", 1)
    });
    assert_eq!(number(&mut watching).await, 1);
    nats.here.publish(Note {
        padding: 2_000_000,
        ..note("a", 2)
    });
    reread(&mut watching).await;
}

#[tokio::test]
async fn garbage_is_counted_and_passed_over() {
    use sqlx::Connection;

    let pair = Pair::postgres().await;
    let mut watching = pair.watch_there("a").await;
    let Carrier::Postgres { url, .. } = &pair.carrier else {
        unreachable!("it is PostgreSQL")
    };
    let mut stranger = sqlx::PgConnection::connect(url).await.expect("connects");
    for text in [
        "",
        "hello",
        "k1 00 m a what is this?",
        "k1 00 m ,,, 1 a x",
        "k1 00 x a 1",
    ] {
        let told = sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(text);
        told.execute(&mut stranger).await.expect("notifies");
    }
    pair.here.publish(note("a", 1));
    assert_eq!(number(&mut watching).await, 1);
    assert!(
        pair.there.status().garbage >= 4,
        "{:?}",
        pair.there.status()
    );
}

#[tokio::test]
async fn connected_process_measures_its_own_lag() {
    for pair in [Pair::postgres().await, Pair::nats().await] {
        pair.wait("a measured lag", |status| status.lag.is_some())
            .await;
    }
}
