//! The floors of `eval/prompts.tsv`: what the rules do to prompts of every family and language.

#[path = "evaluation/measure.rs"]
mod measure;

use std::collections::BTreeSet;

use kinora_enhancement::{Family, Language, Rules};
use measure::{MEASURES, cases};

/// Below these no family may be, in the order of the measures, in percent. Speech, names, numbers, tags and length have to hold
/// always.
const FLOORS: [usize; 10] = [100, 100, 100, 100, 100, 100, 100, 100, 90, 60];

#[test]
fn the_file_has_all_families_and_languages() {
    let cases = cases();
    assert!(cases.len() >= 240);
    let families: BTreeSet<Family> = cases.iter().map(|case| case.family).collect();
    assert_eq!(families, Family::ALL.into());
    for language in Language::WITH_TEMPLATES {
        let of_it = cases.iter().filter(|case| case.language == language.code());
        assert!(of_it.count() >= 16, "{}", language.code());
    }
}

#[test]
fn every_prompt_keeps_what_its_author_wrote() {
    let rules = Rules::embedded();
    let mut table = measure::Table::default();
    let mut missed = Vec::new();
    for case in cases() {
        let held = measure::measure(&rules, &case);
        table.add(case.family.id(), held);
        for (name, held) in MEASURES.iter().zip(held) {
            if !held {
                let enhanced = rules.enhance(&case.draft());
                let enhanced = enhanced.expect("a draft that can be read").prompt;
                missed.push(format!("{name}: {}\n    {enhanced}", case.prompt));
            }
        }
    }
    let report = format!("{}\n{}", table.print("family"), missed.join("\n"));
    for (family, (count, sums)) in &table.0 {
        for ((sum, floor), name) in sums.iter().zip(FLOORS).zip(MEASURES) {
            assert!(sum * 100 >= floor * count, "{family}: {name}\n{report}");
        }
    }
}
