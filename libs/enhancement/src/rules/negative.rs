//! What the clip should not show.

use super::Rules;
use crate::draft::{Draft, Mode};
use crate::language::Language;
use crate::prepare::Prepared;
use crate::words::{content_units, is_same_stem};

/// The caller's negative prompt as it is, or the family's own without what the prompt asks for.
pub(super) fn of(rules: &Rules, draft: &Draft, prepared: &Prepared) -> String {
    if !prepared.negative.is_empty() {
        return prepared.negative.clone();
    }
    let Some(template) = rules.template(draft.family) else {
        return String::new();
    };
    let speaks = prepared.speaks.unwrap_or(Language::ENGLISH);
    let english = Language::ENGLISH.code();
    let language = match template.negative.contains_key(speaks.code()) {
        true => speaks.code(),
        false => english,
    };
    let by_mode = match draft.mode {
        Mode::TextToVideo => None,
        Mode::ImageToVideo => template.negative_image.get(language),
        Mode::FirstLastToVideo => template.negative_first_last.get(language),
    };
    let list = by_mode.into_iter().chain(template.negative.get(language));
    let wanted = content_units(&prepared.scene(), |_| false);
    let is_wanted = |item: &&str| {
        let units = content_units(item, |_| false);
        let mut units = units.iter();
        units.any(|unit| wanted.iter().any(|word| is_same_stem(word, unit)))
    };
    let items = list.flat_map(|list| list.split(", "));
    let items: Vec<&str> = items.filter(|item| !is_wanted(item)).collect();
    items.join(", ")
}
