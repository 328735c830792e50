//! Names become addresses here, and only addresses that may be connected to leave.
//!
//! The HTTP client asks this resolver at the moment of the connection and connects to what it answers: there is no
//! second look-up between the check and the connection that a name server could answer otherwise.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::Url;

use super::address::is_public;
use super::target::literal_address;

/// More addresses of one name are not tried.
const MAX_ADDRESSES: usize = 16;

/// Names that are looked up at a time for connections, each on a thread of its own: half of those that the runtime has.
const MAX_LOOK_UPS: usize = 256;

/// Looks names up. A seam for tests.
pub trait LookUp: Send + Sync {
    /// All addresses of a name.
    fn look_up<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The machine's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookUp;

impl LookUp for SystemLookUp {
    fn look_up<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A host cannot be connected to.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It has an address inside.
    #[error("the host has an address that is not allowed")]
    PointsInside,
    /// It has no address.
    #[error("the host's name leads nowhere")]
    NoAddress,
    /// The look-up failed.
    #[error("the host's name cannot be looked up")]
    LookUp(#[from] io::Error),
}

/// Answers with addresses that may be connected to.
#[derive(Clone)]
pub struct Guard {
    look_up: Arc<dyn LookUp>,
    allows_private: bool,
    connections: Arc<Semaphore>,
}

impl Guard {
    /// Checks what `look_up` answers, unless the operator allows all.
    #[must_use]
    pub fn new(look_up: Arc<dyn LookUp>, allows_private: bool) -> Self {
        Self {
            look_up,
            allows_private,
            connections: Arc::new(Semaphore::new(MAX_LOOK_UPS)),
        }
    }

    /// The addresses of a name. One address inside refuses them all: an honest name of a public endpoint has none.
    ///
    /// `slot` is dropped when the look-up has ended. That may be long after the caller has lost its patience: the
    /// machine's resolver cannot be stopped, and its thread is not free before.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn addresses(
        &self,
        name: &str,
        slot: impl Send + 'static,
    ) -> Result<Vec<IpAddr>, Refusal> {
        let (look_up, name) = (Arc::clone(&self.look_up), name.to_owned());
        let looking = tokio::spawn(async move {
            let found = look_up.look_up(&name).await;
            drop(slot);
            found
        });
        let mut addresses = looking.await.map_err(io::Error::from)??;
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return Err(Refusal::NoAddress);
        }
        if addresses.iter().all(|address| self.allows(*address)) {
            Ok(addresses)
        } else {
            Err(Refusal::PointsInside)
        }
    }

    /// Whether the URL's own address, if it has one instead of a name, may be connected to. The HTTP client does not
    /// ask its resolver for such.
    #[must_use]
    pub fn allows_literal(&self, url: &Url) -> bool {
        literal_address(url).is_none_or(|address| self.allows(address))
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allows_private || is_public(address)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            // Waits at most until the client gives the connection up.
            let slot = Arc::clone(&guard.connections).acquire_owned().await?;
            let addresses = guard.addresses(name.as_str(), slot).await?;
            // The client fills the port in.
            let sockets = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(sockets) as Addrs)
        })
    }
}
