//! Whether a text may be generated from.
//!
//! [`TextModerator::assess`] tells it in four layers. Normalisation reads the text as a person does, whatever it is written
//! in, and undoes disguises. The lexicon of ten languages finds terms, and rules say what terms, alone or near to each other,
//! are about. A classifier, which is given from outside, adds scores. The [`Policy`] makes verdicts of all of it.
//!
//! Two categories are refused whatever the policy says ([`Category::is_always_refused`]), and what only hints at them is looked
//! at by a person. An error means that the text was not assessed, and whoever asked must do as if it were refused. Nothing here
//! reads files, asks anybody or keeps anything.

mod assessment;
mod category;
mod classifier;
pub mod head;
mod lexicon;
mod moderator;
mod normalize;
mod policy;
mod rules;

pub use self::assessment::{
    Assessment, Audience, Finding, Layer, MAX_EVIDENCE_CHARS, MAX_FINDINGS, Verdict,
};
pub use self::category::Category;
pub use self::classifier::{ClassifierError, TextClassifier, Thresholds};
pub use self::head::{Head, HeadError, HeadModel};
pub use self::moderator::{AssessError, MAX_TEXT_BYTES, TextModerator};
pub use self::normalize::folded;
pub use self::policy::{Policy, PolicyError, Problem};

/// The languages whose terms the lexicon has, by their codes in ISO 639-1.
#[must_use]
pub fn languages() -> [&'static str; 10] {
    lexicon::LANGUAGES.map(|(code, _)| code)
}
