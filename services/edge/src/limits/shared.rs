//! Buckets that the replicas of an edge share, in a store that speaks the protocol of Redis.
//!
//! One script counts a request, by the store's own clock, so that neither two edges at the same moment nor clocks that
//! differ let one more through. The store forgets a bucket by itself once it is full.
//!
//! Requests do not wait for a store that is away. After the first question without an answer all are counted in memory,
//! while a task tries to reach the store.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kinora_mesh::error::chain;
use opentelemetry::global;
use opentelemetry::metrics::Counter;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisError, Script, TlsCertificates};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::rate::{Level, Rate};

/// For a connection with its handshakes. No request waits for it, only the start of the edge.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two tries to reach it.
const PAUSE: Duration = Duration::from_secs(1);

/// Between two lines in the log that it is away.
const QUIET: Duration = Duration::from_secs(60);

/// KEYS: the bucket. ARGV: the interval and the capacity in microseconds, and 1 to count or -1 to take back. The formula is
/// that of [`Rate::count`].
const COUNT: &str = "
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) - now, 0)
local after = ahead + interval * ARGV[3]
if after > capacity then
  return {0, ahead}
end
if after <= 0 then
  redis.call('DEL', KEYS[1])
  return {1, 0}
end
redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', math.ceil(after / 1000))
return {1, after}
";

/// Where a store is: `redis://[USER:PASSWORD@]HOST:PORT[/DATABASE]`, or `rediss://` for an encrypted connection. The text
/// may hold a password and is not shown.
#[derive(Clone)]
pub struct StoreUrl(ConnectionInfo);

/// The text is no [`StoreUrl`]. It may hold a password and is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must have the form redis://HOST:PORT or rediss://HOST:PORT, with a database after a slash if need be"
)]
pub struct InvalidStoreUrl;

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        if !text.starts_with("redis://") && !text.starts_with("rediss://") {
            return Err(InvalidStoreUrl);
        }
        let info = text.into_connection_info();
        info.map(Self).map_err(|_| InvalidStoreUrl)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis://…")
    }
}

/// The store cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("the store of the limits cannot be used as it is configured")]
pub struct StoreError(#[from] RedisError);

/// A store, and whether it answers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Store {
    connection: ConnectionManager,
    script: Script,
    /// How long a request waits.
    patience: Duration,
    link: Arc<Link>,
}

struct Link {
    is_up: AtomicBool,
    went_down: Notify,
    /// Requests that were counted in memory instead.
    missed: Counter<u64>,
}

impl Store {
    /// Connects, and goes on trying until `stopping`. A store that is away is no error. `ca` are the authorities that may
    /// vouch for it, in PEM form, instead of the system's. A request waits for `patience` at most.
    ///
    /// # Errors
    /// [`StoreError`] when the certificates make no sense.
    pub(super) async fn open(
        url: &StoreUrl,
        ca: Option<Vec<u8>>,
        patience: Duration,
        stopping: CancellationToken,
    ) -> Result<Self, StoreError> {
        let info = url.0.clone();
        let client = match ca {
            None => Client::open(info)?,
            root_cert => {
                let client_tls = None;
                let certificates = TlsCertificates {
                    client_tls,
                    root_cert,
                };
                Client::build_with_tls(info, certificates)?
            }
        };
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(patience.max(CONNECT_TIMEOUT)));
        let store = Self {
            connection: ConnectionManager::new_lazy_with_config(client, config)?,
            script: Script::new(COUNT),
            patience,
            link: Arc::new(Link::new()),
        };
        let mut keeper = Keeper::new(store.clone());
        keeper.reach().await;
        tokio::spawn(async move { stopping.run_until_cancelled(keeper.keep()).await });
        Ok(store)
    }

    /// Counts a request. None while the store is away.
    pub(super) async fn take(&self, bucket: &str, rate: Rate) -> Option<Level> {
        self.count(bucket, rate, 1).await
    }

    /// Takes back that a request was counted.
    pub(super) async fn give_back(&self, bucket: &str, rate: Rate) -> Option<Level> {
        self.count(bucket, rate, -1).await
    }

    /// Whether it answered when it was last asked.
    pub(super) fn is_up(&self) -> bool {
        self.link.is_up.load(Ordering::Acquire)
    }

    async fn count(&self, bucket: &str, rate: Rate, step: i8) -> Option<Level> {
        let counted = if self.is_up() {
            self.ask(bucket, rate, step).await
        } else {
            None
        };
        if counted.is_none() {
            self.link.missed.add(1, &[]);
        }
        counted
    }

    async fn ask(&self, bucket: &str, rate: Rate, step: i8) -> Option<Level> {
        let mut connection = self.connection.clone();
        let mut call = self.script.key(bucket);
        call.arg(rate.interval_micros());
        call.arg(rate.capacity_micros()).arg(step);
        let asked = call.invoke_async::<(u8, u64)>(&mut connection);
        match timeout(self.patience, asked).await {
            Ok(Ok((is_within, ahead))) => Some(rate.level(is_within == 1, ahead)),
            Ok(Err(_)) | Err(_) => {
                self.link.lose();
                None
            }
        }
    }
}

impl Link {
    fn new() -> Self {
        let missed = global::meter(crate::METER)
            .u64_counter("kinora.edge.limits.local")
            .with_unit("{request}")
            .with_description(
                "Requests that were counted in this edge's memory because the store was away.",
            )
            .build();
        Self {
            is_up: AtomicBool::new(false),
            went_down: Notify::new(),
            missed,
        }
    }

    fn lose(&self) {
        if self.is_up.swap(false, Ordering::AcqRel) {
            self.went_down.notify_one();
        }
    }
}

/// Tries to reach a store that is away.
struct Keeper {
    store: Store,
    said: Option<Instant>,
}

impl Keeper {
    const fn new(store: Store) -> Self {
        Self { store, said: None }
    }

    async fn keep(&mut self) {
        loop {
            if self.store.is_up() {
                self.store.link.went_down.notified().await;
            } else {
                sleep(PAUSE).await;
            }
            self.reach().await;
        }
    }

    /// Asks once, without a hurry.
    async fn reach(&mut self) {
        let mut connection = self.store.connection.clone();
        let ping = redis::cmd("PING");
        let problem = match timeout(CONNECT_TIMEOUT, ping.exec_async(&mut connection)).await {
            Ok(Ok(())) => {
                self.store.link.is_up.store(true, Ordering::Release);
                return;
            }
            Ok(Err(error)) => chain(&error),
            Err(_) => "it does not answer".to_owned(),
        };
        let is_due = self.said.is_none_or(|said| said.elapsed() >= QUIET);
        if is_due {
            self.said = Some(Instant::now());
            tracing::warn!(
                problem,
                "the store of the limits is away; this edge counts alone"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_stores_are_not_shown() {
        let url: StoreUrl = "rediss://ada:hunter2@limits.example.org:6380/3"
            .parse()
            .unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        for text in [
            "",
            "redis",
            "http://a:1",
            "redis://",
            "unix:///run/redis",
            "redis://a:1/x",
        ] {
            assert_eq!(
                text.parse::<StoreUrl>().err(),
                Some(InvalidStoreUrl),
                "{text}"
            );
        }
    }
}
