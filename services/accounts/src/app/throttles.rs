//! Tries that are counted before they are made.

use std::sync::OnceLock;

use kinora_access::throttle::{Counter, network};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::App;
use super::hashing::Comparison;
use crate::domain::origin::Origin;
use crate::domain::password::Password;
use crate::domain::refusal::Refusal;
use crate::domain::throttle::Kind;
use crate::error::Error;
use crate::store::throttles;

/// What a try is counted by.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    kind: Kind,
    key: String,
    /// From what to what the counter went, once the try is counted.
    step: OnceLock<(Counter, Counter)>,
}

impl Counted {
    /// Counts by one thing.
    pub(crate) fn by(kind: Kind, of: &str) -> Self {
        Self {
            kind,
            key: kind.key(of),
            step: OnceLock::new(),
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
        let counted = in_order(counted);
        if counted.is_empty() {
            return Ok(());
        }
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
            let charged = counter.charge(it.kind.rule(), now);
            throttles::set(&tx, &it.key, charged, it.kind.rule()).await?;
            // Set once: a try is counted once.
            let _ = it.step.set((counter, charged));
        }
        Ok(tx.commit().await?)
    }

    /// Takes back a try that was right. Who knows what is asked for has the failures from there forgiven.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn refund(&self, counted: &[Counted]) -> Result<(), Error> {
        self.uncount(counted, true).await
    }

    /// Takes back a try that was neither right nor wrong.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn take_back(&self, counted: &[Counted]) -> Result<(), Error> {
        self.uncount(counted, false).await
    }

    async fn uncount(&self, counted: &[Counted], was_right: bool) -> Result<(), Error> {
        let counted = in_order(counted);
        if counted.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let tx = self.store.begin().await?;
        for it in counted {
            if was_right && it.kind.forgives() {
                throttles::clear(&tx, &it.key).await?;
                continue;
            }
            let counter = throttles::lock(&tx, &it.key, now).await?;
            let (from, to) = it.step.get().copied().unwrap_or_default();
            throttles::set(&tx, &it.key, counter.refund(from, to), it.kind.rule()).await?;
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
        if !self.knows(user.unwrap_or_default(), origin).await? {
            counted.push(Counted::by(Kind::SignInAccount, email_key));
        }
        Ok(counted)
    }

    /// What a code or a passkey is counted by, in whichever sign-in or session it is shown: who begins anew gets no more
    /// tries. Strangers cannot lock out who comes from where they have signed in.
    pub(super) async fn counted_second_step(
        &self,
        user: Uuid,
        origin: &Origin,
    ) -> Result<Vec<Counted>, Error> {
        let account = user.to_string();
        let both = format!("{}\n{account}", network(&origin.address));
        let mut counted = vec![Counted::by(Kind::SecondStepBoth, &both)];
        counted.extend(Counted::by_network(Kind::SignInNetwork, origin));
        if !self.knows(user, origin).await? {
            counted.push(Counted::by(Kind::SecondStepAccount, &account));
        }
        Ok(counted)
    }

    /// Counts a sign-in that begins elsewhere: until it ends, a row is kept of it.
    pub(super) async fn charge_flow(&self, origin: &Origin) -> Result<(), Error> {
        let counted = Counted::by_network(Kind::FlowNetwork, origin);
        self.charge(counted.as_slice()).await
    }

    /// Takes that back: it has ended well.
    pub(super) async fn refund_flow(&self, origin: &Origin) -> Result<(), Error> {
        let counted = Counted::by_network(Kind::FlowNetwork, origin);
        self.refund(counted.as_slice()).await
    }

    /// Compares a password, before anything is locked: that takes a while. A try that was right is the caller's to
    /// refund.
    ///
    /// # Errors
    /// [`Error::Throttled`]; [`Refusal::Busy`]; [`Error::Database`].
    pub(super) async fn try_password(
        &self,
        password: Password,
        hash: Option<&str>,
        counted: &[Counted],
    ) -> Result<Comparison, Error> {
        self.charge(counted).await?;
        self.compare_counted(password, hash, counted).await
    }

    /// Compares a password whose try was counted, and takes that back when nothing was tried.
    ///
    /// # Errors
    /// [`Refusal::Busy`]; [`Error::Database`].
    pub(super) async fn compare_counted(
        &self,
        password: Password,
        hash: Option<&str>,
        counted: &[Counted],
    ) -> Result<Comparison, Error> {
        let compared = self.hasher.compare(password, hash).await;
        if matches!(compared, Err(Error::Refused(Refusal::Busy))) {
            self.take_back(counted).await?;
        }
        compared
    }

    async fn knows(&self, user: Uuid, origin: &Origin) -> Result<bool, Error> {
        let sha256 = network_sha256(user, origin);
        Ok(throttles::is_known(self.store.reader(), user, sha256).await?)
    }
}

/// Everybody locks them in the same order.
fn in_order(counted: &[Counted]) -> Vec<&Counted> {
    let mut counted: Vec<&Counted> = counted.iter().collect();
    counted.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    counted
}

/// What is kept of a network from which a user has signed in.
pub(super) fn network_sha256(user: Uuid, origin: &Origin) -> Vec<u8> {
    let text = format!("{user}\n{}", network(&origin.address));
    Sha256::digest(text).to_vec()
}
