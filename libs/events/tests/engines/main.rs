//! What every engine promises, on every engine.

mod limits;
mod losses;
mod pair;

use kinora_events::Received;

use crate::pair::{CAPACITY, Note, Pair, heard, note, number, progress};

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
