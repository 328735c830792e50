//! Who may have texts judged at the same time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many texts are looked at a time. More would only wait for each other on the cores.
const PLACES: usize = 4;

/// How many of these one owner has at most: whoever sends long texts without end leaves places to others.
const OWN_PLACES: usize = 2;

/// Above so many owners, those who have nothing under way are forgotten.
const REMEMBERED: usize = 1_024;

/// The places, and each owner's share of them.
pub struct Places {
    all: Arc<Semaphore>,
    owners: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A place, until it is dropped.
pub struct Place {
    _own: Option<OwnedSemaphorePermit>,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(PLACES)),
            owners: Mutex::default(),
        }
    }

    /// Waits for a place: first behind the owner's other texts, then behind everybody's.
    pub async fn take(&self, owner: &str) -> Place {
        let own = self.share_of(owner).acquire_owned().await;
        let of_all = Arc::clone(&self.all).acquire_owned().await;
        // Neither is ever closed.
        Place {
            _own: own.ok(),
            _of_all: of_all.ok(),
        }
    }

    fn share_of(&self, owner: &str) -> Arc<Semaphore> {
        let mut owners = self.owners.lock();
        if owners.len() >= REMEMBERED {
            // Who waits or has a place holds one more reference.
            owners.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = owners.entry(owner.to_owned());
        let share = share.or_insert_with(|| Arc::new(Semaphore::new(OWN_PLACES)));
        Arc::clone(share)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What waiting for a place comes to now.
    fn now(places: &Places, owner: &str) -> Option<Place> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(places.take(owner)).poll(&mut context) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_owner_leaves_places_to_others() {
        let places = Places::new();
        let annas = [now(&places, "anna"), now(&places, "anna")];
        assert!(annas.iter().all(Option::is_some));
        assert!(now(&places, "anna").is_none());
        let bens = [now(&places, "ben"), now(&places, "ben")];
        assert!(bens.iter().all(Option::is_some));
        assert!(now(&places, "eve").is_none(), "all are taken");
        drop(annas);
        assert!(now(&places, "eve").is_some() && now(&places, "anna").is_some());
    }

    #[test]
    fn owners_with_nothing_under_way_are_forgotten() {
        let places = Places::new();
        let held = now(&places, "anna");
        for owner in 0..2 * REMEMBERED {
            assert!(now(&places, &owner.to_string()).is_some());
        }
        assert!(places.owners.lock().len() <= REMEMBERED);
        assert!(places.owners.lock().contains_key("anna"));
        drop(held);
    }
}
