//! Whatever an operator writes and whoever asks: what is always refused is refused.

#[path = "../eval/harness.rs"]
#[expect(dead_code, reason = "the lines and disguises alone are wanted")]
mod harness;

use std::fmt::Write;

use harness::{Disguise, Line, is_found, lines, moderator};
use kinora_moderation::{Audience, Category, MAX_TEXT_BYTES, Policy, TextModerator, Verdict};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// How many policies are made up.
const POLICIES: usize = 6;

/// How many bytes are put into a text, of which none can be seen.
const INVISIBLE: [char; 8] = [
    '\u{200b}',
    '\u{200d}',
    '\u{2060}',
    '\u{feff}',
    '\u{ad}',
    '\u{202e}',
    '\u{fe0f}',
    '\u{e0061}',
];

/// All lines of always refused categories, plain and in each disguise, that are found to be so by the defaults. How many
/// that is of all is what the floors are about.
fn always_refused() -> Vec<(String, Category)> {
    let moderator = moderator().expect("a moderator");
    let mut texts = Vec::new();
    for set in ["dev", "heldout"] {
        for line in lines(set).expect("lines") {
            let Some(category) = line
                .category
                .filter(|category| category.is_always_refused())
            else {
                continue;
            };
            let disguised = Disguise::ALL
                .into_iter()
                .filter_map(|disguise| disguise.apply(&line.text));
            texts.extend(
                disguised
                    .chain([line.text.clone()])
                    .map(|text| (text, category)),
            );
        }
    }
    texts.retain(|(text, category)| {
        let assessment = moderator
            .assess(text, Audience::General)
            .expect("an assessment");
        is_found(&assessment, *category)
    });
    texts
}

/// A policy that loosens whatever it may.
fn policy(random: &mut StdRng, phrases: &[&str]) -> String {
    let mut text = format!("adult_content = {}\n", random.random_bool(0.5));
    // Not as Rust writes them: marks of some scripts would be escaped in a way that TOML does not know.
    let allowed = phrases.choose_multiple(random, 20);
    let allowed: Vec<String> = allowed.map(|phrase| format!("\"{phrase}\"")).collect();
    let _ = writeln!(text, "allowed = [{}]", allowed.join(", "));
    let rules = [
        "sexual-term",
        "nudity-term",
        "suggestive-term",
        "gore-term",
        "hate-term",
        "bullying-near-person",
        "deception-term",
    ];
    let disabled: Vec<&&str> = rules.choose_multiple(random, 4).collect();
    let _ = writeln!(text, "disabled_rules = {disabled:?}");
    for category in Category::ALL {
        let _ = writeln!(text, "[category.{}]", category.id());
        if category.is_always_refused() {
            let _ = writeln!(text, "review_at = {}", random.random_range(0.0..0.5));
            continue;
        }
        for audience in ["general", "verified_adult"] {
            let verdict = ["allow", "review", "refuse"]
                .choose(random)
                .expect("a verdict");
            let _ = writeln!(text, "{audience} = \"{verdict}\"");
        }
        let _ = writeln!(text, "review_at = 1.0\nrefuse_at = 1.0");
    }
    text
}

#[test]
fn every_policy_and_audience_refuses_what_is_always_refused() {
    let texts = always_refused();
    assert!(texts.len() > 1_000, "{} lines", texts.len());
    let phrases = [
        "nude",
        "naked",
        "sex",
        "porn",
        "nackt",
        "desnuda",
        "nue",
        "nua",
        "голая",
        "عارية",
        "नग्न",
        "裸体",
        "全裸",
        "child",
        "my ex",
        "lingerie",
        "undress",
        "topless",
        "erotic",
        "sexy",
        "a prompt",
        "this prompt alone",
        "free now",
        "the above",
        "ignore",
    ];
    let mut random = StdRng::seed_from_u64(8);
    for _ in 0..POLICIES {
        let policy = policy(&mut random, &phrases);
        let parsed = Policy::parse(&policy).expect("a policy");
        let moderator = TextModerator::new(parsed, None).expect("a moderator");
        for (text, category) in &texts {
            for audience in [Audience::General, Audience::VerifiedAdult] {
                let assessment = moderator.assess(text, audience).expect("an assessment");
                assert_eq!(assessment.verdict, Verdict::Refuse, "{text} under {policy}");
                assert!(is_found(&assessment, *category), "{text} under {policy}");
            }
        }
    }
}

#[test]
fn every_policy_that_would_loosen_it_is_refused() {
    let mut random = StdRng::seed_from_u64(8);
    for category in Category::ALL
        .into_iter()
        .filter(|category| category.is_always_refused())
    {
        let id = category.id();
        for key in ["general", "verified_adult"] {
            for verdict in ["allow", "review"] {
                let text = format!("[category.{id}]\n{key} = \"{verdict}\"");
                Policy::parse(&text).expect_err("a loosened category");
            }
        }
        for key in ["review_at", "refuse_at"] {
            let text = format!(
                "[category.{id}]\n{key} = {}",
                random.random_range(0.81..1.0)
            );
            Policy::parse(&text).expect_err("a loosened threshold");
        }
    }
    for line in plain_always_refused() {
        let text = format!("allowed = [{:?}]", line.text);
        let parsed = Policy::parse(&text).expect("phrases are looked at by the moderator");
        assert!(TextModerator::new(parsed, None).is_err(), "{}", line.text);
        // One language is enough here: each makes the whole lexicon.
    }
}

/// Some lines that are refused by the defaults.
fn plain_always_refused() -> Vec<Line> {
    let moderator = moderator().expect("a moderator");
    let lines = lines("dev").expect("lines").into_iter().filter(|line| {
        let category = line
            .category
            .filter(|category| category.is_always_refused());
        let assessment = moderator
            .assess(&line.text, Audience::General)
            .expect("an assessment");
        line.language == "en" && category.is_some_and(|category| is_found(&assessment, category))
    });
    lines.take(6).collect()
}

#[test]
fn what_cannot_be_seen_never_makes_a_text_milder() {
    let moderator = moderator().expect("a moderator");
    let mut random = StdRng::seed_from_u64(8);
    for line in lines("dev").expect("lines") {
        let before = moderator
            .assess(&line.text, Audience::General)
            .expect("an assessment");
        for _ in 0..3 {
            let mut text = String::new();
            for ch in line.text.chars() {
                while random.random_bool(0.3) {
                    text.extend(INVISIBLE.choose(&mut random));
                }
                text.push(ch);
            }
            let after = moderator
                .assess(&text, Audience::General)
                .expect("an assessment");
            assert!(
                after.verdict >= before.verdict,
                "{text:?} {before:#?} {after:#?}"
            );
        }
    }
}

#[test]
fn spans_and_evidence_are_of_the_text_whatever_it_is() {
    let moderator = moderator().expect("a moderator");
    let all: Vec<Line> = lines("dev").expect("lines");
    let mut random = StdRng::seed_from_u64(8);
    for _ in 0..300 {
        let mut text = String::new();
        for _ in 0..random.random_range(0..6) {
            let line = all.choose(&mut random).expect("a line");
            let disguise = Disguise::ALL.choose(&mut random).expect("a disguise");
            text.push_str(&disguise.apply(&line.text).unwrap_or_default());
            text.extend((0..random.random_range(0..4)).map(|_| random.random::<char>()));
        }
        let assessment = moderator
            .assess(&text, Audience::General)
            .expect("an assessment");
        for found in &assessment.findings {
            let span = found.span.clone().expect("a span");
            assert!(text.get(span).is_some(), "{text:?} {found:?}");
            assert!(found.evidence.chars().count() <= 80, "{found:?}");
        }
    }
}

#[test]
fn the_longest_texts_are_assessed() {
    let moderator = moderator().expect("a moderator");
    for unit in [
        "nude child ",
        "sex education ",
        "n u d e ",
        "\u{fdfa}",
        "a\u{301}",
        "\u{e0061}",
        "全裸",
        "!",
        "no ",
    ] {
        let text = unit.repeat(MAX_TEXT_BYTES / unit.len());
        let assessment = moderator
            .assess(&text, Audience::General)
            .expect("an assessment");
        assert!(assessment.findings.len() <= kinora_moderation::MAX_FINDINGS);
    }
}
