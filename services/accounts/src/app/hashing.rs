//! Password hashes: argon2id, a bounded number at a time.
//!
//! A hash costs memory by design, so that a crowd that signs in at once must not fill the machine with it: a few are
//! computed at a time, some more wait, and the others are asked to come back. They have threads of their own, because an
//! allocator keeps for each thread what that thread has used: on threads that come and go, the memory of a few hashes is
//! kept many times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::domain::password::Password;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::random;

/// How many may wait for each that is computed.
const WAITING_PER_SLOT: usize = 16;

/// What a hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
}

/// What a thread does next.
type Work = Box<dyn FnOnce() + Send>;

/// Computes and compares hashes.
pub(crate) struct Hasher {
    argon2: Argon2<'static>,
    /// Of no password, for accounts that have none or are not there.
    dummy: String,
    /// To the threads that compute, which end with it.
    work: mpsc::Sender<Work>,
    /// Those that are computed and those that wait.
    admitted: Semaphore,
    computed: Arc<AtomicU64>,
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// It is the password.
    Same,
    /// It is, and its hash is cheaper than new ones: compute it anew.
    SameButCheap,
    /// It is another one.
    Different,
}

impl Hasher {
    /// Computes `slots` hashes at a time.
    ///
    /// # Errors
    /// [`Error::Options`] when there is no such cost; [`Error::Broken`] when a thread cannot be started.
    pub(crate) fn new(cost: Cost, slots: usize) -> Result<Self, Error> {
        let options = |error| Error::Options(format!("the cost of password hashes: {error}"));
        let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(options)?;
        if slots == 0 {
            return Err(Error::Options("one password hash at a time".to_owned()));
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = argon2.hash_password(&random::bytes::<32>()?);
        Ok(Self {
            dummy: dummy.map_err(broken)?.to_string(),
            argon2,
            work: start_threads(slots)?,
            admitted: Semaphore::new(slots * (1 + WAITING_PER_SLOT)),
            computed: Arc::new(AtomicU64::new(0)),
        })
    }

    /// The PHC string of a new password.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when too many wait; [`Error::Broken`].
    pub(crate) async fn hash(&self, password: Password) -> Result<String, Error> {
        let argon2 = self.argon2.clone();
        let hash = self
            .compute(move || argon2.hash_password(password.as_bytes()))
            .await?;
        Ok(hash.map_err(broken)?.to_string())
    }

    /// Compares a password with the hash of an account. For an account without one it takes as long, and the answer is no.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when too many wait; [`Error::Broken`] when the hash cannot be read.
    pub(crate) async fn compare(
        &self,
        password: Password,
        hash: Option<&str>,
    ) -> Result<Comparison, Error> {
        let is_there = hash.is_some();
        let hash = hash.unwrap_or(&self.dummy).to_owned();
        let is_cheap = is_there && self.is_cheap(&hash)?;
        let argon2 = self.argon2.clone();
        let verified = self
            .compute(move || argon2.verify_password(password.as_bytes(), hash.as_str()))
            .await?;
        match verified {
            Ok(()) if is_there && is_cheap => Ok(Comparison::SameButCheap),
            Ok(()) if is_there => Ok(Comparison::Same),
            Ok(()) | Err(argon2::password_hash::Error::PasswordInvalid) => {
                Ok(Comparison::Different)
            }
            Err(error) => Err(broken(error)),
        }
    }

    /// How many hashes have been computed.
    #[cfg(test)]
    pub(crate) fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    /// Leaves no room for a hash until it is dropped.
    #[cfg(test)]
    pub(crate) fn hold_all(&self) -> tokio::sync::SemaphorePermit<'_> {
        let all = self.admitted.available_permits();
        let held = self.admitted.try_acquire_many(u32::try_from(all).unwrap());
        held.unwrap()
    }

    fn is_cheap(&self, hash: &str) -> Result<bool, Error> {
        let hash = argon2::password_hash::phc::PasswordHash::new(hash);
        let hash = hash.map_err(|_| Error::Broken("a password hash cannot be read".to_owned()))?;
        let params = Params::try_from(&hash).map_err(broken)?;
        let newest = self.argon2.params();
        Ok(params.m_cost() < newest.m_cost() || params.t_cost() < newest.t_cost())
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let _admitted = self.admitted.try_acquire().map_err(|_| Refusal::Busy)?;
        let (answer, computed) = oneshot::channel();
        let counted = Arc::clone(&self.computed);
        let work = move || {
            // Nobody waits for it any longer.
            if answer.is_closed() {
                return;
            }
            counted.fetch_add(1, Ordering::Relaxed);
            // The caller may have left meanwhile.
            let _ = answer.send(work());
        };
        let ended = || Error::Broken("a password was not hashed".to_owned());
        self.work.send(Box::new(work)).map_err(|_| ended())?;
        computed.await.map_err(|_| ended())
    }
}

/// Starts threads that take what is sent, each one thing at a time.
fn start_threads(number: usize) -> Result<mpsc::Sender<Work>, Error> {
    let (sender, receiver) = mpsc::channel::<Work>();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..number {
        let receiver = Arc::clone(&receiver);
        let run = move || {
            loop {
                // One thread waits for what comes next, with the lock; the others wait for the lock.
                let next = receiver.lock().recv();
                let Ok(work) = next else { return };
                // A hash that panics must not take its thread with it; who waits for it sees its answer dropped.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
                    tracing::error!("the hash of a password panicked");
                }
            }
        };
        let thread = std::thread::Builder::new().name("password hash".to_owned());
        let started = thread.spawn(run);
        started
            .map_err(|error| Error::Broken(format!("no thread for password hashes: {error}")))?;
    }
    Ok(sender)
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Broken(format!("a password cannot be hashed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory_kib: 8,
        passes: 1,
    };

    fn password(text: &str) -> Password {
        Password::shown(text)
    }

    #[tokio::test]
    async fn password_is_the_same_as_its_hash_only() {
        let hasher = Hasher::new(CHEAP, 1).unwrap();
        let hash = hasher.hash(password("right")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        for (text, hash, expected) in [
            ("right", Some(hash.as_str()), Comparison::Same),
            ("wrong", Some(hash.as_str()), Comparison::Different),
            ("right", None, Comparison::Different),
        ] {
            assert_eq!(
                hasher.compare(password(text), hash).await.unwrap(),
                expected
            );
        }
        assert_eq!(hasher.computed(), 4);
        assert!(
            hasher
                .compare(password("right"), Some("$1$x"))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn hash_of_a_lower_cost_is_to_be_renewed() {
        let hash = Hasher::new(CHEAP, 1).unwrap().hash(password("right")).await;
        let hash = hash.unwrap();
        let dearer = Cost {
            memory_kib: 16,
            passes: 1,
        };
        let hasher = Hasher::new(dearer, 1).unwrap();
        let compared = hasher.compare(password("right"), Some(&hash)).await;
        assert_eq!(compared.unwrap(), Comparison::SameButCheap);
        let compared = hasher.compare(password("wrong"), Some(&hash)).await;
        assert_eq!(compared.unwrap(), Comparison::Different);
    }

    #[tokio::test]
    async fn who_comes_when_too_many_wait_is_asked_to_come_back() {
        let hasher = Hasher::new(CHEAP, 1).unwrap();
        let held = hasher.admitted.try_acquire_many(17).unwrap();
        let refused = hasher.hash(password("x")).await.unwrap_err();
        assert!(
            matches!(refused, Error::Refused(Refusal::Busy)),
            "{refused}"
        );
        drop(held);
        assert!(hasher.hash(password("x")).await.is_ok());
    }

    #[test]
    fn cost_that_cannot_be_is_refused() {
        let none = Cost {
            memory_kib: 0,
            passes: 0,
        };
        assert!(Hasher::new(none, 1).is_err());
        assert!(Hasher::new(CHEAP, 0).is_err());
    }
}
