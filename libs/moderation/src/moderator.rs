//! Text in, verdict out.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

use crate::assessment::{
    Assessment, Audience, Finding, Layer, MAX_EVIDENCE_CHARS, Verdict, excerpt,
};
use crate::classifier::{ClassifierError, TextClassifier};
use crate::lexicon::{ALLOWED, Lexicon, Term};
use crate::normalize::{is_invisible, scans};
use crate::policy::{Policy, PolicyError, Problem};
use crate::rules::{Certainty, Found, Rule, built_in};

/// How long a text may be, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// A text was not assessed. Whoever asked must do as if it were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssessError {
    /// The text is longer than is assessed.
    #[error("the text has {bytes} bytes, more than the {max_bytes} that are assessed")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max_bytes: usize,
    },
    /// The classifier gave no answer.
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
    /// The classifier's answer makes no sense.
    #[error("the classifier's score for {category} is not from 0 to 1")]
    Score {
        /// Which category it is of.
        category: &'static str,
    },
}

/// Tells whether texts may be generated from.
pub struct TextModerator {
    policy: Policy,
    lexicon: Arc<Lexicon>,
    rules: Vec<Rule>,
    classifier: Option<Arc<dyn TextClassifier>>,
}

impl TextModerator {
    /// A moderator of this policy. The first one takes some hundred milliseconds, and so does each with terms or phrases of
    /// an operator's.
    ///
    /// # Errors
    /// When the policy's list of what is allowed has a phrase that is always refused.
    pub fn new(
        policy: Policy,
        classifier: Option<Arc<dyn TextClassifier>>,
    ) -> Result<Self, PolicyError> {
        let mut terms = Vec::new();
        let mut rules = built_in()?;
        rules.retain(|rule| {
            rule.category.is_always_refused() || !policy.disabled_rules.contains(&rule.id)
        });
        for (at, own) in policy.terms.iter().enumerate() {
            let group = format!("operator-{}-{at}", own.category.id());
            terms.extend(own.terms.iter().map(|term| Term::parse(&group, term)));
            rules.push(Rule::of_operator(&group, own.category, own.certainty));
        }
        let phrases = policy
            .allowed
            .iter()
            .map(|phrase| Term::parse(ALLOWED, phrase));
        terms.extend(phrases);
        let moderator = Self {
            lexicon: Lexicon::load(terms)?,
            rules,
            policy,
            classifier,
        };
        moderator.check_allowed()?;
        Ok(moderator)
    }

    /// The policy that it judges by.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is to be done with a text, in time in proportion to its length.
    ///
    /// # Errors
    /// When the text is longer than [`MAX_TEXT_BYTES`], or the classifier does not answer. It is then not assessed, and must
    /// not be generated from.
    pub fn assess(&self, text: &str, audience: Audience) -> Result<Assessment, AssessError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(AssessError::TooLong {
                bytes: text.len(),
                max_bytes: MAX_TEXT_BYTES,
            });
        }
        let mut findings = self.found(text, audience);
        findings.extend(self.classified(text, audience)?);
        Ok(Assessment::of(findings, self.policy.id()))
    }

    /// The same with what others found, which can only make it stricter.
    ///
    /// # Errors
    /// As of [`assess`](Self::assess).
    pub fn assess_with(
        &self,
        text: &str,
        audience: Audience,
        extra: Vec<Finding>,
    ) -> Result<Assessment, AssessError> {
        Ok(self.assess(text, audience)?.merge(extra))
    }

    /// What the rules find.
    fn found(&self, text: &str, audience: Audience) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        for scan in scans(text) {
            let hits = self.lexicon.hits(&scan, text);
            let found = Found {
                text,
                scan: &scan,
                hits: &hits,
            };
            for rule in &self.rules {
                for finding in rule.findings(&found, &self.policy, audience) {
                    if !findings.contains(&finding) {
                        findings.push(finding);
                    }
                }
            }
        }
        findings
    }

    /// What the classifier finds, when there is one.
    fn classified(&self, text: &str, audience: Audience) -> Result<Vec<Finding>, AssessError> {
        let Some(classifier) = &self.classifier else {
            return Ok(Vec::new());
        };
        let seen = text.chars().filter(|ch| !is_invisible(*ch));
        let seen: String = seen.nfkc().collect();
        let mut findings = Vec::new();
        for (category, score) in classifier.scores(&seen)? {
            if !(0.0..=1.0).contains(&score) {
                return Err(AssessError::Score {
                    category: category.id(),
                });
            }
            let thresholds = classifier.thresholds(category);
            let verdict = self
                .policy
                .verdict_at(category, audience, score, thresholds);
            findings.extend(verdict.map(|verdict| Finding {
                category,
                verdict,
                rule_id: format!("classifier-{}", category.id()),
                layer: Layer::Classifier,
                score: Some(score),
                evidence: excerpt(text, MAX_EVIDENCE_CHARS),
                span: None,
            }));
        }
        Ok(findings)
    }

    /// Whether the list of what is allowed has nothing that is always refused.
    fn check_allowed(&self) -> Result<(), PolicyError> {
        let mut problems = Vec::new();
        for (at, phrase) in self.policy.allowed.iter().enumerate() {
            let findings = self.found(phrase, Audience::VerifiedAdult);
            let refused = findings.iter().find(|found| {
                found.category.is_always_refused() && found.verdict == Verdict::Refuse
            });
            problems.extend(refused.map(|found| {
                let id = found.category.id();
                let message = format!("has what is refused in every configuration ({id})");
                Problem::of(&format!("allowed[{at}]"), &message)
            }));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(PolicyError { problems }),
        }
    }
}

impl Rule {
    /// Any of the operator's terms, which stand in a group of their own.
    fn of_operator(group: &str, category: crate::Category, certainty: Certainty) -> Self {
        Self {
            id: group.to_owned(),
            category,
            any: vec![group.to_owned()],
            near: Vec::new(),
            words: 0,
            certainty,
            is_eased: false,
            is_operators: true,
        }
    }
}
