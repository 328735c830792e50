//! What the hits of a text mean: rules over groups of terms, which are data (`data/rules.toml`).

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::assessment::{Audience, Finding, Layer, MAX_EVIDENCE_CHARS, excerpt};
use crate::category::Category;
use crate::lexicon::{ALLOWED, CONTEXTS, Hit, Hits, NEGATIONS, hints_of, is_covered};
use crate::normalize::Scan;
use crate::policy::{Policy, PolicyError, Problem};

/// The rules that are built in.
pub(crate) const RULES: &str = include_str!("../data/rules.toml");

/// How many findings a rule makes of one text at most.
const MAX_FINDINGS_OF_A_RULE: usize = 3;

/// How far a context reaches, in places: 16 words.
const CONTEXT_PLACES: u32 = 32;

/// How far a negation reaches forward, in places: two words.
const NEGATION_PLACES: u32 = 4;

/// How sure a rule is of its category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Certainty {
    /// What the policy says holds.
    Clear,
    /// At most a person looks at it.
    Unsure,
}

/// One rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// What findings name it by.
    pub id: String,
    /// What it is about.
    pub category: Category,
    /// Any term of one of these groups.
    pub any: Vec<String>,
    /// With any term of one of these near to it.
    #[serde(default)]
    pub near: Vec<String>,
    /// How near, in words. Ideographs count half.
    #[serde(default)]
    pub words: u32,
    /// How sure it is.
    pub certainty: Certainty,
    /// Whether contexts and negations ease it by one step.
    #[serde(default)]
    pub is_eased: bool,
    /// Who found it, when it is not one of the built-in rules.
    #[serde(skip)]
    pub is_operators: bool,
}

#[derive(Deserialize)]
struct RuleFile {
    rule: Vec<Rule>,
}

/// The built-in rules.
pub(crate) fn built_in() -> Result<Vec<Rule>, PolicyError> {
    let file: RuleFile = toml::from_str(RULES).map_err(|error| PolicyError {
        problems: vec![Problem::of("rules", error.message())],
    })?;
    Ok(file.rule)
}

/// Where a rule holds.
struct Match<'a> {
    hit: &'a Hit,
    near: Option<&'a Hit>,
    certainty: Certainty,
}

impl Match<'_> {
    fn start(&self) -> usize {
        self.hit.glyphs.start
    }
}

/// A text, and what was found in it.
pub(crate) struct Found<'a> {
    /// The text as it was sent.
    pub text: &'a str,
    /// The way back to it.
    pub scan: &'a Scan,
    /// Its terms.
    pub hits: &'a Hits,
}

impl Rule {
    /// What this rule finds.
    pub fn findings(&self, found: &Found<'_>, policy: &Policy, audience: Audience) -> Vec<Finding> {
        let mut matches = self.matches(found);
        // Those that are sure and that nothing eases come first, since only some are kept.
        matches.sort_by_key(|matched| (matched.certainty, self.eases(found, matched.hit)));
        matches.truncate(MAX_FINDINGS_OF_A_RULE);
        let finding = |Match {
                           hit,
                           near,
                           certainty,
                       }: Match<'_>| {
            let is_eased = self.eases(found, hit);
            Finding {
                category: self.category,
                verdict: policy.verdict_of(self.category, audience, certainty, is_eased),
                rule_id: self.id.clone(),
                layer: self.layer(),
                score: None,
                evidence: found.evidence(hit, near),
                span: found.span(hit, near),
            }
        };
        matches.into_iter().map(finding).collect()
    }

    fn layer(&self) -> Layer {
        match (self.is_operators, self.near.is_empty()) {
            (true, _) => Layer::Policy,
            (false, true) => Layer::Lexicon,
            (false, false) => Layer::Pattern,
        }
    }

    /// First by its groups alone, and then, unsurely, what takes a hint.
    fn matches<'a>(&self, found: &Found<'a>) -> Vec<Match<'a>> {
        let hits = |groups: &[String]| -> Vec<&'a [Hit]> {
            groups.iter().map(|group| found.group(group)).collect()
        };
        let (any, near) = (hits(&self.any), hits(&self.near));
        let mut matches = self.pairs(found, &any, &near, self.certainty);
        let hints = |groups: &[String]| -> Vec<&'a [Hit]> {
            let hints = groups.iter().map(|group| found.group(&hints_of(group)));
            hints.filter(|hits| !hits.is_empty()).collect()
        };
        let (any_hints, near_hints) = (hints(&self.any), hints(&self.near));
        let near_all: Vec<&[Hit]> = near.iter().chain(&near_hints).copied().collect();
        let mut unsure = self.pairs(found, &any_hints, &near_all, Certainty::Unsure);
        if !near_hints.is_empty() {
            unsure.extend(self.pairs(found, &any, &near_hints, Certainty::Unsure));
        }
        let sure: BTreeSet<usize> = matches.iter().map(Match::start).collect();
        unsure.retain(|matched| !sure.contains(&matched.start()));
        matches.extend(unsure);
        matches
    }

    /// Hits, and what of the others is nearest to each, where one has to be.
    fn pairs<'a>(
        &self,
        found: &Found<'a>,
        any: &[&'a [Hit]],
        near: &[&'a [Hit]],
        certainty: Certainty,
    ) -> Vec<Match<'a>> {
        let hits = any.iter().flat_map(|hits| hits.iter());
        let hits = hits.filter(|hit| !self.allows(found, hit));
        let within = |hit: &'a Hit| {
            let others = near.iter().filter_map(|group| nearest(group, hit));
            let nearest = others.min_by_key(|other| other.distance(hit))?;
            (nearest.distance(hit) <= self.words * 2).then_some(nearest)
        };
        let matched = |hit| {
            let near = within(hit);
            let is_whole = self.near.is_empty() || near.is_some();
            is_whole.then_some(Match {
                hit,
                near,
                certainty,
            })
        };
        hits.filter_map(matched).collect()
    }

    /// Whether the operator's list allows a term. What is near to it does not count, so that more of that changes nothing.
    fn allows(&self, found: &Found<'_>, hit: &Hit) -> bool {
        !self.category.is_always_refused() && is_covered(found.group(ALLOWED), hit)
    }

    fn eases(&self, found: &Found<'_>, hit: &Hit) -> bool {
        self.is_eased && !self.category.is_always_refused() && found.is_eased(hit)
    }
}

impl<'a> Found<'a> {
    fn group(&self, name: &str) -> &'a [Hit] {
        self.hits.get(name).map_or(&[], Vec::as_slice)
    }

    fn is_eased(&self, hit: &Hit) -> bool {
        let context = nearest(self.group(CONTEXTS), hit);
        let is_in_context = context.is_some_and(|context| context.distance(hit) <= CONTEXT_PLACES);
        is_in_context || self.is_negated(hit)
    }

    fn is_negated(&self, hit: &Hit) -> bool {
        let negations = self.group(NEGATIONS);
        let after = negations.partition_point(|negation| negation.glyphs.start < hit.glyphs.start);
        let before = after.checked_sub(1).and_then(|at| negations.get(at));
        before.is_some_and(|before| before.distance(hit) <= NEGATION_PLACES)
    }

    fn bytes(&self, hit: &Hit) -> Option<std::ops::Range<usize>> {
        let first = self.scan.glyphs.get(hit.glyphs.start)?;
        let last = self.scan.glyphs.get(hit.glyphs.end.checked_sub(1)?)?;
        Some(first.start..last.end)
    }

    fn span(&self, hit: &Hit, near: Option<&Hit>) -> Option<std::ops::Range<usize>> {
        let own = self.bytes(hit)?;
        let other = near
            .and_then(|near| self.bytes(near))
            .unwrap_or_else(|| own.clone());
        Some(own.start.min(other.start)..own.end.max(other.end))
    }

    /// What is between the two, when that is short, and otherwise each of them.
    fn evidence(&self, hit: &Hit, near: Option<&Hit>) -> String {
        let sent = |bytes| self.text.get(bytes).unwrap_or_default();
        let whole = self.span(hit, near).map(sent).unwrap_or_default();
        let Some(near) = near.filter(|_| whole.chars().count() > MAX_EVIDENCE_CHARS) else {
            return excerpt(whole, MAX_EVIDENCE_CHARS);
        };
        let half = |hit: &Hit| {
            excerpt(
                self.bytes(hit).map(sent).unwrap_or_default(),
                MAX_EVIDENCE_CHARS / 2 - 2,
            )
        };
        let (first, second) = match hit.glyphs.start <= near.glyphs.start {
            true => (hit, near),
            false => (near, hit),
        };
        format!("{} … {}", half(first), half(second))
    }
}

/// The nearest of hits that are in order: the one that starts last before this one does, or first behind it.
fn nearest<'a>(hits: &'a [Hit], to: &Hit) -> Option<&'a Hit> {
    let after = hits.partition_point(|hit| hit.glyphs.start < to.glyphs.start);
    let beside = after.saturating_sub(1)..(after + 1).min(hits.len());
    let beside = hits.get(beside)?;
    beside.iter().min_by_key(|hit| hit.distance(to))
}
