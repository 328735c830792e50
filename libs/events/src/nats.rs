//! Messages through a NATS server: core subjects, `PREFIX.TOPIC`, and `PREFIX._all` for what concerns all.
//!
//! A topic's subject is subscribed while somebody here watches it, so that a process hears no more than it needs.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, PublishError, ServerAddr, Subscriber};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::frame::Frame;
use crate::local::Interest;
use crate::outbox::Batch;
use crate::{Message, Shared};

/// For pings and losses.
const ALL: &str = "_all";

/// Subjects begin with it when the URL names nothing else.
const DEFAULT_PREFIX: &str = "kinora";

/// Room for the head of a frame.
const HEAD_BYTES: usize = 1024;

/// What a server takes unless it says otherwise.
const USUAL_PAYLOAD_BYTES: usize = 1 << 20;

/// How often a process tells itself that it can hear.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// After a message that could not be handed to the client.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where a NATS server is: `nats://[USER:PASSWORD@]HOST:PORT[/PREFIX]`, or `tls://` for an encrypted connection.
///
/// Subjects begin with the prefix, `kinora` by default: deployments that share a server need one each. The text may
/// hold a password and is not shown.
#[derive(Clone)]
pub struct NatsUrl {
    server: ServerAddr,
    prefix: String,
}

/// The text is not a [`NatsUrl`]. It may hold a password and is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must have the form nats://HOST:PORT or nats://HOST:PORT/PREFIX, the prefix of letters, digits, - and _"
)]
pub struct InvalidNatsUrl;

impl FromStr for NatsUrl {
    type Err = InvalidNatsUrl;

    fn from_str(text: &str) -> Result<Self, InvalidNatsUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidNatsUrl)?;
        if !matches!(scheme, "nats" | "tls") {
            return Err(InvalidNatsUrl);
        }
        let (server, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if server.is_empty() || prefix.len() > 64 || !prefix.chars().all(is_plain) {
            return Err(InvalidNatsUrl);
        }
        let prefix = if prefix.is_empty() {
            DEFAULT_PREFIX
        } else {
            prefix
        };
        Ok(Self {
            server: format!("{scheme}://{server}")
                .parse()
                .map_err(|_| InvalidNatsUrl)?,
            prefix: prefix.to_owned(),
        })
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nats://…")
    }
}

impl NatsUrl {
    fn subject(&self, topic: impl fmt::Display) -> String {
        format!("{}.{topic}", self.prefix)
    }
}

/// What one task does for all topics.
struct Nats<M: Message> {
    shared: Arc<Shared<M>>,
    client: Client,
    url: NatsUrl,
    watched: HashMap<M::Topic, AbortHandle>,
}

/// Starts the task that connects, sends and listens, until `stop`.
pub fn spawn<M: Message>(
    shared: &Arc<Shared<M>>,
    url: NatsUrl,
    interests: mpsc::UnboundedReceiver<Interest<M::Topic>>,
    stop: CancellationToken,
) {
    let running = run(Arc::clone(shared), url, interests, stop.clone());
    tokio::spawn(async move { stop.run_until_cancelled(running).await });
}

async fn run<M: Message>(
    shared: Arc<Shared<M>>,
    url: NatsUrl,
    mut interests: mpsc::UnboundedReceiver<Interest<M::Topic>>,
    stop: CancellationToken,
) {
    let (reconnected, mut reconnections) = mpsc::unbounded_channel();
    let Some(client) = connect(&shared, &url, reconnected).await else {
        return;
    };
    let sending = send(Arc::clone(&shared), client.clone(), url.clone());
    tokio::spawn(async move { stop.run_until_cancelled(sending).await });
    let mut nats = Nats {
        shared,
        client,
        url,
        watched: HashMap::new(),
    };
    let Ok(mut all) = nats.client.subscribe(nats.url.subject(ALL)).await else {
        tracing::error!("the event bus has ended; replicas do not hear each other");
        return;
    };
    loop {
        tokio::select! {
            Some(message) = all.next() => nats.shared.hear(&message.payload, None),
            Some(interest) = interests.recv() => nats.follow(interest).await,
            Some(()) = reconnections.recv() => {
                // Once the subscriptions are written again.
                let _ = nats.client.flush().await;
                nats.shared.local.reread_all();
            }
            else => return,
        }
    }
}

/// None when the address can never work.
async fn connect<M: Message>(
    shared: &Arc<Shared<M>>,
    url: &NatsUrl,
    reconnected: mpsc::UnboundedSender<()>,
) -> Option<Client> {
    let shared = Arc::clone(shared);
    let options = ConnectOptions::new()
        .name("kinora-events")
        .retry_on_initial_connect()
        .reconnect_delay_callback(pause)
        .event_callback(move |event| {
            note(&shared, &event, &reconnected);
            std::future::ready(())
        });
    match options.connect(url.server.clone()).await {
        Ok(client) => Some(client),
        Err(error) => {
            tracing::error!(%error, "the event bus cannot start; replicas do not hear each other");
            None
        }
    }
}

fn pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.min(10)).unwrap_or(10);
    let longest = (Duration::from_millis(25) * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    longest.mul_f64(rand::random_range(0.5..1.0))
}

fn note<M: Message>(shared: &Shared<M>, event: &Event, reconnected: &mpsc::UnboundedSender<()>) {
    match event {
        Event::Connected => {
            shared.observed.connected();
            // Fails when the bus has stopped.
            let _ = reconnected.send(());
        }
        Event::Disconnected | Event::Closed => {
            tracing::warn!("the connection to the event server is lost");
            shared.observed.disconnected();
            if let Some(outbox) = &shared.outbox {
                outbox.lost();
            }
        }
        // It has thrown messages of a subscription away.
        Event::SlowConsumer(_) => shared.local.reread_all(),
        other => tracing::info!(event = %other, "the event server"),
    }
}

impl<M: Message> Nats<M> {
    async fn follow(&mut self, interest: Interest<M::Topic>) {
        match interest {
            Interest::Ended(topic) => {
                if let Some(task) = self.watched.remove(&topic) {
                    task.abort();
                }
            }
            Interest::Began(topic) => {
                let subject = self.url.subject(&topic);
                let Ok(subscriber) = self.client.subscribe(subject).await else {
                    return;
                };
                // Messages from before the subscription may be lost: its watchers read once more.
                let _ = self.client.flush().await;
                self.shared.local.reread(std::slice::from_ref(&topic));
                let hearing = hear(Arc::clone(&self.shared), subscriber, topic.clone());
                let task = tokio::spawn(hearing).abort_handle();
                if let Some(older) = self.watched.insert(topic, task) {
                    older.abort();
                }
            }
        }
    }
}

impl<M: Message> Drop for Nats<M> {
    fn drop(&mut self) {
        self.watched.values().for_each(AbortHandle::abort);
    }
}

async fn hear<M: Message>(shared: Arc<Shared<M>>, mut subscriber: Subscriber, topic: M::Topic) {
    while let Some(message) = subscriber.next().await {
        shared.hear(&message.payload, Some(&topic));
    }
}

async fn send<M: Message>(shared: Arc<Shared<M>>, client: Client, url: NatsUrl) {
    let Some(outbox) = &shared.outbox else {
        return;
    };
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            batch = outbox.next() => publish(&shared, &client, &url, batch).await,
            _ = pings.tick() => {
                let ping = Frame::Ping(shared.observed.ping());
                tell_all(&shared, &client, &url, &ping).await
            }
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "an event was not sent to other replicas");
            sleep(RETRY_PAUSE).await;
            outbox.lost();
        }
    }
}

async fn publish<M: Message>(
    shared: &Shared<M>,
    client: &Client,
    url: &NatsUrl,
    batch: Batch<M>,
) -> Result<(), PublishError> {
    if batch.is_after_loss {
        tell_all(shared, client, url, &Frame::Reset).await?;
    }
    let limit = match client.max_payload() {
        0 => USUAL_PAYLOAD_BYTES,
        limit => limit,
    };
    for message in &batch.messages {
        let frame = shared.frame(message, limit.saturating_sub(HEAD_BYTES));
        for topic in message.topics() {
            let payload = frame.clone().into();
            client.publish(url.subject(topic), payload).await?;
        }
    }
    Ok(())
}

async fn tell_all<M: Message>(
    shared: &Shared<M>,
    client: &Client,
    url: &NatsUrl,
    frame: &Frame<'_>,
) -> Result<(), PublishError> {
    let text = frame.to_text::<&str>(shared.origin, &[]);
    client.publish(url.subject(ALL), text.into()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_may_carry_a_prefix_and_never_shows_its_password() {
        let plain: NatsUrl = "nats://127.0.0.1:4222".parse().expect("a URL");
        assert_eq!(plain.subject("work"), "kinora.work");
        let named: NatsUrl = "tls://ada:secret@host:4222/blue-2".parse().expect("a URL");
        assert_eq!(named.subject("work"), "blue-2.work");
        assert_eq!(format!("{named:?}"), "nats://…");
        for text in [
            "",
            "nats://",
            "http://host",
            "nats://host/a.b",
            "nats://host/>",
            "host:4222",
        ] {
            assert!(text.parse::<NatsUrl>().is_err(), "{text}");
        }
    }
}
