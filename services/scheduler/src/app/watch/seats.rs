//! How many streams an owner follows jobs on.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts the open streams of each owner.
#[derive(Clone, Debug, Default)]
pub struct WatchSeats(Arc<Mutex<HashMap<String, u32>>>);

/// A stream's place, given back when it is dropped.
#[derive(Debug)]
pub struct WatchSeat {
    seats: WatchSeats,
    owner: String,
}

impl WatchSeats {
    /// A place for one more stream of an owner who may have `most`; 0 for no limit. None when there is none.
    pub fn take(&self, owner: &str, most: u32) -> Option<WatchSeat> {
        let mut open = self.0.lock();
        let count = open.entry(owner.to_owned()).or_default();
        if most > 0 && *count >= most {
            return None;
        }
        *count += 1;
        Some(WatchSeat {
            seats: self.clone(),
            owner: owner.to_owned(),
        })
    }
}

impl Drop for WatchSeat {
    fn drop(&mut self) {
        let mut open = self.seats.0.lock();
        if let Some(count) = open.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_have_so_many_places_each_and_get_them_back() {
        let seats = WatchSeats::default();
        let first = seats.take("anna", 2);
        let second = seats.take("anna", 2);
        assert!(first.is_some() && second.is_some());
        assert!(seats.take("anna", 2).is_none());
        assert!(seats.take("bob", 2).is_some());
        assert!(seats.take("anna", 0).is_some());
        drop(first);
        assert!(seats.take("anna", 2).is_some());
        drop(second);
        assert!(seats.0.lock().is_empty());
    }
}
