//! Whether an enhanced prompt is still the prompt of its author: the same measure for rules and for language models.

use std::collections::{HashMap, HashSet};

use crate::clean::clean;
use crate::draft::{Draft, DraftError, Family};
use crate::language::{Language, detect};
use crate::prepare::Prepared;
use crate::rules::Rules;
use crate::speech::quotes;
use crate::tags::{self, Piece};
use crate::tiny;
use crate::words::{content_units, find_word, is_ideographic, is_same_stem, lower_words, words};

/// The part of the original's words of meaning that has to be there still.
pub const SUBJECT_FLOOR: f64 = 0.6;
/// Words of meaning that are looked for; longer prompts are judged by their beginning.
const MAX_UNITS: usize = 400;

/// What is wrong with an enhanced prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Control characters, characters of no width, links, or markup of other programs.
    NotPlain,
    /// Tags that its family does not read.
    TagsInvalid,
    /// What is said was changed, left out, or made up.
    SpeechChanged,
    /// A name is missing.
    NameLost,
    /// A number is missing.
    NumberLost,
    /// Too few of the original's words of meaning are there still.
    SubjectLost,
    /// It is in another language.
    LanguageChanged,
    /// It says the same over and over.
    Repeats,
    /// It speaks of the instructions instead of the scene.
    LeaksInstructions,
    /// It is longer than its family reads.
    TooLong,
}

impl Fault {
    /// A stable name for programs.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::NotPlain => "NOT_PLAIN",
            Self::TagsInvalid => "TAGS_INVALID",
            Self::SpeechChanged => "SPEECH_CHANGED",
            Self::NameLost => "NAME_LOST",
            Self::NumberLost => "NUMBER_LOST",
            Self::SubjectLost => "SUBJECT_LOST",
            Self::LanguageChanged => "LANGUAGE_CHANGED",
            Self::Repeats => "REPEATS",
            Self::LeaksInstructions => "LEAKS_INSTRUCTIONS",
            Self::TooLong => "TOO_LONG",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The part of the original's words of meaning that is there still, 0 to 1.
    pub subject: f64,
    /// Everything that is wrong, in the order of [`Fault`].
    pub faults: Vec<Fault>,
}

impl Verdict {
    /// Whether it has a fault.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

/// Compares an enhanced prompt with the draft that it was made from.
///
/// # Errors
/// The draft itself cannot be read.
pub fn judge(draft: &Draft, enhanced: &str, rules: &Rules) -> Result<Verdict, DraftError> {
    let prepared = Prepared::of(draft, rules)?;
    Ok(judge_prepared(draft, &prepared, enhanced, rules))
}

pub(crate) fn judge_prepared(
    draft: &Draft,
    original: &Prepared,
    enhanced: &str,
    rules: &Rules,
) -> Verdict {
    let family = draft.family;
    let pieces = tags::parse(enhanced, family).map(|markup| markup.pieces);
    let scene = scene_of(pieces.as_deref().unwrap_or_default());
    let subject = match rules.template(family).and_then(|it| it.tiny.as_ref()) {
        Some(world) => f64::from(u8::from(tiny::is_kept(world, &original.base, enhanced))),
        None => subject(original, &scene),
    };
    let is_tiny = family == Family::Tiny;
    let limit = rules
        .max_tokens(family)
        .max(rules.count(family, &original.base));
    let faults = [
        (Fault::NotPlain, !is_plain(&original.base, enhanced)),
        (Fault::TagsInvalid, tags::check(enhanced, family).is_err()),
        (
            Fault::SpeechChanged,
            !is_speech_kept(draft, original, enhanced),
        ),
        (
            Fault::NameLost,
            !is_tiny && !are_names_kept(draft, original, enhanced),
        ),
        (Fault::NumberLost, !are_numbers_kept(original, enhanced)),
        (Fault::SubjectLost, subject < SUBJECT_FLOOR),
        (Fault::LanguageChanged, !is_language_kept(original, &scene)),
        (Fault::Repeats, repeats(&original.base, enhanced)),
        (
            Fault::LeaksInstructions,
            leaks(draft, original, enhanced, rules),
        ),
        (Fault::TooLong, rules.count(family, enhanced) > limit),
    ];
    let faults = faults.into_iter().filter(|(_, is_there)| *is_there);
    Verdict {
        subject,
        faults: faults.map(|(fault, _)| fault).collect(),
    }
}

fn scene_of(pieces: &[Piece]) -> String {
    let texts = pieces.iter().filter_map(|piece| match piece {
        Piece::Text(text) => Some(text.as_str()),
        Piece::Speech(_) | Piece::Audio(_) => None,
    });
    texts.collect::<Vec<_>>().join(" ")
}

fn small(language: Option<Language>) -> impl Fn(&str) -> bool {
    let languages = [Some(Language::ENGLISH), language];
    move |word: &str| {
        let mut known = languages.into_iter().flatten();
        known.any(|language| language.small_words().contains(&word))
    }
}

fn subject(original: &Prepared, scene: &str) -> f64 {
    let asked: HashSet<String> = content_units(&original.scene(), small(original.language))
        .into_iter()
        .take(MAX_UNITS)
        .collect();
    if asked.is_empty() {
        return 1.0;
    }
    let mut there: HashSet<String> = content_units(scene, |_| false).into_iter().collect();
    // A sheet behind a name stands between characters that were neighbours.
    there.extend(content_units(&without_groups(scene), |_| false));
    let is_there =
        |unit: &&String| there.contains(*unit) || there.iter().any(|word| is_same_stem(word, unit));
    let kept = asked.iter().filter(is_there).count();
    let part = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    part(kept) / part(asked.len())
}

fn without_groups(text: &str) -> String {
    let mut rest = String::new();
    let mut from = 0;
    while let Some((before, after)) = text.get(from..).and_then(|text| text.split_once(" (")) {
        let Some(length) = after.find(')') else { break };
        rest.push_str(before);
        from += before.len() + 2 + length + 1;
    }
    rest.push_str(text.get(from..).unwrap_or_default());
    rest
}

/// What was said is said, in this order, letter by letter, and nothing else is.
fn is_speech_kept(draft: &Draft, original: &Prepared, enhanced: &str) -> bool {
    let said = original.tags().speech;
    if draft.family.has_sound() {
        let found = tags::parse(enhanced, draft.family).map(|markup| markup.tags().speech);
        if found != Ok(said) {
            return false;
        }
    } else if !said.iter().all(|words| enhanced.contains(words.as_str())) {
        return false;
    }
    // What stands in quotation marks on signs and shirts stays too.
    original.pieces.iter().all(|piece| match piece {
        Piece::Text(text) => {
            let found = quotes(text).into_iter();
            let mut texts = found.filter_map(|quote| text.get(quote.inner));
            texts.all(|quoted| enhanced.contains(quoted))
        }
        Piece::Speech(_) | Piece::Audio(_) => true,
    })
}

fn are_names_kept(draft: &Draft, original: &Prepared, enhanced: &str) -> bool {
    let scene = original.scene();
    let characters = draft
        .characters
        .iter()
        .map(|character| character.name.trim());
    let mut mentioned = characters.filter(|name| find_word(&scene, name, 0).is_some());
    if !mentioned.all(|name| find_word(enhanced, name, 0).is_some()) {
        return false;
    }
    let there: HashSet<&str> = words(enhanced).into_iter().map(|word| word.text).collect();
    let is_german = original.language == Some(Language::GERMAN);
    let names = words(&scene).into_iter().filter(|word| {
        let is_capital = word.text.starts_with(char::is_uppercase) && word.text.chars().count() > 1;
        is_capital && !word.is_first
    });
    let mut names = names.take(MAX_UNITS);
    names.all(|name| {
        // In German every noun has a capital letter, and takes endings.
        let stem = |word: &&str| is_same_stem(&word.to_lowercase(), &name.text.to_lowercase());
        there.contains(name.text) || (is_german && there.iter().any(stem))
    })
}

/// Words for numbers; in Chinese and Japanese they are part of the words of meaning.
const NUMBER_WORDS: &[&str] = &[
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "dozen",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "deux",
    "trois",
    "quatre",
    "cinq",
    "dois",
    "duas",
    "três",
    "quatro",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "два",
    "две",
    "три",
    "четыре",
    "пять",
    "दो",
    "तीन",
    "चार",
    "पाँच",
    "ثلاثة",
    "ثلاث",
    "أربعة",
    "خمسة",
];

fn are_numbers_kept(original: &Prepared, enhanced: &str) -> bool {
    let there = numbers(enhanced);
    let asked = numbers(&original.base);
    asked
        .iter()
        .all(|(number, count)| there.get(number).is_some_and(|there| there >= count))
}

/// Numbers of a text and how often each is there.
fn numbers(text: &str) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    for word in lower_words(text) {
        let is_digits = word.chars().any(char::is_numeric) && !word.chars().any(is_ideographic);
        if is_digits || NUMBER_WORDS.contains(&word.as_str()) {
            *found.entry(word).or_default() += 1;
        }
    }
    found
}

fn is_language_kept(original: &Prepared, scene: &str) -> bool {
    let found = detect(scene);
    match (original.language, found.language) {
        (Some(asked), Some(found_language)) if found.is_reliable => asked == found_language,
        _ => true,
    }
}

fn is_plain(original: &str, enhanced: &str) -> bool {
    let cleaned = clean(enhanced);
    let foreign = [
        "http://", "https://", "www.", "```", "**", "##", "{\"", "<|", "[INST]",
    ];
    let mut foreign = foreign.into_iter();
    cleaned.text == enhanced
        && !foreign.any(|mark| enhanced.contains(mark) && !original.contains(mark))
}

/// Whether a row of words comes up three times, or one word five times on end, and did not in the original.
fn repeats(original: &str, enhanced: &str) -> bool {
    most_repeated(enhanced) > most_repeated(original).max(2)
        || longest_run(enhanced) > longest_run(original).max(4)
}

fn most_repeated(text: &str) -> usize {
    let units = units_of(text);
    let mut counts: HashMap<&[String], usize> = HashMap::new();
    for row in units.windows(4) {
        *counts.entry(row).or_default() += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    let mut before: Option<String> = None;
    for unit in units_of(text) {
        run = if before.as_ref() == Some(&unit) {
            run + 1
        } else {
            1
        };
        longest = longest.max(run);
        before = Some(unit);
    }
    longest
}

/// Words; of Chinese and Japanese single characters.
fn units_of(text: &str) -> Vec<String> {
    let mut units = Vec::new();
    for word in lower_words(text) {
        match word.chars().next().is_some_and(is_ideographic) {
            true => units.extend(word.chars().map(String::from)),
            false => units.push(word),
        }
    }
    units
}

/// What language models say when they speak about their task.
const TELLTALES: [&str; 12] = [
    "as an ai",
    "language model",
    "here is the",
    "here's the",
    "here is a",
    "rewritten",
    "enhanced prompt",
    "the user",
    "system prompt",
    "instructions",
    "json",
    "i cannot",
];
/// As many words in a row as nobody writes by chance.
const LEAKED_WORDS: usize = 6;

fn leaks(draft: &Draft, original: &Prepared, enhanced: &str, rules: &Rules) -> bool {
    let (lower, before) = (enhanced.to_lowercase(), original.base.to_lowercase());
    let mut telltales = TELLTALES.iter();
    if telltales.any(|told| find_word(&lower, told, 0).is_some() && !before.contains(told)) {
        return true;
    }
    let Some(template) = rules.template(draft.family) else {
        return false;
    };
    let instructions = lower_words(&template.instructions);
    let told: HashSet<&[String]> = instructions.windows(LEAKED_WORDS).collect();
    // The small model's sentence is in its instructions, as it should be in the answer.
    if template.tiny.is_some() {
        return false;
    }
    let (said, asked) = (lower_words(enhanced), lower_words(&original.base));
    let asked: HashSet<&[String]> = asked.windows(LEAKED_WORDS).collect();
    let mut rows = said.windows(LEAKED_WORDS);
    rows.any(|row| told.contains(row) && !asked.contains(row))
}
