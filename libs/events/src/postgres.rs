//! Messages through a PostgreSQL: bare `pg_notify`, and one connection that listens.
//!
//! Both connections are this engine's own. Neither is ever in a transaction: a listener that is would keep the server's
//! queue of notifications from being emptied.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::frame::Frame;
use crate::outbox::Outbox;
use crate::{Message, Secret, Shared};

/// The longest body. The server takes 7,999 bytes; the head of a frame needs some.
const MAX_BODY_BYTES: usize = 7000;

/// How often a process tells itself that it can hear.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// A listener that has not even heard its own process for this long is deaf.
const DEAF_AFTER: Duration = Duration::from_secs(16);

/// A server that takes longer to answer is away.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What it says in the server's list of connections.
const APPLICATION: &str = "kinora-events";

/// Starts the tasks that send and listen, until `stop`.
pub fn spawn<M: Message>(
    shared: &Arc<Shared<M>>,
    url: Secret,
    channel: &'static str,
    stop: CancellationToken,
) {
    let options = match PgConnectOptions::from_str(&url.0) {
        Ok(options) => options.application_name(APPLICATION),
        Err(_) => {
            // The store has opened the same URL; its text may hold a password.
            tracing::error!(
                "the event bus cannot read the database's URL; replicas do not hear each other"
            );
            return;
        }
    };
    let sending = send(Arc::clone(shared), options.clone(), channel);
    let listening = listen(Arc::clone(shared), options, channel);
    let stop_sending = stop.clone();
    tokio::spawn(async move { stop_sending.run_until_cancelled(sending).await });
    tokio::spawn(async move { stop.run_until_cancelled(listening).await });
}

async fn send<M: Message>(
    shared: Arc<Shared<M>>,
    options: PgConnectOptions,
    channel: &'static str,
) {
    let Some(outbox) = &shared.outbox else {
        return;
    };
    let mut pause = FIRST_PAUSE;
    loop {
        match timeout(ANSWER_TIMEOUT, PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => {
                pause = FIRST_PAUSE;
                let error = send_on(connection, &shared, outbox, channel).await;
                tracing::warn!(
                    error,
                    "events cannot be sent to other replicas; connecting again"
                );
                outbox.lost();
            }
            Ok(Err(error)) => tracing::debug!(%error, "no connection to send events on"),
            Err(_) => tracing::debug!("no answer to a connection to send events on"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Sends until it fails, and tells why.
async fn send_on<M: Message>(
    mut connection: PgConnection,
    shared: &Shared<M>,
    outbox: &Outbox<M>,
    channel: &str,
) -> String {
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frames = tokio::select! {
            batch = outbox.next() => {
                let reset = batch.is_after_loss.then(|| Frame::Reset.to_text::<&str>(shared.origin, &[]));
                let messages = batch.messages.iter().map(|message| shared.frame(message, MAX_BODY_BYTES));
                reset.into_iter().chain(messages).collect()
            }
            _ = pings.tick() => {
                vec![Frame::Ping(shared.observed.ping()).to_text::<&str>(shared.origin, &[])]
            }
        };
        match timeout(ANSWER_TIMEOUT, notify(&mut connection, channel, frames)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "no answer".to_owned(),
        }
    }
}

async fn notify(
    connection: &mut PgConnection,
    channel: &str,
    frames: Vec<String>,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_notify($1, frame) FROM unnest($2::text[]) AS frame")
        .bind(channel)
        .bind(frames)
        .execute(connection)
        .await?;
    Ok(())
}

async fn listen<M: Message>(shared: Arc<Shared<M>>, options: PgConnectOptions, channel: &str) {
    let mut pause = FIRST_PAUSE;
    loop {
        match timeout(ANSWER_TIMEOUT, listener(&options, channel)).await {
            Ok(Ok(mut listener)) => {
                pause = FIRST_PAUSE;
                shared.observed.connected();
                // Whatever was said before is lost.
                shared.local.reread_all();
                let error = hear(&mut listener, &shared).await;
                shared.observed.disconnected();
                tracing::warn!(
                    error,
                    "events of other replicas cannot be heard; listening again"
                );
            }
            Ok(Err(error)) => tracing::debug!(%error, "no connection to hear events on"),
            Err(_) => tracing::debug!("no answer to a connection to hear events on"),
        }
        // Replicas that lost the same server do not come back all at once.
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn listener(options: &PgConnectOptions, channel: &str) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    // A loss must be seen here, since watchers have to be told.
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    Ok(listener)
}

/// Hears until the connection is lost, and tells why.
async fn hear<M: Message>(listener: &mut PgListener, shared: &Shared<M>) -> String {
    loop {
        match timeout(DEAF_AFTER, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => shared.hear(notification.payload().as_bytes(), None),
            Ok(Ok(None)) => return "the connection was closed".to_owned(),
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "not even our own messages are heard".to_owned(),
        }
    }
}
