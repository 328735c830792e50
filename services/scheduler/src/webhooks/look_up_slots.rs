//! How many names of callers' URLs are looked up at a time.
//!
//! The machine's resolver takes a thread for each name, cannot be stopped, and waits for a dead name server as long as
//! it pleases. Without a bound, names that are never answered for would take every thread that there is.

use std::sync::Arc;

use parking_lot::Mutex;

/// Look-ups at a time in this process.
const TOTAL: usize = 32;

/// Look-ups at a time of an owner.
const PER_OWNER: usize = 2;

/// The look-ups that are under way. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct LookUpSlots {
    /// The owners behind them: few, so that a list serves.
    taken: Arc<Mutex<Vec<String>>>,
}

/// The right to look one name up; ends with its drop.
#[derive(Debug)]
pub struct LookUpSlot {
    owner: String,
    taken: Arc<Mutex<Vec<String>>>,
}

impl LookUpSlots {
    /// A slot for `owner`; none while the owner or all together have as many as there may be.
    #[must_use]
    pub fn take(&self, owner: &str) -> Option<LookUpSlot> {
        let mut taken = self.taken.lock();
        let of_owner = taken.iter().filter(|other| *other == owner).count();
        if taken.len() >= TOTAL || of_owner >= PER_OWNER {
            return None;
        }
        taken.push(owner.to_owned());
        Some(LookUpSlot {
            owner: owner.to_owned(),
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for LookUpSlot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        if let Some(place) = taken.iter().position(|other| *other == self.owner) {
            taken.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_has_two_slots_and_all_together_have_32() {
        let slots = LookUpSlots::default();
        let mut held = Vec::new();
        for number in 0..TOTAL / PER_OWNER {
            let owner = format!("owner {number}");
            for _ in 0..PER_OWNER {
                held.push(slots.take(&owner).expect("a slot"));
            }
            assert!(slots.take(&owner).is_none(), "a third one of {owner}");
        }
        assert!(slots.take("anna").is_none(), "one more than all");
        held.pop();
        assert!(slots.take("owner 0").is_none(), "another's slot");
        let again = slots.take("anna").expect("the free one");
        assert!(slots.take("ben").is_none());
        drop(again);
        assert!(slots.take("ben").is_some());
    }
}
