//! Texts, and whether they may be generated from.
//!
//! The text is all of the input.

use std::sync::LazyLock;

use kinora_moderation::{
    Assessment, Audience, MAX_EVIDENCE_CHARS, MAX_FINDINGS, Policy, TextModerator,
};

/// What is put between all characters. Nothing of it is seen.
const INVISIBLE: char = '\u{200b}';

static MODERATOR: LazyLock<TextModerator> = LazyLock::new(|| {
    let policy = Policy::built_in().expect("the defaults");
    TextModerator::new(policy, None).expect("a moderator")
});

/// Whether it was of interest.
///
/// # Panics
/// When something does not hold.
#[must_use]
pub fn moderation(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let assessment = check(text);
    // Where invisible characters are the text's only spaces, more of them leave none.
    let is_seen = |ch: char| ch.is_alphanumeric() || ch.is_ascii_punctuation() || ch == ' ';
    if !text.chars().all(is_seen) {
        return true;
    }
    let hidden: String = text.chars().flat_map(|ch| [INVISIBLE, ch]).collect();
    let after = check(&hidden);
    assert!(
        after.verdict >= assessment.verdict,
        "{text:?} became milder: {after:?}"
    );
    true
}

fn check(text: &str) -> Assessment {
    let assessed = MODERATOR.assess(text, Audience::General);
    let assessment = assessed.unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert!(assessment.findings.len() <= MAX_FINDINGS);
    let strictest = assessment.findings.iter().map(|found| found.verdict).max();
    assert!(strictest.is_none_or(|strictest| strictest == assessment.verdict));
    for found in &assessment.findings {
        let span = found.span.clone().expect("a span");
        assert!(
            text.get(span).is_some_and(|part| !part.is_empty()),
            "{found:?}"
        );
        assert!(
            found.evidence.chars().count() <= MAX_EVIDENCE_CHARS,
            "{found:?}"
        );
    }
    assessment
}
