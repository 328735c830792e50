//! Words by which a text shows that it already says something.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::language::Language;
use crate::words;

/// Groups of cues by name, each by language.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cues {
    groups: HashMap<String, HashMap<Language, Vec<Cue>>>,
}

#[derive(Clone, Debug)]
enum Cue {
    /// Counts wherever it stands.
    Inside(String),
    /// Words in a row, and whether each stands for its endings too.
    Words(Vec<(String, bool)>),
}

/// A text made ready to be searched for many cues.
#[derive(Debug)]
pub(crate) struct Reading {
    lower: String,
    words: Vec<(usize, String)>,
    places: BTreeMap<String, Vec<usize>>,
}

impl Reading {
    pub fn of(text: &str) -> Self {
        let lower = text.to_lowercase();
        let found = words::words(&lower).into_iter();
        let words: Vec<_> = found
            .map(|word| (word.start, word.text.to_owned()))
            .collect();
        let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, (_, word)) in words.iter().enumerate() {
            places.entry(word.clone()).or_default().push(place);
        }
        Self {
            lower,
            words,
            places,
        }
    }

    /// The places of words that a first word of a cue stands for.
    fn starts(&self, word: &str, is_prefix: bool) -> Vec<usize> {
        if !is_prefix {
            return self.places.get(word).cloned().unwrap_or_default();
        }
        let from = self
            .places
            .range::<str, _>((Bound::Included(word), Bound::Unbounded));
        let forms = from.take_while(|(form, _)| form.starts_with(word));
        forms
            .flat_map(|(_, places)| places.iter().copied())
            .collect()
    }
}

impl Cue {
    fn parse(text: &str, language: Language) -> Option<Self> {
        let lower = text.to_lowercase();
        if matches!(language.code(), "zh" | "ja" | "hi" | "ar") {
            return (!lower.trim().is_empty()).then(|| Self::Inside(lower.trim().to_owned()));
        }
        let parts = lower.split_whitespace();
        let words: Vec<_> = parts
            .map(|part| match part.strip_suffix('*') {
                Some(stem) => (stem.to_owned(), true),
                None => (part.to_owned(), false),
            })
            .collect();
        let is_sound = |(word, _): &(String, bool)| words::words(word).len() == 1;
        (!words.is_empty() && words.iter().all(is_sound)).then_some(Self::Words(words))
    }

    /// The bytes of the lower-case text where it stands.
    fn places(&self, reading: &Reading) -> Vec<usize> {
        match self {
            Self::Inside(needle) => {
                let found = reading.lower.match_indices(needle.as_str());
                found.map(|(at, _)| at).collect()
            }
            Self::Words(cue) => {
                let Some(((first, is_prefix), rest)) = cue.split_first() else {
                    return Vec::new();
                };
                let starts = reading.starts(first, *is_prefix).into_iter();
                let fits = |place: &usize| {
                    rest.iter().enumerate().all(|(offset, (stem, is_prefix))| {
                        let word = reading.words.get(place + 1 + offset);
                        word.is_some_and(|(_, word)| {
                            word == stem || (*is_prefix && word.starts_with(stem.as_str()))
                        })
                    })
                };
                let found = starts.filter(fits);
                found
                    .filter_map(|place| Some(reading.words.get(place)?.0))
                    .collect()
            }
        }
    }
}

impl Cues {
    /// Reads groups of cues; the second is what is wrong, each with the field.
    pub fn parse(
        groups: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    ) -> (Self, Vec<(String, String)>) {
        let mut cues = Self::default();
        let mut problems = Vec::new();
        for (group, languages) in groups {
            let mut known = HashMap::new();
            for (code, texts) in languages {
                let field = format!("{group}.{code}");
                let Some(language) = Language::from_code(&code).filter(|it| it.has_templates())
                else {
                    problems.push((field, "not a language of the templates".to_owned()));
                    continue;
                };
                let mut list = Vec::new();
                for text in texts {
                    match Cue::parse(&text, language) {
                        Some(cue) => list.push(cue),
                        None => problems.push((field.clone(), format!("{text:?} is no cue"))),
                    }
                }
                known.insert(language, list);
            }
            cues.groups.insert(group, known);
        }
        (cues, problems)
    }

    /// Whether there is a group of this name.
    pub fn has_group(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// Whether a text has a cue of the group, in a language or in English.
    pub fn has(&self, group: &str, language: Option<Language>, reading: &Reading) -> bool {
        let mut cues = self.cues(group, language);
        cues.any(|cue| !cue.places(reading).is_empty())
    }

    /// The first and last byte of the lower-case text where a cue of the group begins.
    pub fn span(
        &self,
        group: &str,
        language: Option<Language>,
        reading: &Reading,
    ) -> Option<(usize, usize)> {
        let places = self
            .cues(group, language)
            .flat_map(|cue| cue.places(reading));
        places.fold(None, |span, place| match span {
            None => Some((place, place)),
            Some((first, last)) => Some((place.min(first), place.max(last))),
        })
    }

    fn cues(&self, group: &str, language: Option<Language>) -> impl Iterator<Item = &Cue> {
        let group = self.groups.get(group);
        let other = language.filter(|language| *language != Language::ENGLISH);
        let languages = [Some(Language::ENGLISH), other];
        let lists = languages
            .into_iter()
            .flatten()
            .filter_map(move |language| group?.get(&language));
        lists.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cues(code: &str, texts: &[&str]) -> Cues {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        let languages = BTreeMap::from([(code.to_owned(), texts)]);
        let (cues, problems) = Cues::parse(BTreeMap::from([("group".to_owned(), languages)]));
        assert!(problems.is_empty(), "{problems:?}");
        cues
    }

    #[track_caller]
    fn check(code: &str, cue: &str, text: &str, expected: bool) {
        let found = cues(code, &[cue]).has("group", Language::from_code(code), &Reading::of(text));
        assert_eq!(found, expected, "{cue} in {text}");
    }

    #[test]
    fn whole_words_prefixes_and_rows_of_words_are_found() {
        check("en", "pan", "A pan left", true);
        check("en", "pan", "a pancake", false);
        check("en", "slow*", "Slowly, it turns", true);
        check("en", "close up*", "a Close-Ups reel", true);
        check("en", "close up", "close the door up", false);
        check("ru", "глубин* резкости", "малая глубина резкости", true);
    }

    #[test]
    fn scripts_without_blanks_are_searched_anywhere() {
        check("zh", "镜头", "一个长镜头里", true);
        check("ar", "كاميرا", "الكاميرا تقترب", true);
    }

    #[test]
    fn english_counts_in_every_language() {
        let cues = cues("en", &["drone"]);
        let reading = Reading::of("плавный drone полёт");
        assert!(cues.has("group", Language::from_code("ru"), &reading));
        assert!(!cues.has("other", None, &reading));
    }

    #[test]
    fn broken_cues_are_reported_with_their_field() {
        let languages = BTreeMap::from([
            ("en".to_owned(), vec!["a-b".to_owned(), String::new()]),
            ("tlh".to_owned(), vec![]),
        ]);
        let (_, problems) = Cues::parse(BTreeMap::from([("g".to_owned(), languages)]));
        let fields: Vec<_> = problems.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["g.en", "g.en", "g.tlh"]);
    }
}
