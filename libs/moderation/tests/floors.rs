//! What the labelled sets say of the moderator does not fall below what is written in `eval/floors.toml`.

#[path = "../eval/harness.rs"]
mod harness;

use harness::{Disguise, LANGUAGES, Measured, SETS, lines, measure, moderator};
use kinora_moderation::Category;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// From 0 to 1, by id.
type Floors = BTreeMap<String, f64>;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Set {
    recall: Floors,
    stopped: Floors,
    precision: Floors,
    benign: Floors,
    disguised: Floors,
    always_disguised: Floors,
}

/// By the name of the set.
fn floors() -> BTreeMap<String, Set> {
    toml::from_str(include_str!("../eval/floors.toml")).expect("floors")
}

/// Each floor that what was measured is below.
fn below(what: &str, floors: &Floors, rate_of: impl Fn(&str) -> Option<f64>) -> Vec<String> {
    let low = floors.iter().filter_map(|(id, floor)| {
        let rate = rate_of(id).unwrap_or(f64::NAN);
        (rate.is_nan() || rate < *floor)
            .then(|| format!("{what} of {id} is {rate:.3}, below {floor}"))
    });
    low.collect()
}

fn disguise(id: &str) -> Option<Disguise> {
    Disguise::ALL
        .into_iter()
        .find(|disguise| disguise.id() == id)
}

#[track_caller]
fn check(set: &str) {
    let mut floors = floors();
    let floors = floors.remove(set).expect("its floors");
    let moderator = moderator().expect("a moderator");
    let measured = measure(&moderator, &lines(set).expect("lines")).expect("measured");
    let Measured {
        stopped,
        precision,
        benign,
        disguised,
        always_disguised,
        ..
    } = &measured;
    let recall =
        |id: &str| Category::from_id(id).map(|category| measured.recall_of(category).rate());
    let stopped = |id: &str| Some(stopped.get(&Category::from_id(id)?)?.rate());
    // What was never found was never wrong.
    let precise = |id: &str| {
        let count = precision.get(&Category::from_id(id)?).copied();
        Some(count.unwrap_or_default().rate())
    };
    let mut low = below("recall", &floors.recall, recall);
    low.extend(below("stopped", &floors.stopped, stopped));
    low.extend(below("precision", &floors.precision, precise));
    low.extend(below("allowed", &floors.benign, |id| {
        benign.get(id).map(|count| count.rate())
    }));
    low.extend(below("disguised recall", &floors.disguised, |id| {
        disguised.get(&disguise(id)?).map(|count| count.rate())
    }));
    low.extend(below("always refused", &floors.always_disguised, |id| {
        always_disguised
            .get(&disguise(id)?)
            .map(|count| count.rate())
    }));
    assert!(
        low.is_empty(),
        "{set}:\n{}\n{}",
        low.join("\n"),
        measured.misses.join("\n")
    );
}

#[test]
fn what_the_data_was_tuned_on_holds() {
    check("dev");
    check("paraphrased_dev");
}

#[test]
fn what_the_data_was_not_tuned_on_holds() {
    check("heldout");
}

#[test]
fn what_says_the_same_in_other_words_holds() {
    check("paraphrased_heldout");
    check("hard");
}

#[test]
fn what_people_type_every_day_is_allowed() {
    check("everyday_dev");
    check("everyday_heldout");
}

#[test]
fn nothing_is_without_a_floor() {
    let floors = floors();
    assert!(floors.keys().map(String::as_str).eq(BTreeSet::from(SETS)));
    for (name, set) in &floors {
        for language in LANGUAGES {
            assert!(set.benign.contains_key(language), "{name} {language}");
        }
        if name.starts_with("everyday") {
            continue;
        }
        for category in Category::ALL.map(Category::id) {
            assert!(set.recall.contains_key(category), "{category}");
            assert!(set.stopped.contains_key(category), "{category}");
            assert!(set.precision.contains_key(category), "{category}");
        }
        for disguise in Disguise::ALL.map(Disguise::id) {
            assert!(set.disguised.contains_key(disguise), "{disguise}");
            assert!(set.always_disguised.contains_key(disguise), "{disguise}");
        }
    }
}

#[test]
fn no_line_is_in_two_sets() {
    let mut seen = BTreeMap::new();
    for set in SETS {
        for line in lines(set).expect("lines") {
            let before = seen.insert(line.text.clone(), set);
            // Two languages may say the same.
            let is_other = before.is_some_and(|before| before != set);
            assert!(!is_other, "{before:?} and {set}: {}", line.text);
        }
    }
}

#[test]
fn every_category_has_lines_in_every_language() {
    let mut all = lines("dev").expect("lines");
    all.extend(lines("heldout").expect("lines"));
    for language in LANGUAGES {
        let count = |category| {
            all.iter()
                .filter(|line| line.language == language && line.category == category)
                .count()
        };
        assert!(count(None) >= 40, "{language}");
        for category in Category::ALL {
            let least = match category {
                Category::Harassment | Category::Deception => 6,
                _ => 12,
            };
            assert!(
                count(Some(category)) >= least,
                "{language} {}",
                category.id()
            );
        }
    }
}
