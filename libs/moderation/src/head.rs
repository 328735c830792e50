//! The last layer of the embedding classifier: a vector of a sentence encoder to a score per category.
//!
//! Each category has a logistic regression of its own, so that a text may belong to several. Numbers
//! and thresholds come from `tools/classifier`, which also says what precision and recall they had on
//! texts they were not trained on. The layer knows the words of one language well and of others
//! little: it is one layer among several, never the only one.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::category::Category;
use crate::classifier::Thresholds;

/// What `tools/classifier` wrote.
const EMBEDDED: &str = include_str!("../data/head.json");

/// A trained last layer.
#[derive(Clone, Debug)]
pub struct Head {
    model: HeadModel,
    classes: Vec<Class>,
}

/// The sentence encoder that a head was trained on. On another's vectors it means nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HeadModel {
    /// What its authors call it.
    pub name: String,
    /// The SHA-256 of its weights in lower-case hexadecimal.
    pub sha256: String,
    /// Numbers in a vector.
    pub width: usize,
}

/// Why a head cannot be used, or not on this vector.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The file is not what it should be.
    #[error("the classifier's file cannot be read")]
    Json(#[from] serde_json::Error),
    /// The vector, or a row of the file, is not of the model's width.
    #[error("{found} numbers where the classifier has {expected}")]
    Width {
        /// The model's width.
        expected: usize,
        /// That of the vector or row.
        found: usize,
    },
    /// A category is in the file twice.
    #[error("the classifier has {0:?} twice")]
    Twice(Category),
    /// The file has no category.
    #[error("the classifier has no category")]
    Empty,
    /// A number in the file is not finite, or the thresholds of a category are not in order.
    #[error("the classifier's numbers for {0:?} make no sense")]
    Numbers(Category),
    /// The vector has a number that is not finite.
    #[error("the vector is not finite")]
    NotFinite,
}

/// The file.
#[derive(Deserialize)]
struct File {
    model: HeadModel,
    classes: Vec<Class>,
}

/// One category's regression.
#[derive(Clone, Debug, Deserialize)]
struct Class {
    category: Category,
    thresholds: Thresholds,
    bias: f32,
    weights: Vec<f32>,
}

impl Head {
    /// The head that comes with this crate.
    ///
    /// # Errors
    /// As [`Head::parse`]; none, as a test makes sure.
    pub fn embedded() -> Result<Self, HeadError> {
        Self::parse(EMBEDDED)
    }

    /// Reads and checks a head.
    ///
    /// # Errors
    /// `Json`, `Empty`, `Twice`, `Width` or `Numbers`.
    pub fn parse(json: &str) -> Result<Self, HeadError> {
        let File { model, classes } = serde_json::from_str(json)?;
        if classes.is_empty() {
            return Err(HeadError::Empty);
        }
        let mut known = BTreeSet::new();
        for class in &classes {
            if !known.insert(class.category) {
                return Err(HeadError::Twice(class.category));
            }
            check_width(model.width, class.weights.len())?;
            if !class.is_sound() {
                return Err(HeadError::Numbers(class.category));
            }
        }
        Ok(Self { model, classes })
    }

    /// The model whose vectors it reads.
    #[must_use]
    pub fn model(&self) -> &HeadModel {
        &self.model
    }

    /// The thresholds of a category; absent if the head does not know it.
    #[must_use]
    pub fn thresholds(&self, category: Category) -> Option<Thresholds> {
        let class = self.classes.iter().find(|class| class.category == category);
        class.map(|class| class.thresholds)
    }

    /// How much a text belongs to each category, from 0 to 1, in the order of the file.
    ///
    /// # Errors
    /// `Width` or `NotFinite` for a vector that this model did not make.
    pub fn scores(&self, embedding: &[f32]) -> Result<Vec<(Category, f32)>, HeadError> {
        check_width(self.model.width, embedding.len())?;
        if !embedding.iter().all(|value| value.is_finite()) {
            return Err(HeadError::NotFinite);
        }
        let scores = self.classes.iter();
        let scores = scores.map(|class| (class.category, class.score(embedding)));
        Ok(scores.collect())
    }
}

impl Class {
    fn is_sound(&self) -> bool {
        let Thresholds { review, refuse } = self.thresholds;
        let is_ordered = 0.0 < review && review <= refuse && refuse <= 1.0;
        is_ordered && self.bias.is_finite() && self.weights.iter().all(|weight| weight.is_finite())
    }

    fn score(&self, embedding: &[f32]) -> f32 {
        let products = self.weights.iter().zip(embedding);
        let logit = self.bias + products.map(|(weight, value)| weight * value).sum::<f32>();
        1.0 / (1.0 + (-logit).exp())
    }
}

fn check_width(expected: usize, found: usize) -> Result<(), HeadError> {
    if expected == found {
        return Ok(());
    }
    Err(HeadError::Width { expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{
        "model": {"name": "small", "sha256": "ab", "width": 2},
        "classes": [
            {"category": "hate", "thresholds": {"review": 0.4, "refuse": 0.8}, "bias": 0.0, "weights": [2.0, 0.0]},
            {"category": "self_harm", "thresholds": {"review": 0.5, "refuse": 0.5}, "bias": -1.0, "weights": [0.0, 1.0]}
        ]
    }"#;

    #[track_caller]
    fn refused(from: &str, to: &str, reason: &str) {
        assert!(SMALL.contains(from), "{from}");
        let error = Head::parse(&SMALL.replace(from, to)).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }

    #[test]
    fn the_head_of_this_crate_knows_every_category() {
        let head = Head::embedded().unwrap();
        let scores = head.scores(&vec![0.0; head.model().width]).unwrap();
        let categories: BTreeSet<Category> = scores.iter().map(|(category, _)| *category).collect();
        assert_eq!(categories.len(), 10);
        assert_eq!(head.model().width, 384);
        assert_eq!(head.model().sha256.len(), 64);
    }

    #[test]
    fn scores_are_logistic_regressions() {
        let head = Head::parse(SMALL).unwrap();
        let scores = head.scores(&[1.0, 1.0]).unwrap();
        let expected = [(Category::Hate, 0.880_797), (Category::SelfHarm, 0.5)];
        for ((category, score), (expected_category, expected_score)) in scores.iter().zip(expected)
        {
            assert_eq!(*category, expected_category);
            assert!((score - expected_score).abs() < 1e-6, "{score}");
        }
        let hate = head.thresholds(Category::Hate).unwrap();
        assert!((hate.review, hate.refuse) == (0.4, 0.8));
        assert_eq!(head.thresholds(Category::Sexual), None);
    }

    #[test]
    fn vectors_of_another_model_are_refused() {
        let head = Head::parse(SMALL).unwrap();
        assert!(matches!(
            head.scores(&[1.0]),
            Err(HeadError::Width {
                expected: 2,
                found: 1
            })
        ));
        let endless = head.scores(&[f32::NAN, 0.0]);
        assert!(matches!(endless, Err(HeadError::NotFinite)));
    }

    #[test]
    fn files_that_make_no_sense_are_refused() {
        refused("\"classes\"", "\"clauses\"", "cannot be read");
        refused(
            "[2.0, 0.0]",
            "[2.0]",
            "1 numbers where the classifier has 2",
        );
        refused("self_harm", "hate", "twice");
        refused("\"hate\"", "\"hat\"", "cannot be read");
        refused("\"bias\": 0.0", "\"bias\": 1e60", "no sense");
        refused("\"review\": 0.4", "\"review\": 0.9", "no sense");
        let none = r#"{"model": {"name": "", "sha256": "", "width": 0}, "classes": []}"#;
        assert!(matches!(Head::parse(none), Err(HeadError::Empty)));
    }
}
