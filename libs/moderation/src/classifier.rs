//! The seam to a classifier, which this crate does not have itself.

use crate::category::Category;

/// From which scores on a class is looked at by a person, and from which on the policy's verdict holds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
pub struct Thresholds {
    /// A person looks at it from here on, from 0 to 1.
    pub review: f32,
    /// The policy's verdict on the category holds from here on, from 0 to 1, not below `review`.
    pub refuse: f32,
}

/// The classifier gave no answer, so that nobody knows what the text is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the classifier failed: {0}")]
pub struct ClassifierError(pub String);

/// Tells how likely a text is of each category.
pub trait TextClassifier: Send + Sync {
    /// A score from 0 to 1 for each category that it knows; categories are independent of each other.
    ///
    /// # Errors
    /// When there is no answer. The text is then not assessed at all.
    fn scores(&self, text: &str) -> Result<Vec<(Category, f32)>, ClassifierError>;

    /// The thresholds that it was calibrated for. A policy's own come before these, but for the always refused categories,
    /// of which the lower ones hold.
    fn thresholds(&self, _category: Category) -> Option<Thresholds> {
        None
    }
}
