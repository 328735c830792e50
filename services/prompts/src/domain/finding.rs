//! What moderation found, and in which of the texts.

use std::cmp::Reverse;

use kinora_moderation::{Category, Finding, Layer, Verdict};
use serde::{Deserialize, Serialize};

/// As many findings as are told.
pub const MAX_FINDINGS: usize = 16;

/// One of the texts that make a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKind {
    /// What the clip shall show; also all texts together.
    Prompt,
    /// What it must not show.
    NegativePrompt,
    /// The style.
    Style,
    /// Name and sheet of a character.
    Character,
    /// What an enhancer wrote.
    EnhancedPrompt,
}

impl TextKind {
    /// As the contract names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::NegativePrompt => "negative_prompt",
            Self::Style => "style",
            Self::Character => "character",
            Self::EnhancedPrompt => "enhanced_prompt",
        }
    }
}

/// A finding, and in which text it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct TextFinding {
    /// In which text.
    pub text: TextKind,
    /// What was found.
    pub finding: Finding,
}

impl TextFinding {
    /// A finding without any words: what a person has decided.
    #[must_use]
    pub fn of_decision(rule_id: &str, verdict: Verdict, category: Category) -> Self {
        let finding = Finding {
            category,
            verdict,
            rule_id: rule_id.to_owned(),
            layer: Layer::Policy,
            score: None,
            evidence: String::new(),
            span: None,
        };
        Self {
            text: TextKind::Prompt,
            finding,
        }
    }
}

/// What moderation says of some texts together.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The strictest of all findings.
    pub verdict: Verdict,
    /// The strictest first, and of these what was found in words; each rule once.
    pub findings: Vec<TextFinding>,
}

impl Judgement {
    /// Of findings in any order.
    #[must_use]
    pub fn of(mut findings: Vec<TextFinding>) -> Self {
        let strictest = findings.iter().map(|it| it.finding.verdict).max();
        // What somebody can point at comes before what a classifier makes of it: the first one is what people are told.
        findings.sort_by_key(|it| {
            let is_guess = it.finding.layer == Layer::Classifier;
            (Reverse(it.finding.verdict), is_guess)
        });
        let mut told: Vec<TextFinding> = Vec::new();
        for one in findings {
            let is_same = |it: &TextFinding| {
                it.finding.rule_id == one.finding.rule_id
                    && it.finding.evidence == one.finding.evidence
            };
            if told.len() < MAX_FINDINGS && !told.iter().any(is_same) {
                told.push(one);
            }
        }
        Self {
            verdict: strictest.unwrap_or(Verdict::Allow),
            findings: told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(verdict: Verdict, layer: Layer, category: Category) -> TextFinding {
        let finding = Finding {
            category,
            verdict,
            rule_id: format!("{category:?}"),
            layer,
            score: None,
            evidence: String::new(),
            span: None,
        };
        TextFinding {
            text: TextKind::Prompt,
            finding,
        }
    }

    #[test]
    fn the_strictest_is_told_first_and_words_before_guesses() {
        let judgement = Judgement::of(vec![
            found(Verdict::Review, Layer::Pattern, Category::Deception),
            found(Verdict::Refuse, Layer::Classifier, Category::ChildSexual),
            found(Verdict::Refuse, Layer::Lexicon, Category::Sexual),
            found(Verdict::Refuse, Layer::Lexicon, Category::Sexual),
        ]);
        assert_eq!(judgement.verdict, Verdict::Refuse);
        let told: Vec<Category> = judgement
            .findings
            .iter()
            .map(|it| it.finding.category)
            .collect();
        assert_eq!(
            told,
            [Category::Sexual, Category::ChildSexual, Category::Deception]
        );
        assert_eq!(Judgement::of(Vec::new()).verdict, Verdict::Allow);
    }
}
