use super::*;

/// A subject, a number, and whether it may be replaced.
#[derive(Clone, Debug, PartialEq)]
struct Note(&'static str, u32, bool);

const SPACING: Duration = Duration::from_millis(500);

impl Message for Note {
    type Topic = String;

    fn topics(&self) -> Vec<String> {
        vec![self.0.to_owned()]
    }

    fn spacing(&self) -> Option<Duration> {
        self.2.then_some(SPACING)
    }

    fn to_wire(&self, _: usize) -> Option<String> {
        None
    }

    fn from_wire(_: &str) -> Option<Self> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn first_spaced_message_goes_at_once_and_the_newest_follows_in_time() {
    let outbox = Outbox::default();
    let begin = Instant::now();
    for number in 1..=9 {
        outbox.push(Note("a", number, true));
    }
    outbox.push(Note("b", 1, true));
    let sent = outbox.next().await.messages;
    assert_eq!(sent, [Note("a", 1, true), Note("b", 1, true)]);
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(outbox.next().await.messages, [Note("a", 9, true)]);
    let waited = begin.elapsed();
    assert!(waited >= SPACING && waited <= SPACING + TICK, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn message_that_counts_replaces_those_that_wait() {
    let outbox = Outbox::default();
    outbox.push(Note("a", 1, true));
    outbox.push(Note("a", 2, true));
    outbox.push(Note("a", 3, false));
    let sent = outbox.next().await.messages;
    assert_eq!(sent, [Note("a", 1, true), Note("a", 3, false)]);
    outbox.push(Note("a", 4, true));
    assert_eq!(
        outbox.next().await.messages,
        [Note("a", 4, true)],
        "2 does not come back"
    );
}

#[tokio::test(start_paused = true)]
async fn quiet_subjects_are_forgotten() {
    let outbox = Outbox::default();
    outbox.push(Note("a", 1, true));
    outbox.next().await;
    tokio::time::advance(SPACING + TICK).await;
    outbox.push(Note("b", 1, false));
    outbox.next().await;
    assert!(outbox.state.lock().spaced.is_empty());
}

#[tokio::test(start_paused = true)]
async fn full_outbox_drops_the_oldest_and_says_so() {
    let outbox = Outbox::default();
    for number in 0..u32::try_from(CAPACITY).expect("small") + 2 {
        outbox.push(Note("a", number, false));
    }
    assert_eq!(outbox.dropped(), 2);
    let batch = outbox.next().await;
    assert!(batch.is_after_loss);
    assert_eq!((batch.messages.len(), batch.messages[0].1), (BATCH, 2));
    assert!(!outbox.next().await.is_after_loss, "it is said once");
}
