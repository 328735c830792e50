//! Terms of ten languages, in groups that rules speak of, and where a text has them.
//!
//! The terms are data (`data/lexicon/`, a file a language). `word` stands by itself, `word*` may go on, `*word` may have
//! something before it. `{age}` is each age below 18, in digits and in the language's own words.

mod automaton;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use self::automaton::Automaton;
use crate::normalize::Scan;
use crate::policy::{PolicyError, Problem};

/// The language files: code, and what it has.
pub(crate) const LANGUAGES: [(&str, &str); 10] = [
    ("ar", include_str!("../data/lexicon/ar.toml")),
    ("de", include_str!("../data/lexicon/de.toml")),
    ("en", include_str!("../data/lexicon/en.toml")),
    ("es", include_str!("../data/lexicon/es.toml")),
    ("fr", include_str!("../data/lexicon/fr.toml")),
    ("hi", include_str!("../data/lexicon/hi.toml")),
    ("ja", include_str!("../data/lexicon/ja.toml")),
    ("pt", include_str!("../data/lexicon/pt.toml")),
    ("ru", include_str!("../data/lexicon/ru.toml")),
    ("zh", include_str!("../data/lexicon/zh.toml")),
];

/// The first age that is nobody's who is a minor.
const ADULT_AGE: u32 = 18;

/// Ordinary words that have a term of another group in them: hits inside of these are none.
const SENSES: &str = "senses";

/// Words about things, not for them: they ease the rules that say so.
pub(crate) const CONTEXTS: &str = "context";

/// Words that say that something is not to be seen.
pub(crate) const NEGATIONS: &str = "negation";

/// The phrases of the operator's list.
pub(crate) const ALLOWED: &str = "operator_allowed";

/// What makes an assessment milder. It counts only as it stands: were disguises of it undone, invisible characters could make
/// such a phrase of a text that is refused without them.
const MILDER: [&str; 4] = [SENSES, CONTEXTS, NEGATIONS, ALLOWED];

/// How many phrases that start before a hit are asked whether they cover it.
const COVER_CANDIDATES: usize = 8;

/// Given names. One is a hit as [`FULL_NAME`] only with a family name behind it.
const GIVEN_NAMES: &str = "given_name";

/// Words such as `my`, and people that somebody has, such as a neighbour: near to each other they are a [`REAL_PERSON`].
const OWN: &str = "own";
const RELATION: &str = "relation";

/// The group of people who are real.
const REAL_PERSON: &str = "real_person";

/// How far a relation is behind the word that makes it one's own, in places: three words.
const RELATION_PLACES: u32 = 6;

/// The group of names that are followed by another.
pub(crate) const FULL_NAME: &str = "full_name";

/// Under what the hints of a group are found.
pub(crate) fn hints_of(group: &str) -> String {
    format!("{group}?")
}

/// A term that a text has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Which glyphs it is.
    pub glyphs: Range<usize>,
    /// Where it starts, as [`Scan::places`].
    pub place: u32,
}

/// The hits of a text, by group and in the order of the text.
pub(crate) type Hits = BTreeMap<String, Vec<Hit>>;

/// A term as the automata want it.
pub(crate) struct Term {
    /// Which group it is of.
    pub group: String,
    /// What it is, without the stars.
    pub text: String,
    /// Whether something may come before it in the same word.
    pub is_open_before: bool,
    /// Whether the word may go on behind it.
    pub is_open_after: bool,
}

/// All terms.
pub(crate) struct Lexicon {
    plain: Automaton,
    undisguised: Automaton,
}

/// The terms of all languages, which every moderator without terms of an operator's shares.
static BUILT_IN: LazyLock<Result<Arc<Lexicon>, PolicyError>> =
    LazyLock::new(|| Lexicon::build(Vec::new()).map(Arc::new));

impl Lexicon {
    /// The terms of all languages, and more in groups of their own.
    pub fn load(more: Vec<Term>) -> Result<Arc<Self>, PolicyError> {
        match more.is_empty() {
            true => BUILT_IN.clone(),
            false => Self::build(more).map(Arc::new),
        }
    }

    fn build(more: Vec<Term>) -> Result<Self, PolicyError> {
        let mut terms = more;
        let mut prefixes = BTreeSet::new();
        let mut problems = Vec::new();
        for (language, file) in LANGUAGES {
            match toml::from_str::<LanguageFile>(file) {
                Ok(file) => {
                    prefixes.extend(file.prefixes.iter().cloned());
                    terms.extend(file.terms());
                }
                Err(error) => problems.push(Problem::of(language, error.message())),
            }
        }
        if !problems.is_empty() {
            return Err(PolicyError { problems });
        }
        Ok(Self {
            plain: Automaton::plain(&terms, &prefixes)?,
            undisguised: Automaton::undisguised(&terms, &prefixes)?,
        })
    }

    /// Which terms a text has.
    pub fn hits(&self, scan: &Scan, text: &str) -> Hits {
        let mut hits = Hits::new();
        let mut views = scan.views.iter();
        if let Some(view) = views.next() {
            self.plain.find(view, scan, &mut hits, |_| true);
        }
        for view in views {
            self.plain.find(view, scan, &mut hits, is_objectionable);
        }
        for view in &scan.undisguised {
            self.undisguised
                .find(view, scan, &mut hits, is_objectionable);
        }
        let mut senses = hits.remove(SENSES).unwrap_or_default();
        senses.sort_by_key(|sense| sense.glyphs.start);
        let names = hits.remove(GIVEN_NAMES).unwrap_or_default();
        let full = names
            .into_iter()
            .filter(|hit| is_full_name(hit, scan, text));
        hits.insert(FULL_NAME.to_owned(), full.collect());
        let mut own = hits.remove(OWN).unwrap_or_default();
        own.sort_by_key(|hit| hit.place);
        let relations = hits.remove(RELATION).unwrap_or_default();
        let of_somebody = relations.into_iter().filter(|hit| is_owned(hit, &own));
        hits.entry(REAL_PERSON.to_owned())
            .or_default()
            .extend(of_somebody);
        for group in hits.values_mut() {
            group.retain(|hit| !is_covered(&senses, hit));
            group.sort_by_key(|hit| (hit.glyphs.start, hit.glyphs.end));
            group.dedup();
        }
        hits
    }
}

impl Hit {
    /// Whether all of another is within this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.glyphs.start <= other.glyphs.start && other.glyphs.end <= self.glyphs.end
    }

    /// How many places are between the starts of two. More hits in a text then never make the nearest one farther.
    pub fn distance(&self, other: &Self) -> u32 {
        self.place.abs_diff(other.place)
    }
}

impl Term {
    /// A term as it is written in data.
    pub fn parse(group: &str, written: &str) -> Self {
        let text = written.strip_prefix('*');
        let (is_open_before, text) = (text.is_some(), text.unwrap_or(written));
        let before = text.strip_suffix('*');
        Self {
            group: group.to_owned(),
            text: before.unwrap_or(text).to_owned(),
            is_open_before,
            is_open_after: before.is_some(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LanguageFile {
    /// Ages below 18 in words.
    #[serde(default)]
    ages: Vec<String>,
    /// What is written as one with the word behind it.
    #[serde(default)]
    prefixes: Vec<String>,
    groups: BTreeMap<String, Vec<String>>,
    /// More terms of these groups, which make a finding unsure.
    #[serde(default)]
    hints: BTreeMap<String, Vec<String>>,
}

impl LanguageFile {
    fn terms(&self) -> Vec<Term> {
        let mut terms = Vec::new();
        let groups = self
            .groups
            .iter()
            .map(|(group, terms)| (group.clone(), terms));
        let hints = self
            .hints
            .iter()
            .map(|(group, terms)| (hints_of(group), terms));
        for (group, written) in groups.chain(hints) {
            for written in written {
                if !written.contains("{age}") {
                    terms.push(Term::parse(&group, written));
                    continue;
                }
                let digits = (1..ADULT_AGE).map(|age| age.to_string());
                for age in digits.chain(self.ages.iter().cloned()) {
                    terms.push(Term::parse(&group, &written.replace("{age}", &age)));
                }
            }
        }
        terms
    }
}

/// Whether a relation has a word before it that makes it somebody's.
fn is_owned(relation: &Hit, own: &[Hit]) -> bool {
    let after = own.partition_point(|hit| hit.place <= relation.place);
    let nearest = after.checked_sub(1).and_then(|at| own.get(at));
    nearest.is_some_and(|own| relation.place - own.place <= RELATION_PLACES)
}

/// Whether one of phrases, which are in order, has all of a hit.
pub(crate) fn is_covered(phrases: &[Hit], hit: &Hit) -> bool {
    let after = phrases.partition_point(|phrase| phrase.glyphs.start <= hit.glyphs.start);
    let before = phrases.get(..after).unwrap_or_default();
    before
        .iter()
        .rev()
        .take(COVER_CANDIDATES)
        .any(|phrase| phrase.covers(hit))
}

fn is_objectionable(group: &str) -> bool {
    !MILDER.contains(&group)
}

/// Whether a given name and the word behind it both start with a capital, in the text as it was sent.
fn is_full_name(hit: &Hit, scan: &Scan, text: &str) -> bool {
    let sent = |glyph: usize| {
        let glyph = scan.glyphs.get(glyph)?;
        text.get(glyph.start..)?.chars().next()
    };
    let is_capital = |glyph: usize| sent(glyph).is_some_and(char::is_uppercase);
    let is_name = is_capital(hit.glyphs.start);
    let is_spaced = sent(hit.glyphs.end) == Some(' ');
    is_name && is_spaced && is_capital(hit.glyphs.end + 1)
}
