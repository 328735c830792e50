//! All terms found in one pass over a view.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use aho_corasick::AhoCorasick;

use super::{Hit, Hits, Term};
use crate::normalize::disguise::STAR;
use crate::normalize::{Scan, View, folded_term, is_boundary, is_kana, undisguised_term};
use crate::policy::{PolicyError, Problem};

/// How many kana a short term has at most.
const MAX_SHORT_KANA: usize = 3;

/// How many letters a prefix has at most, so that long words are not gone through for each of their terms.
const MAX_PREFIX_LETTERS: usize = 8;

/// Finds terms in views of one kind.
pub(super) struct Automaton {
    search: AhoCorasick,
    /// What each pattern of the search stands for.
    meanings: Vec<Vec<Meaning>>,
    prefixes: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Meaning {
    group: String,
    /// Whether it is several words without spaces, which counts inside of what was joined alone.
    is_joined: bool,
    is_open_before: bool,
    is_open_after: bool,
}

impl Automaton {
    /// For the views of words as they stand.
    pub fn plain(terms: &[Term], prefixes: &BTreeSet<String>) -> Result<Self, PolicyError> {
        Self::build(
            terms,
            prefixes,
            |term| vec![folded_term(&term.text)],
            folded_term,
        )
    }

    /// For the views with disguises undone.
    pub fn undisguised(terms: &[Term], prefixes: &BTreeSet<String>) -> Result<Self, PolicyError> {
        let read = |term: &Term| {
            let mut patterns = vec![undisguised_term(&term.text)];
            // As hiragana, short ones are parts of many words.
            patterns.retain(|pattern| !is_short_kana(pattern));
            patterns.extend(
                with_stars(&term.text)
                    .iter()
                    .map(|text| undisguised_term(text)),
            );
            patterns
        };
        Self::build(terms, prefixes, read, undisguised_term)
    }

    fn build(
        terms: &[Term],
        prefixes: &BTreeSet<String>,
        read: impl Fn(&Term) -> Vec<String>,
        read_prefix: impl Fn(&str) -> String,
    ) -> Result<Self, PolicyError> {
        let mut patterns: BTreeMap<String, BTreeSet<Meaning>> = BTreeMap::new();
        for term in terms {
            let meaning = Meaning {
                group: term.group.clone(),
                is_joined: false,
                is_open_before: term.is_open_before,
                is_open_after: term.is_open_after,
            };
            for pattern in read(term).into_iter().filter(|pattern| !pattern.is_empty()) {
                if pattern.contains(' ') {
                    let is_joined = true;
                    let joined = Meaning {
                        is_joined,
                        ..meaning.clone()
                    };
                    patterns
                        .entry(pattern.replace(' ', ""))
                        .or_default()
                        .insert(joined);
                }
                patterns.entry(pattern).or_default().insert(meaning.clone());
            }
        }
        let search = AhoCorasick::new(patterns.keys());
        let search = search.map_err(|error| PolicyError {
            problems: vec![Problem::of("lexicon", &error.to_string())],
        })?;
        let meanings = patterns.into_values().map(|all| all.into_iter().collect());
        Ok(Self {
            search,
            meanings: meanings.collect(),
            prefixes: prefixes.iter().map(|prefix| read_prefix(prefix)).collect(),
        })
    }

    /// Adds the hits of a view that are of wanted groups.
    pub fn find(&self, view: &View, scan: &Scan, hits: &mut Hits, is_wanted: fn(&str) -> bool) {
        for found in self.search.find_overlapping_iter(&view.text) {
            let meanings = self.meanings.get(found.pattern().as_usize());
            let bytes = found.start()..found.end();
            let Some(hit) = hit(view, scan, bytes.clone()) else {
                continue;
            };
            for meaning in meanings.into_iter().flatten() {
                if is_wanted(&meaning.group) && self.stands(meaning, view, &bytes) {
                    match hits.get_mut(&meaning.group) {
                        Some(group) => group.push(hit.clone()),
                        None => drop(hits.insert(meaning.group.clone(), vec![hit.clone()])),
                    }
                }
            }
        }
    }

    /// Whether a term starts and ends where its words do.
    fn stands(&self, meaning: &Meaning, view: &View, bytes: &Range<usize>) -> bool {
        let term = view.text.get(bytes.clone()).unwrap_or_default();
        let min_letters = view.min_joined_letters(bytes);
        if min_letters.is_some_and(|min_letters| term.chars().count() >= min_letters) {
            return true;
        }
        if meaning.is_joined {
            return false;
        }
        let before = view.text.get(..bytes.start).unwrap_or_default();
        let after = view.text.get(bytes.end..).unwrap_or_default();
        let (Some(first), Some(last)) = (term.chars().next(), term.chars().next_back()) else {
            return false;
        };
        if is_short_kana(term) && is_among_katakana(before, after) {
            return false;
        }
        let starts = meaning.is_open_before
            || is_boundary(before.chars().next_back(), first)
            || self.is_prefix(before);
        starts && (meaning.is_open_after || is_boundary(after.chars().next(), last))
    }

    /// Whether all that a word has before a term is a prefix of the language.
    fn is_prefix(&self, before: &str) -> bool {
        let letters = before.char_indices().rev().take(MAX_PREFIX_LETTERS + 1);
        let word = letters.take_while(|(_, ch)| *ch != ' ').last();
        let word = word.and_then(|(start, _)| before.get(start..));
        word.is_some_and(|word| self.prefixes.contains(word))
    }
}

fn hit(view: &View, scan: &Scan, bytes: Range<usize>) -> Option<Hit> {
    let glyphs = view.glyphs(bytes)?;
    let place = *scan.places.get(glyphs.start)?;
    Some(Hit { glyphs, place })
}

/// Whether a term is of one to three kana, so that longer words are likely to have it in them.
fn is_short_kana(term: &str) -> bool {
    let mut syllables = term.chars().filter(|ch| !is_voicing(*ch));
    let count = syllables.clone().count();
    count <= MAX_SHORT_KANA && syllables.all(is_kana)
}

/// Whether a word in katakana goes on before or after a term.
fn is_among_katakana(before: &str, after: &str) -> bool {
    let is_katakana = |ch: char| matches!(ch, '\u{30a1}'..='\u{30ff}') || is_voicing(ch);
    before.chars().next_back().is_some_and(is_katakana)
        || after.chars().next().is_some_and(is_katakana)
}

/// Whether a character only voices the kana before it.
const fn is_voicing(ch: char) -> bool {
    matches!(ch, '\u{3099}' | '\u{309a}')
}

/// A single Latin word with each of its vowels starred out.
fn with_stars(term: &str) -> Vec<String> {
    if term.len() < 3 || !term.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Vec::new();
    }
    let vowels = term
        .char_indices()
        .filter(|(at, ch)| *at > 0 && "aeiou".contains(*ch));
    let starred = vowels.filter_map(|(at, vowel)| {
        let (before, after) = (term.get(..at)?, term.get(at + vowel.len_utf8()..)?);
        Some(format!("{before}{STAR}{after}"))
    });
    starred.collect()
}
