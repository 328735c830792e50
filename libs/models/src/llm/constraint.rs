//! What an answer may look like, byte by byte.

mod json;

use std::fmt::Debug;

pub use json::{JsonField, JsonFields};

/// A grammar that an answer is held to: tokens whose bytes it does not accept are never chosen.
pub trait Constraint: Debug + Send {
    /// Says whether these bytes may follow what was written.
    fn accepts(&self, bytes: &[u8]) -> bool;

    /// Takes bytes that it accepts.
    fn write(&mut self, bytes: &[u8]);

    /// Says whether the answer is whole: then generation ends.
    fn is_whole(&self) -> bool;

    /// How to make the answer whole at once, when time or tokens have run out.
    fn ending(&self) -> Ending;
}

/// What turns an answer that was cut off into a whole one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Bytes to take away from the end: half a character, or a backslash.
    pub dropped_bytes: usize,
    /// What to put there.
    pub text: String,
}
