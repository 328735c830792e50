//! How many of something may be under way at a time: in all, and for each caller.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Places that callers take and give back. Clones share them.
#[derive(Clone, Debug)]
pub struct Places {
    total: u32,
    each: u32,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    total: u32,
    by_caller: HashMap<String, u32>,
}

/// A caller's place, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    caller: String,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    /// So many in all, and so many for each caller; 0 for no limit.
    #[must_use]
    pub fn new(total: u32, each: u32) -> Self {
        Self {
            total,
            each,
            taken: Arc::default(),
        }
    }

    /// A place for `caller`; none while the caller or all together have as many as there may be.
    #[must_use]
    pub fn take(&self, caller: &str) -> Option<Place> {
        let is_full = |count: u32, most: u32| most > 0 && count >= most;
        let mut taken = self.taken.lock();
        let own = taken.by_caller.get(caller).copied().unwrap_or(0);
        if is_full(taken.total, self.total) || is_full(own, self.each) {
            return None;
        }
        taken.total += 1;
        taken.by_caller.insert(caller.to_owned(), own + 1);
        Some(Place {
            caller: caller.to_owned(),
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.total -= 1;
        if let Some(own) = taken.by_caller.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                taken.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_have_so_many_each_and_so_many_together() {
        let places = Places::new(4, 2);
        let mut held = Vec::new();
        for caller in ["anna", "anna", "ben", "ben"] {
            held.push(places.take(caller).expect("a place"));
        }
        assert!(places.take("cleo").is_none(), "one more than all");
        held.pop();
        assert!(places.take("anna").is_none(), "a third one of anna");
        let again = places.take("cleo").expect("the free one");
        assert!(places.take("ben").is_none());
        drop(again);
        assert!(places.take("ben").is_some());
        held.clear();
        assert!(places.taken.lock().by_caller.is_empty());
        assert_eq!(places.taken.lock().total, 0);
    }

    #[test]
    fn zero_is_no_limit() {
        let places = Places::new(0, 1);
        let held: Vec<_> = (0..100)
            .map(|caller| places.take(&caller.to_string()))
            .collect();
        assert!(held.iter().all(Option::is_some));
        assert!(places.take("7").is_none());
        let places = Places::new(1, 0);
        let _held = places.take("7").expect("a place");
        assert!(places.take("7").is_none());
    }
}
