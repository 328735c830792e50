//! Carriers that go away and come back.

use kinora_events::{Engine, EventBus, Received, Secret, Subscription};
use tokio_util::sync::CancellationToken;

use crate::pair::{CAPACITY, CHANNEL, Carrier, Note, Pair, heard, note, number, reread};

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
