//! What we write on Stripe's objects, to know them again.

use std::collections::{BTreeMap, HashMap};

use crate::error::Error;

/// Names and values of ours on an object of Stripe's: at most 50, names of 1 to 40 characters without brackets, values
/// of at most 500.
pub type Metadata = BTreeMap<String, String>;

const MOST_PAIRS: usize = 50;
const LONGEST_NAME: usize = 40;
const LONGEST_VALUE: usize = 500;

/// Checks metadata against Stripe's bounds, for a request.
pub(crate) fn outgoing(metadata: &Metadata) -> Result<HashMap<String, String>, Error> {
    let fits = metadata.len() <= MOST_PAIRS
        && metadata.iter().all(|(name, value)| {
            let has_brackets = name.contains(['[', ']']);
            let name_length = name.chars().count();
            (1..=LONGEST_NAME).contains(&name_length)
                && !has_brackets
                && value.chars().count() <= LONGEST_VALUE
        });
    if !fits {
        return Err(Error::Invalid("the metadata goes beyond Stripe's bounds"));
    }
    let pairs = metadata.iter();
    Ok(pairs
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect())
}

/// Takes metadata out of an answer.
pub(crate) fn incoming(metadata: HashMap<String, String>) -> Metadata {
    metadata.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(name: &str, value: &str) -> bool {
        let metadata = Metadata::from([(name.to_owned(), value.to_owned())]);
        outgoing(&metadata).is_ok()
    }

    #[test]
    fn stripes_bounds_are_checked_before_it_is_asked() {
        assert!(is_taken(&"ü".repeat(40), &"ü".repeat(500)));
        assert!(!is_taken(&"n".repeat(41), ""));
        assert!(!is_taken("n", &"v".repeat(501)));
        assert!(!is_taken("", "v"));
        assert!(!is_taken("a[b]", "v"));
        let pair = |n: usize| (n.to_string(), String::new());
        assert!(outgoing(&(0..50).map(pair).collect()).is_ok());
        assert!(outgoing(&(0..51).map(pair).collect()).is_err());
    }
}
