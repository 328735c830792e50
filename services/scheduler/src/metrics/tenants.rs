//! Tenants as labels, of which there must not be many.

use std::collections::HashSet;

use parking_lot::Mutex;

/// Tenants that have a label of their own. Each costs as many series as there are classes and buckets.
const MOST: usize = 32;

/// What the others are called. A colon is in no tenant's name.
const OTHERS: &str = ":others";

/// The first tenants that this process has seen.
#[derive(Debug, Default)]
pub struct Tenants {
    known: Mutex<HashSet<String>>,
}

impl Tenants {
    /// What a tenant is called in a label.
    pub fn label(&self, tenant: &str) -> String {
        let mut known = self.known.lock();
        if known.contains(tenant) {
            return tenant.to_owned();
        }
        if known.len() >= MOST {
            return OTHERS.to_owned();
        }
        known.insert(tenant.to_owned());
        tenant.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_stay() {
        let tenants = Tenants::default();
        for number in 0..MOST {
            assert_eq!(tenants.label(&format!("t{number}")), format!("t{number}"));
        }
        assert_eq!(tenants.label("late"), OTHERS);
        assert_eq!(tenants.label("t0"), "t0");
    }
}
