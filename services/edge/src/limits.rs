//! How often anybody may ask.
//!
//! Two limits, each of its own rate. Who shows a good key or token is counted as a caller: a key by its id, a person by
//! whom the token is of. Everybody else is counted by address: who shows a bad credential, and whatever needs none, such
//! as signing in. An address is one of IPv4, or the network of 64 bits that a home has of IPv6.
//!
//! A bucket is full at first, holds the quota, and fills evenly over the window ([`rate`]). It is kept in this process
//! ([`memory`]), or in a store that all replicas share ([`shared`]); while that is away each replica counts for itself,
//! since answers matter more than exact counts.
//!
//! The formula is our own, and the same in both. A library such as `governor` would count in memory only, could not take
//! back a count, and would keep every address until somebody sweeps; its formula would have to stand in the store's script
//! all the same.

mod memory;
mod rate;
mod shared;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use kinora_mesh::error::{Kind, PublicError};
use kinora_mesh::principal::Principal;
use tokio_util::sync::CancellationToken;

use self::memory::Buckets;
use self::rate::Level;
pub use self::rate::{InvalidLimit, Limit, Rate};
use self::shared::Store;
pub use self::shared::{InvalidStoreUrl, StoreError, StoreUrl};
use crate::config::LimitOptions;
use crate::error::Error;
use crate::problem::Problem;

/// The reason of a refusal.
pub(crate) const REFUSED: &str = "RATE_LIMITED";

/// What the limits are. `draft-ietf-httpapi-ratelimit-headers-11`.
pub(crate) const POLICY_HEADER: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is left. `draft-ietf-httpapi-ratelimit-headers-11`.
pub(crate) const LEVEL_HEADER: HeaderName = HeaderName::from_static("ratelimit");

/// Whom a request is counted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// An API key, by its id.
    Key(String),
    /// A person, or what acts for one, by token.
    Person(Principal),
    /// Somebody at an address. None where it is not known.
    Address(Option<IpAddr>),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Person(principal) => write!(f, "person:{principal}"),
            Self::Address(None) => f.write_str("unknown"),
            Self::Address(Some(IpAddr::V4(address))) => write!(f, "{address}"),
            Self::Address(Some(IpAddr::V6(address))) => {
                let [a, b, c, d, ..] = address.segments();
                write!(f, "{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }
    }
}

/// What came of counting a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    policy: &'static str,
    rate: Rate,
    level: Level,
}

impl Verdict {
    /// Refuses the request if there was no room for it.
    ///
    /// # Errors
    /// A 429 [`Problem`], reason [`REFUSED`].
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.level.is_within {
            return Ok(());
        }
        let (policy, quota) = (self.policy, self.rate.quota());
        let window = self.rate.window_seconds();
        let detail = format!("more than {quota} requests in {window} s for one {policy}");
        let error = PublicError::new(Kind::ResourceExhausted, REFUSED, detail)
            .with_metadata("limit", policy)
            .with_metadata("quota", quota.to_string())
            .with_metadata("window_seconds", window.to_string())
            .with_retry_after(std::time::Duration::from_micros(self.level.next_micros));
        Err(error.into())
    }

    /// Says what the limit is, and what is left.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let (policy, quota) = (self.policy, self.rate.quota());
        let window = self.rate.window_seconds();
        let remaining = self.level.remaining;
        let next = self.level.next_seconds();
        let texts = [
            (POLICY_HEADER, format!("\"{policy}\";q={quota};w={window}")),
            (LEVEL_HEADER, format!("\"{policy}\";r={remaining};t={next}")),
        ];
        for (name, text) in texts {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}

/// Counts requests. Cheap to clone; clones count together. By default nothing is limited.
#[derive(Clone, Default)]
pub(crate) struct Limits(Arc<Inner>);

#[derive(Default)]
struct Inner {
    callers: Option<Counter>,
    addresses: Option<Counter>,
    store: Option<Store>,
}

/// One of the limits.
struct Counter {
    policy: &'static str,
    rate: Rate,
    buckets: Buckets,
    /// When its clock began.
    began: Instant,
}

impl Limits {
    /// Counts as `options` say. The connection to a store is kept until `stopping`.
    ///
    /// # Errors
    /// [`Error`] when the certificates of the store's authority cannot be used.
    pub(crate) async fn open(
        options: &LimitOptions,
        stopping: CancellationToken,
    ) -> Result<Self, Error> {
        let store = match &options.limit_store {
            None => None,
            Some(url) => {
                let ca = options.limit_store_ca.as_deref().map(std::fs::read);
                let ca = ca.transpose().map_err(Error::LimitStoreCa)?;
                let patience = options.limit_store_timeout;
                Some(Store::open(url, ca, patience, stopping).await?)
            }
        };
        Ok(Self(Arc::new(Inner {
            callers: Counter::of("caller", options.caller_limit),
            addresses: Counter::of("address", options.address_limit),
            store,
        })))
    }

    /// Counts a request. None where there is no limit.
    pub(crate) async fn take(&self, subject: &Subject) -> Option<Verdict> {
        let counter = self.0.counter_of(subject)?;
        let name = subject.to_string();
        let shared = match &self.0.store {
            Some(store) => store.take(&counter.key_of(&name), counter.rate).await,
            None => None,
        };
        let level = shared.unwrap_or_else(|| counter.buckets.take(&name, counter.now()));
        Some(counter.verdict(level))
    }

    /// Takes back that a request was counted.
    pub(crate) async fn give_back(&self, subject: &Subject) {
        let Some(counter) = self.0.counter_of(subject) else {
            return;
        };
        let name = subject.to_string();
        let shared = match &self.0.store {
            Some(store) => store.give_back(&counter.key_of(&name), counter.rate).await,
            None => None,
        };
        if shared.is_none() {
            counter.buckets.give_back(&name, counter.now());
        }
    }
}

impl Inner {
    const fn counter_of(&self, subject: &Subject) -> Option<&Counter> {
        match subject {
            Subject::Key(_) | Subject::Person(_) => self.callers.as_ref(),
            Subject::Address(_) => self.addresses.as_ref(),
        }
    }
}

impl Counter {
    fn of(policy: &'static str, limit: Limit) -> Option<Self> {
        let rate = limit.0?;
        Some(Self {
            policy,
            rate,
            buckets: Buckets::new(rate),
            began: Instant::now(),
        })
    }

    /// A name for everything in the store.
    fn key_of(&self, name: &str) -> String {
        format!("kinora:limit:{}:{name}", self.policy)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    const fn verdict(&self, level: Level) -> Verdict {
        Verdict {
            policy: self.policy,
            rate: self.rate,
            level,
        }
    }
}

#[cfg(test)]
mod tests;
