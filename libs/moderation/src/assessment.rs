//! What came out: a verdict, and the findings that it rests on.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::category::Category;

/// How many findings an assessment has at most.
pub const MAX_FINDINGS: usize = 32;

/// How long a piece of evidence is at most, in characters.
pub const MAX_EVIDENCE_CHARS: usize = 80;

/// What is to be done with a text. Later ones are stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may be generated from.
    Allow,
    /// A person decides.
    Review,
    /// It may not be generated from.
    Refuse,
}

impl Verdict {
    /// The next milder one.
    pub(crate) const fn eased(self) -> Self {
        match self {
            Self::Refuse => Self::Review,
            Self::Review | Self::Allow => Self::Allow,
        }
    }
}

/// Whom the clip is for, as the caller's token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Anybody.
    General,
    /// Somebody whose age was verified. The same as anybody, unless the operator has adult content.
    VerifiedAdult,
}

/// What found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// One term of a lexicon.
    Lexicon,
    /// Terms near to each other.
    Pattern,
    /// The classifier of the moderator.
    Classifier,
    /// Somebody else's moderation, whose findings the caller adds.
    External,
    /// A term of the operator's own.
    Policy,
}

/// One reason for a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub category: Category,
    /// What the policy does with it.
    pub verdict: Verdict,
    /// Which rule of `data/rules.toml`, which term of the operator's or which classifier's class found it.
    pub rule_id: String,
    /// What found it.
    pub layer: Layer,
    /// How sure a classifier was, from 0 to 1.
    pub score: Option<f32>,
    /// An excerpt of the text as it was sent, of at most [`MAX_EVIDENCE_CHARS`].
    pub evidence: String,
    /// Where in the text it is, in bytes, on boundaries of characters.
    pub span: Option<Range<usize>>,
}

/// A verdict on a text, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The strictest of the findings; allowed when there are none.
    pub verdict: Verdict,
    /// The strictest first, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Which policy and which data it was judged by.
    pub policy: String,
}

impl Assessment {
    /// What these findings come to.
    pub(crate) fn of(mut findings: Vec<Finding>, policy: &str) -> Self {
        findings.sort_by_key(|found| (std::cmp::Reverse(found.verdict), found.category));
        findings.truncate(MAX_FINDINGS);
        let strictest = findings.first().map(|found| found.verdict);
        Self {
            verdict: strictest.unwrap_or(Verdict::Allow),
            findings,
            policy: policy.to_owned(),
        }
    }

    /// This one with the findings of others, which can only make it stricter.
    #[must_use]
    pub fn merge(self, extra: Vec<Finding>) -> Self {
        let before = self.verdict;
        let mut findings = self.findings;
        findings.extend(extra.into_iter().map(with_short_evidence));
        let merged = Self::of(findings, &self.policy);
        Self {
            verdict: merged.verdict.max(before),
            ..merged
        }
    }

    /// Whether a finding of this category asks for more than to let it pass.
    #[must_use]
    pub fn objects_to(&self, category: Category) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|found| found.category == category && found.verdict > Verdict::Allow)
    }
}

/// The same, with no more evidence than is kept.
fn with_short_evidence(found: Finding) -> Finding {
    Finding {
        evidence: excerpt(&found.evidence, MAX_EVIDENCE_CHARS),
        ..found
    }
}

/// The first characters of a text.
pub(crate) fn excerpt(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::{Assessment, Finding, Layer, MAX_EVIDENCE_CHARS, MAX_FINDINGS, Verdict};
    use crate::category::Category;

    fn found(verdict: Verdict) -> Finding {
        Finding {
            category: Category::Hate,
            verdict,
            rule_id: "external".to_owned(),
            layer: Layer::External,
            score: Some(0.5),
            evidence: "я".repeat(200),
            span: None,
        }
    }

    #[test]
    fn merging_only_makes_it_stricter() {
        let all = [Verdict::Allow, Verdict::Review, Verdict::Refuse];
        for before in all {
            for extra in all {
                let own = Assessment::of(vec![found(before)], "p");
                assert_eq!(own.merge(vec![found(extra)]).verdict, before.max(extra));
            }
        }
    }

    #[test]
    fn findings_and_evidence_are_bounded_and_the_strictest_stay() {
        let many = (0..100).map(|at| match at {
            99 => found(Verdict::Refuse),
            _ => found(Verdict::Review),
        });
        let merged = Assessment::of(Vec::new(), "p").merge(many.collect());
        assert_eq!(merged.findings.len(), MAX_FINDINGS);
        assert_eq!(merged.findings[0].verdict, Verdict::Refuse);
        let longest = merged
            .findings
            .iter()
            .map(|found| found.evidence.chars().count());
        assert_eq!(longest.max(), Some(MAX_EVIDENCE_CHARS));
    }
}
