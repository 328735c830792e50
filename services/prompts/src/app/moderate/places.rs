//! Who may have texts judged at the same time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// How many texts are looked at a time. More would only wait for each other on the cores.
const PLACES: usize = 4;

/// How many of these one person has at most: whoever sends long texts without end leaves places to others.
const OWN_PLACES: usize = 2;

/// Above so many people, those who have nothing under way are forgotten.
const REMEMBERED: usize = 1_024;

/// The places, and each person's share of them.
pub struct Places {
    all: Arc<Semaphore>,
    people: Mutex<HashMap<Uuid, Arc<Semaphore>>>,
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
            people: Mutex::default(),
        }
    }

    /// Waits for a place: first behind the person's other texts, then behind everybody's.
    pub async fn take(&self, person: Uuid) -> Place {
        let own = self.share_of(person).acquire_owned().await;
        let of_all = Arc::clone(&self.all).acquire_owned().await;
        // Neither is ever closed.
        Place {
            _own: own.ok(),
            _of_all: of_all.ok(),
        }
    }

    fn share_of(&self, person: Uuid) -> Arc<Semaphore> {
        let mut people = self.people.lock();
        if people.len() >= REMEMBERED {
            // Who waits or has a place holds one more reference.
            people.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = people.entry(person);
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

    const ANNA: Uuid = Uuid::from_u128(1);
    const BEN: Uuid = Uuid::from_u128(2);
    const EVE: Uuid = Uuid::from_u128(3);

    /// What waiting for a place comes to now.
    fn now(places: &Places, person: Uuid) -> Option<Place> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(places.take(person)).poll(&mut context) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_person_leaves_places_to_others() {
        let places = Places::new();
        let annas = [now(&places, ANNA), now(&places, ANNA)];
        assert!(annas.iter().all(Option::is_some));
        assert!(now(&places, ANNA).is_none());
        let bens = [now(&places, BEN), now(&places, BEN)];
        assert!(bens.iter().all(Option::is_some));
        assert!(now(&places, EVE).is_none(), "all are taken");
        drop(annas);
        assert!(now(&places, EVE).is_some() && now(&places, ANNA).is_some());
    }

    #[test]
    fn people_with_nothing_under_way_are_forgotten() {
        let places = Places::new();
        let held = now(&places, ANNA);
        for person in 0..2 * REMEMBERED {
            let person = Uuid::from_u64_pair(9, person as u64);
            assert!(now(&places, person).is_some());
        }
        assert!(places.people.lock().len() <= REMEMBERED);
        assert!(places.people.lock().contains_key(&ANNA));
        drop(held);
    }
}
