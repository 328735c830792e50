//! Ids of Stripe's objects.

use std::fmt;

use crate::error::Error;

/// The id of one of Stripe's objects: letters, digits, `_` and `-`, 1 to 255. It is put into paths, so nothing else is
/// one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(String);

impl ObjectId {
    /// Takes an id as it was stored or received.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_id = (1..=255).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if is_id {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Invalid("it is no id of an object"))
        }
    }

    /// Takes an id out of an answer.
    pub(crate) fn received(text: &str) -> Result<Self, Error> {
        Self::parse(text).map_err(|_| Error::Unreadable("an id is none"))
    }

    /// As Stripe writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_a_path_is_no_id() {
        let longest = "a".repeat(255);
        for id in ["cus_123", "cs_test_a1B2", "price-1", longest.as_str()] {
            assert_eq!(ObjectId::parse(id).unwrap().as_str(), id);
        }
        let too_long = "a".repeat(256);
        for text in [
            "", ".", "..", "a/b", "a?b", "a#b", "a%2fb", "a b", "a\n", "é", &too_long,
        ] {
            assert!(ObjectId::parse(text).is_err(), "{text:?}");
        }
    }
}
