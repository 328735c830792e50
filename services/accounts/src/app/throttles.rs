//! Tries that are counted before they are made.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::App;
use crate::domain::origin::Origin;
use crate::domain::throttle::{Kind, network};
use crate::error::Error;
use crate::store::throttles;

/// What a try is counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    kind: Kind,
    key: String,
}

impl Counted {
    /// Counts by one thing.
    pub(crate) fn by(kind: Kind, of: &str) -> Self {
        Self {
            kind,
            key: kind.key(of),
        }
    }

    /// Counts by the network of a request. None when it is not known.
    pub(crate) fn by_network(kind: Kind, origin: &Origin) -> Option<Self> {
        let network = network(&origin.address);
        (!network.is_empty()).then(|| Self::by(kind, &network))
    }
}

impl App {
    /// Counts a try, by each of these, before it is made. One that has to wait is not counted.
    ///
    /// # Errors
    /// [`Error::Throttled`]; [`Error::Database`].
    pub(crate) async fn charge(&self, counted: &[Counted]) -> Result<(), Error> {
        let mut counted: Vec<&Counted> = counted.iter().collect();
        counted.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        let now = self.now();
        let tx = self.store.begin().await?;
        let mut counters = Vec::with_capacity(counted.len());
        for it in counted {
            counters.push((it, throttles::lock(&tx, &it.key, now).await?));
        }
        let waits = counters
            .iter()
            .filter_map(|(it, counter)| counter.wait(it.kind.rule(), now));
        if let Some(wait) = waits.max() {
            return Err(Error::Throttled {
                retry_after: wait.to_std().unwrap_or_default(),
            });
        }
        for (it, counter) in counters {
            throttles::set(&tx, &it.key, counter.charge(now), it.kind.rule()).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Takes back a try that was right.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn refund(&self, counted: &[Counted]) -> Result<(), Error> {
        let mut counted: Vec<&Counted> = counted.iter().collect();
        counted.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        let now = self.now();
        let tx = self.store.begin().await?;
        for it in counted {
            // Who knows the password of an account has its failures from there forgiven.
            if it.kind == Kind::SignInBoth {
                throttles::clear(&tx, &it.key).await?;
                continue;
            }
            let counter = throttles::lock(&tx, &it.key, now).await?;
            throttles::set(&tx, &it.key, counter.refund(), it.kind.rule()).await?;
        }
        Ok(tx.commit().await?)
    }

    /// What a sign-in with a password is counted by. Strangers cannot lock out who comes from where they have signed in.
    pub(super) async fn counted_sign_in(
        &self,
        email_key: &str,
        user: Option<Uuid>,
        origin: &Origin,
    ) -> Result<Vec<Counted>, Error> {
        let both = format!("{}\n{email_key}", network(&origin.address));
        let mut counted = vec![Counted::by(Kind::SignInBoth, &both)];
        counted.extend(Counted::by_network(Kind::SignInNetwork, origin));
        // The look-up is made for nobody, too, so that it tells nothing by its time.
        let user = user.unwrap_or_default();
        let sha256 = network_sha256(user, origin);
        if !throttles::is_known(self.store.reader(), user, sha256).await? {
            counted.push(Counted::by(Kind::SignInAccount, email_key));
        }
        Ok(counted)
    }
}

/// What is kept of a network from which a user has signed in.
pub(super) fn network_sha256(user: Uuid, origin: &Origin) -> Vec<u8> {
    let text = format!("{user}\n{}", network(&origin.address));
    Sha256::digest(text).to_vec()
}
