//! What is done with each category, for whom: the defaults (`data/policy.toml`), and what an operator changes of them.
//!
//! The always refused categories are held twice. A file that would loosen one is not taken; and [`Policy::verdict`], which all
//! verdicts come from, does not look at the file for them. What only hints at them is looked at by a person, whatever the file
//! says.

mod parse;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest, Sha256};

use crate::assessment::{Audience, Verdict};
use crate::category::Category;
use crate::classifier::Thresholds;
use crate::lexicon::LANGUAGES;
use crate::rules::Certainty;

/// The defaults.
const DEFAULTS: &str = include_str!("../data/policy.toml");

/// How much of a digest names a policy, in hexadecimal digits.
const DIGEST_DIGITS: usize = 16;

/// Something that keeps a policy from being taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is, such as `category.hate.general`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Problem {
    pub(crate) fn of(field: &str, message: &str) -> Self {
        Self {
            field: field.to_owned(),
            message: message.to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// A policy is not taken, for all of these reasons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the moderation policy cannot be used: {}", joined(problems))]
pub struct PolicyError {
    /// At least one.
    pub problems: Vec<Problem>,
}

fn joined(problems: &[Problem]) -> String {
    let problems: Vec<String> = problems.iter().map(Problem::to_string).collect();
    problems.join("; ")
}

/// What is done with each category, for whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub(crate) adult_content: bool,
    pub(crate) rows: BTreeMap<Category, Row>,
    /// Ids of rules that the operator does without.
    pub(crate) disabled_rules: BTreeSet<String>,
    /// Phrases in which nothing is found, but for always refused categories.
    pub(crate) allowed: Vec<String>,
    pub(crate) terms: Vec<OperatorTerms>,
    id: String,
}

/// What is done with one category.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub general: Verdict,
    pub verified_adult: Verdict,
    pub thresholds: Thresholds,
    /// Whether the operator wrote the thresholds; a classifier's own come before defaults.
    pub has_own_thresholds: bool,
}

/// Terms of the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OperatorTerms {
    pub category: Category,
    pub terms: Vec<String>,
    pub certainty: Certainty,
}

impl Policy {
    /// The defaults.
    ///
    /// # Errors
    /// Never as it is built; a test reads them.
    pub fn built_in() -> Result<Self, PolicyError> {
        Self::parse("")
    }

    /// The defaults with what an operator's file (TOML) changes of them.
    ///
    /// # Errors
    /// With all problems at once: fields that are unknown or of another type, thresholds that are not from 0 to 1, and
    /// whatever would loosen an always refused category.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let defaults = parse::rows(DEFAULTS)?;
        let mut policy = Self {
            adult_content: false,
            rows: defaults,
            disabled_rules: BTreeSet::new(),
            allowed: Vec::new(),
            terms: Vec::new(),
            id: id_of(text),
        };
        parse::apply(&mut policy, text)?;
        Ok(policy)
    }

    /// Names this policy and the data it is used with: texts that were judged under the same id were judged alike.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether verified adults may have what the policy says for them.
    #[must_use]
    pub const fn has_adult_content(&self) -> bool {
        self.adult_content
    }

    /// The same policy, with what it says for verified adults in force.
    #[must_use]
    pub fn with_adult_content(mut self) -> Self {
        if !self.adult_content {
            self.adult_content = true;
            self.id.push_str("-adult");
        }
        self
    }

    /// What is done with a category that a text certainly has.
    #[must_use]
    pub fn verdict(&self, category: Category, audience: Audience) -> Verdict {
        if category.is_always_refused() {
            return Verdict::Refuse;
        }
        let Some(row) = self.rows.get(&category) else {
            return Verdict::Refuse;
        };
        match audience {
            Audience::VerifiedAdult if self.adult_content => row.verified_adult,
            Audience::VerifiedAdult | Audience::General => row.general,
        }
    }

    /// What is done with a category that a rule finds.
    pub(crate) fn verdict_of(
        &self,
        category: Category,
        audience: Audience,
        certainty: Certainty,
        is_eased: bool,
    ) -> Verdict {
        let verdict = self.verdict(category, audience);
        let verdict = match certainty {
            Certainty::Clear => verdict,
            Certainty::Unsure => verdict.min(Verdict::Review),
        };
        match is_eased && !category.is_always_refused() {
            true => verdict.eased(),
            false => verdict,
        }
    }

    /// What is done with a category for which a classifier has this score. None below all thresholds.
    pub(crate) fn verdict_at(
        &self,
        category: Category,
        audience: Audience,
        score: f32,
        calibrated: Option<Thresholds>,
    ) -> Option<Verdict> {
        let thresholds = self.thresholds(category, calibrated);
        let verdict = self.verdict(category, audience);
        if score >= thresholds.refuse {
            Some(verdict)
        } else if score >= thresholds.review {
            Some(verdict.min(Verdict::Review))
        } else {
            None
        }
    }

    /// The operator's thresholds, or else the classifier's, or else the defaults; the lowest for always refused categories.
    fn thresholds(&self, category: Category, calibrated: Option<Thresholds>) -> Thresholds {
        let fallback = Thresholds {
            review: 0.5,
            refuse: 0.8,
        };
        let row = self.rows.get(&category);
        let own = row.map_or(fallback, |row| row.thresholds);
        let Some(calibrated) = calibrated else {
            return own;
        };
        if category.is_always_refused() {
            return Thresholds {
                review: own.review.min(calibrated.review),
                refuse: own.refuse.min(calibrated.refuse),
            };
        }
        match row.is_some_and(|row| row.has_own_thresholds) {
            true => own,
            false => calibrated,
        }
    }
}

/// A digest of the operator's text and of all data that is built in.
fn id_of(text: &str) -> String {
    let mut digest = Sha256::new();
    for part in [DEFAULTS, crate::rules::RULES, text] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    for (_, file) in LANGUAGES {
        digest.update(file);
    }
    let digits = hex::encode(digest.finalize());
    digits.chars().take(DIGEST_DIGITS).collect()
}
