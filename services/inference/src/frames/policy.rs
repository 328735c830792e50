//! What the findings in frames mean, as data.

use std::collections::BTreeMap;

use kinora_models::detector::MIN_SCORE;
use serde::{Deserialize, Serialize};

use super::Sighting;

/// The policy unless the operator has another.
pub const BUILT_IN: &str = include_str!("policy.toml");

/// The category of a rule that names none.
const DEFAULT_CATEGORY: &str = "nudity";
/// Longest name of a category.
const MAX_CATEGORY: usize = 32;

/// Whose rules are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Everybody, unless something else is known.
    #[default]
    General,
    /// People who have proven that they are adults, where the operator allows adult content.
    VerifiedAdult,
}

/// Rules by audience.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FramePolicy {
    general: Rules,
    #[serde(default)]
    verified_adult: Rules,
}

/// Rules by class of the detector.
type Rules = BTreeMap<String, Rule>;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// What the person is told that it is.
    #[serde(default = "default_category")]
    category: String,
    refuse: Option<Threshold>,
    review: Option<Threshold>,
}

/// So sure in so many of the sampled frames.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Threshold {
    score: f32,
    #[serde(default = "one")]
    frames: usize,
}

/// What follows from the frames of a clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is delivered.
    Allow,
    /// It is not delivered, and a person should look at it.
    Review {
        /// Why.
        category: String,
    },
    /// It is not delivered.
    Refuse {
        /// Why.
        category: String,
    },
}

fn default_category() -> String {
    DEFAULT_CATEGORY.to_owned()
}

const fn one() -> usize {
    1
}

impl Verdict {
    /// The word for it in manifests and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Review { .. } => "review",
            Self::Refuse { .. } => "refuse",
        }
    }
}

impl FramePolicy {
    /// Reads a policy.
    ///
    /// # Errors
    /// What is wrong with it, naming the field.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let policy: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for (audience, rules) in policy.audiences() {
            for (class, rule) in rules {
                let check = rule.check();
                check.map_err(|reason| format!("{audience}.{class}.{reason}"))?;
            }
        }
        if !policy.general.values().any(|rule| rule.refuse.is_some()) {
            return Err(
                "general: it refuses nothing; to check nothing, name no detector".to_owned(),
            );
        }
        Ok(policy)
    }

    /// Fails if it names a class that the detector does not know: such a rule would never be followed.
    ///
    /// # Errors
    /// The class.
    pub fn check_classes(&self, known: &[String]) -> Result<(), String> {
        for (audience, rules) in self.audiences() {
            if let Some(class) = rules.keys().find(|class| !known.contains(class)) {
                return Err(format!(
                    "{audience}.{class}: the detector has no such class"
                ));
            }
        }
        Ok(())
    }

    /// Decides about a clip of which these are the findings in every sampled frame. Of several rules that
    /// are met a refusal counts more, then the class that comes first by its name.
    #[must_use]
    pub fn judge(&self, audience: Audience, frames: &[Vec<Sighting>]) -> Verdict {
        let rules = self.rules(audience).iter();
        let met = |threshold: fn(&Rule) -> Option<Threshold>| {
            let mut rules = rules.clone();
            rules.find(|(class, rule)| {
                threshold(rule).is_some_and(|threshold| threshold.is_met(class, frames))
            })
        };
        if let Some((_, rule)) = met(|rule| rule.refuse) {
            let category = rule.category.clone();
            return Verdict::Refuse { category };
        }
        match met(|rule| rule.review) {
            Some((_, rule)) => Verdict::Review {
                category: rule.category.clone(),
            },
            None => Verdict::Allow,
        }
    }

    /// Whether any of these findings, however unsure, is of a class that could end a clip.
    pub fn minds<'a>(
        &self,
        audience: Audience,
        mut seen: impl Iterator<Item = &'a Sighting>,
    ) -> bool {
        let rules = self.rules(audience);
        seen.any(|sighting| {
            let rule = rules.get(&sighting.class);
            rule.is_some_and(|rule| rule.refuse.is_some() || rule.review.is_some())
        })
    }

    const fn rules(&self, audience: Audience) -> &Rules {
        match audience {
            Audience::General => &self.general,
            Audience::VerifiedAdult => &self.verified_adult,
        }
    }

    const fn audiences(&self) -> [(&'static str, &Rules); 2] {
        [
            ("general", &self.general),
            ("verified_adult", &self.verified_adult),
        ]
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
        let length = self.category.len();
        if !(1..=MAX_CATEGORY).contains(&length) || !self.category.chars().all(is_word) {
            return Err(format!(
                "category: must be 1 to {MAX_CATEGORY} lower-case letters or underscores"
            ));
        }
        for (name, threshold) in [("refuse", self.refuse), ("review", self.review)] {
            let Some(threshold) = threshold else { continue };
            if !(MIN_SCORE..=1.0).contains(&threshold.score) {
                return Err(format!("{name}.score: must be from {MIN_SCORE} to 1"));
            }
            if threshold.frames == 0 {
                return Err(format!("{name}.frames: must be at least 1"));
            }
        }
        if self.refuse.is_none() && self.review.is_none() {
            return Err(
                "refuse: a rule must refuse or review; leave out a class to allow it".into(),
            );
        }
        Ok(())
    }
}

impl Threshold {
    fn is_met(self, class: &str, frames: &[Vec<Sighting>]) -> bool {
        let shows = |frame: &&Vec<Sighting>| {
            let is_it = |seen: &Sighting| seen.class == class && seen.score >= self.score;
            frame.iter().any(is_it)
        };
        let count = frames.iter().filter(shows).count();
        count >= self.frames.min(frames.len()).max(1)
    }
}

#[cfg(test)]
mod tests;
