//! Messages that a carrier cannot take, strangers on the channel, and the measured lag.

use crate::pair::{CHANNEL, Carrier, Note, Pair, note, number, reread};

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
