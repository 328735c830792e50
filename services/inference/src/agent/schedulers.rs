//! The schedulers that a worker may attach to, one after the other.
//!
//! Every replica of a scheduler serves every worker, so that a worker whose stream ends goes to the next one. An address
//! is tried once a round; names are looked up anew for each round, and all their addresses belong to it.

use std::collections::VecDeque;
use std::time::Duration;

use kinora_mesh::channel;
use kinora_mesh::identity::Identity;
use kinora_proto::scheduler::v1::worker_service_client::WorkerServiceClient;
use rand::seq::SliceRandom;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::error::Error;

/// How long a name may take to be looked up.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);
/// How long a connection may take. Leases lapse after a few seconds without a heartbeat.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// Between pings of an idle connection, and until the answer: a machine that is gone says nothing, and the worker has
/// to be with another one before its leases lapse.
const PING_INTERVAL: Duration = Duration::from_millis(1500);
const PING_PATIENCE: Duration = Duration::from_millis(1500);

/// Who has to be at the addresses.
const SCHEDULER: &str = "scheduler";

/// The addresses, in the order in which they are tried.
#[derive(Debug)]
pub struct Schedulers {
    identity: Identity,
    uris: Vec<Uri>,
    round: VecDeque<Endpoint>,
    /// Where the worker was attached last.
    used: Option<Uri>,
}

/// A scheduler to try.
pub(super) struct Candidate {
    pub(super) client: WorkerServiceClient<Channel>,
    /// Whether all others of this round were tried before.
    pub(super) is_last: bool,
}

impl Schedulers {
    /// Takes URLs such as `https://scheduler:7001`, and who the worker is to them.
    ///
    /// # Errors
    /// [`Error::NoSchedulers`]; [`Error::Mesh`] for the first that is no URL.
    pub fn new(endpoints: &[String], identity: Identity) -> Result<Self, Error> {
        if endpoints.is_empty() {
            return Err(Error::NoSchedulers);
        }
        let mut uris = Vec::new();
        for endpoint in endpoints {
            uris.push(channel::endpoint_of(endpoint)?.uri().clone());
        }
        Ok(Self {
            identity,
            uris,
            round: VecDeque::new(),
            used: None,
        })
    }

    /// The next to try; begins a new round after the last.
    ///
    /// # Errors
    /// [`Error::Mesh`] when TLS cannot be set up.
    pub(super) async fn next(&mut self) -> Result<Candidate, Error> {
        if self.round.is_empty() {
            self.begin_round().await;
        }
        let endpoint = self.round.pop_front();
        // A round is never empty; the configured name is what is left when nothing could be looked up.
        let endpoint = endpoint.unwrap_or_else(|| Endpoint::from(self.uris[0].clone()));
        self.used = Some(endpoint.uri().clone());
        let endpoint = endpoint
            .connect_timeout(CONNECT_PATIENCE)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_PATIENCE);
        let channel = channel::connect_lazy_at(&endpoint, &self.identity, SCHEDULER)?;
        Ok(Candidate {
            client: WorkerServiceClient::new(channel),
            is_last: self.round.is_empty(),
        })
    }

    /// Notes that the worker was attached to the last candidate, and is no more: all others come before it.
    pub(super) fn detached(&mut self) {
        self.round.clear();
    }

    async fn begin_round(&mut self) {
        for uri in &self.uris {
            self.round.extend(endpoints_of(uri).await);
        }
        let is_used = |endpoint: &Endpoint| Some(endpoint.uri()) == self.used.as_ref();
        if let Some(at) = self.round.iter().position(is_used)
            && let Some(used) = self.round.remove(at)
        {
            self.round.push_back(used);
        }
    }
}

/// Every address behind a URL, in an order of chance, so that workers spread. An address stays what it is.
async fn endpoints_of(uri: &Uri) -> Vec<Endpoint> {
    let itself = || vec![Endpoint::from(uri.clone())];
    let Some(host) = uri.host() else {
        return itself();
    };
    let port = uri.port_u16().unwrap_or(80);
    let addresses = match timeout(LOOKUP_PATIENCE, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => {
            tracing::debug!(host, %error, "the scheduler's name is not known");
            return itself();
        }
        Err(_) => return itself(),
    };
    let endpoint = |address| {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
        Some(endpoint.origin(uri.clone()))
    };
    let mut endpoints: Vec<Endpoint> = addresses.filter_map(endpoint).collect();
    endpoints.shuffle(&mut rand::rng());
    if endpoints.is_empty() {
        return itself();
    }
    endpoints
}

#[cfg(test)]
mod tests {
    use kinora_testkit::identity::identity;

    use super::*;

    fn schedulers(endpoints: &[&str]) -> Schedulers {
        let endpoints: Vec<String> = endpoints.iter().map(|&it| it.to_owned()).collect();
        Schedulers::new(&endpoints, identity("worker")).unwrap()
    }

    async fn tried(schedulers: &mut Schedulers) -> (String, bool) {
        let candidate = schedulers.next().await.unwrap();
        let uri = schedulers.used.as_ref().unwrap();
        (uri.authority().unwrap().to_string(), candidate.is_last)
    }

    #[tokio::test]
    async fn addresses_are_tried_in_turn() {
        let mut both = schedulers(&["http://127.0.0.1:1", "https://127.0.0.1:2"]);
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(tried(&mut both).await);
        }
        // The one that failed last goes last in the next round.
        let expected = [
            ("127.0.0.1:1", false),
            ("127.0.0.1:2", true),
            ("127.0.0.1:1", false),
        ];
        assert_eq!(seen, expected.map(|(at, last)| (at.to_owned(), last)));
    }

    #[tokio::test]
    async fn after_a_stream_has_ended_the_others_come_first() {
        let mut both = schedulers(&["http://127.0.0.1:1", "https://127.0.0.1:2"]);
        assert_eq!(tried(&mut both).await.0, "127.0.0.1:1");
        both.detached();
        assert_eq!(tried(&mut both).await, ("127.0.0.1:2".to_owned(), false));
        assert_eq!(tried(&mut both).await, ("127.0.0.1:1".to_owned(), true));
        let mut alone = schedulers(&["http://127.0.0.1:1"]);
        for _ in 0..2 {
            assert_eq!(tried(&mut alone).await, ("127.0.0.1:1".to_owned(), true));
            alone.detached();
        }
    }

    #[tokio::test]
    async fn names_become_their_addresses() {
        let mut named = schedulers(&["https://localhost:7001"]);
        named.begin_round().await;
        assert!(!named.round.is_empty());
        for endpoint in &named.round {
            let host = endpoint.uri().host().unwrap();
            let host = host.trim_matches(['[', ']']);
            assert!(host.parse::<std::net::IpAddr>().is_ok(), "{host}");
        }
        // One that nobody knows is left to fail under its own name.
        let unknown = endpoints_of(&Uri::from_static("http://nobody.invalid:7001")).await;
        assert_eq!(unknown[0].uri().host(), Some("nobody.invalid"));
    }

    #[test]
    fn what_is_no_url_is_refused() {
        assert!(matches!(
            Schedulers::new(&[], identity("worker")),
            Err(Error::NoSchedulers)
        ));
        let wrong = Schedulers::new(&["no url".to_owned()], identity("worker"));
        assert!(matches!(wrong, Err(Error::Mesh(_))));
    }
}
