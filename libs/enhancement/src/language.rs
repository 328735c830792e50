//! Which language a prompt is written in.
//!
//! Prompts are short, and n-grams alone are wrong about short texts. So the script decides where it can; then small words
//! ("the", "und", "que") of the languages that prompts are mostly written in; and n-grams (whatlang) for the rest.

mod table;

use whatlang::Lang;

use crate::words::{is_ideographic, lower_words};
use table::{CODES, SMALL_WORDS};

/// A language, by its code of two letters (ISO 639-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(&'static str);

impl Language {
    /// English.
    pub const ENGLISH: Self = Self("en");
    /// Chinese.
    pub const CHINESE: Self = Self("zh");
    /// Japanese.
    pub const JAPANESE: Self = Self("ja");
    /// German.
    pub const GERMAN: Self = Self("de");

    /// The languages that the templates speak.
    pub const WITH_TEMPLATES: [Self; 10] = [
        Self("en"),
        Self("zh"),
        Self("es"),
        Self("hi"),
        Self("ar"),
        Self("fr"),
        Self("pt"),
        Self("ru"),
        Self("de"),
        Self("ja"),
    ];

    /// Its code of two letters.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.0
    }

    /// The language of a code such as `pt` or `pt-BR`, if it is one that can be detected.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        let code = code.split(['-', '_']).next()?;
        let mut codes = CODES.iter().map(|(_, known)| *known);
        codes
            .find(|known| known.eq_ignore_ascii_case(code))
            .map(Self)
    }

    /// Whether the templates speak it.
    #[must_use]
    pub fn has_templates(self) -> bool {
        Self::WITH_TEMPLATES.contains(&self)
    }

    /// Words of it without a meaning of their own, in lower case; none for most languages.
    pub(crate) fn small_words(self) -> &'static [&'static str] {
        let list = SMALL_WORDS.iter().find(|(code, _)| *code == self.0);
        list.map_or(&[], |(_, words)| *words)
    }

    fn of(lang: Lang) -> Option<Self> {
        let found = CODES.iter().find(|(known, _)| *known == lang);
        found.map(|(_, code)| Self(code))
    }
}

/// What a text seems to be written in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The best guess; none where there are no letters or nothing speaks for any language.
    pub language: Option<Language>,
    /// From 0 (no idea) to 1.
    pub confidence: f64,
    /// Whether the guess should be acted on.
    pub is_reliable: bool,
    /// Whether a good part of the letters belongs to another script than the rest.
    pub is_mixed: bool,
}

impl Detection {
    const UNKNOWN: Self = Self {
        language: None,
        confidence: 0.0,
        is_reliable: false,
        is_mixed: false,
    };
}

/// How many characters of a text are looked at. More make it slower and no surer.
const MAX_CHARS: usize = 2000;
/// A second script is worth mentioning from this part of all letters on.
const MIXED_SHARE: f64 = 0.2;

/// Finds the language of a text of any length, the empty one included.
#[must_use]
pub fn detect(text: &str) -> Detection {
    let text: String = text.chars().take(MAX_CHARS).collect();
    let scripts = Scripts::of(&text);
    let Some((script, share)) = scripts.leading() else {
        return Detection::UNKNOWN;
    };
    let is_mixed = share <= 1.0 - MIXED_SHARE;
    let by_script = |language| Detection {
        language: Some(language),
        confidence: share,
        is_reliable: share > 0.5,
        is_mixed,
    };
    let found = match script {
        Script::Ideographic if scripts.kana > 0.0 => by_script(Language::JAPANESE),
        Script::Ideographic => by_script(Language::CHINESE),
        Script::Hangul => by_script(Language("ko")),
        Script::Devanagari => by_ngrams(&text, &[Lang::Hin, Lang::Mar, Lang::Nep], "hi"),
        Script::Arabic => by_ngrams(&text, &[Lang::Ara, Lang::Pes, Lang::Urd], "ar"),
        // Letters that Russian does not have.
        Script::Cyrillic if text.contains('ў') => by_script(Language("be")),
        Script::Cyrillic if text.contains(['і', 'ї', 'є', 'ґ']) => by_script(Language("uk")),
        Script::Cyrillic => by_small_words(&text, CYRILLIC)
            .unwrap_or_else(|| by_ngrams(&text, CYRILLIC_NGRAMS, "ru")),
        Script::Latin => by_small_words(&text, LATIN).unwrap_or_else(|| latin_by_ngrams(&text)),
        Script::Other => other(&text),
    };
    Detection { is_mixed, ..found }
}

const CYRILLIC: &[&str] = &["ru"];
const CYRILLIC_NGRAMS: &[Lang] = &[
    Lang::Rus,
    Lang::Ukr,
    Lang::Bel,
    Lang::Bul,
    Lang::Srp,
    Lang::Mkd,
];
const LATIN: &[&str] = &["en", "es", "fr", "pt", "de"];

/// The language whose small words are the most; n-grams decide between those that have as many.
fn by_small_words(text: &str, among: &[&str]) -> Option<Detection> {
    let words = lower_words(text);
    let counts: Vec<(Language, usize)> = among
        .iter()
        .filter_map(|code| Language::from_code(code))
        .map(|language| {
            let small = language.small_words();
            let is_small = |word: &&String| small.contains(&word.as_str());
            (language, words.iter().filter(is_small).count())
        })
        .collect();
    let most = counts.iter().map(|(_, count)| *count).max()?;
    let share = ratio(most, words.len());
    // One word in twelve: a language that only lends a name or a title has fewer.
    if most == 0 || share < 0.08 {
        return None;
    }
    let leaders = counts.iter().filter(|(_, count)| *count == most);
    let leaders: Vec<Language> = leaders.map(|(language, _)| *language).collect();
    let language = match leaders.as_slice() {
        [language] => *language,
        several => {
            let codes = CODES.iter();
            let langs = codes.filter(|(_, code)| several.contains(&Language(code)));
            let detector =
                whatlang::Detector::with_allowlist(langs.map(|(lang, _)| *lang).collect());
            Language::of(detector.detect_lang(text)?)?
        }
    };
    Some(Detection {
        language: Some(language),
        confidence: (0.5 + share).min(1.0),
        is_reliable: true,
        is_mixed: false,
    })
}

/// The best of some languages of one script; the usual one where the text is too short to say.
fn by_ngrams(text: &str, among: &[Lang], usual: &str) -> Detection {
    let detector = whatlang::Detector::with_allowlist(among.to_vec());
    let info = detector.detect(text).filter(whatlang::Info::is_reliable);
    let language = info.as_ref().and_then(|info| Language::of(info.lang()));
    Detection {
        language: language.or_else(|| Language::from_code(usual)),
        confidence: info.map_or(0.6, |info| info.confidence()),
        is_reliable: true,
        is_mixed: false,
    }
}

fn latin_by_ngrams(text: &str) -> Detection {
    // Tongues of few speakers and many short words win far too often on a few words.
    let detector = whatlang::Detector::with_denylist(vec![
        Lang::Epo,
        Lang::Lat,
        Lang::Sna,
        Lang::Zul,
        Lang::Aka,
        Lang::Jav,
    ]);
    let Some(info) = detector.detect(text) else {
        return Detection::UNKNOWN;
    };
    let words = lower_words(text).len();
    Detection {
        language: Language::of(info.lang()),
        confidence: info.confidence(),
        is_reliable: info.is_reliable() && words >= 4,
        is_mixed: false,
    }
}

fn other(text: &str) -> Detection {
    let Some(info) = whatlang::detect(text) else {
        return Detection::UNKNOWN;
    };
    Detection {
        language: Language::of(info.lang()),
        confidence: info.confidence(),
        is_reliable: info.is_reliable(),
        is_mixed: false,
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Script {
    Latin,
    Ideographic,
    Hangul,
    Devanagari,
    Arabic,
    Cyrillic,
    Other,
}

/// How much of a text is written in which script.
#[derive(Default)]
struct Scripts {
    letters: [f64; 7],
    kana: f64,
}

impl Scripts {
    fn of(text: &str) -> Self {
        let mut scripts = Self::default();
        for character in text.chars().filter(|character| character.is_alphabetic()) {
            // A character of these says as much as a short word of the others.
            let (script, weight) = match character {
                character if is_ideographic(character) => (Script::Ideographic, 2.5),
                '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => (Script::Hangul, 2.0),
                '\u{900}'..='\u{97f}' => (Script::Devanagari, 1.0),
                '\u{600}'..='\u{6ff}'
                | '\u{750}'..='\u{77f}'
                | '\u{fb50}'..='\u{fdff}'
                | '\u{fe70}'..='\u{fefc}' => (Script::Arabic, 1.0),
                '\u{400}'..='\u{52f}' => (Script::Cyrillic, 1.0),
                'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => {
                    (Script::Latin, 1.0)
                }
                _ => (Script::Other, 1.0),
            };
            if matches!(character, '\u{3040}'..='\u{30ff}') {
                scripts.kana += weight;
            }
            scripts.letters[script as usize] += weight;
        }
        scripts
    }

    /// The script of most letters, and its part of all.
    fn leading(&self) -> Option<(Script, f64)> {
        const ALL: [Script; 7] = [
            Script::Latin,
            Script::Ideographic,
            Script::Hangul,
            Script::Devanagari,
            Script::Arabic,
            Script::Cyrillic,
            Script::Other,
        ];
        let total: f64 = self.letters.iter().sum();
        let most = ALL
            .into_iter()
            .map(|script| (script, self.letters[script as usize]))
            .fold(None, |best: Option<(Script, f64)>, next| match best {
                Some(best) if best.1 >= next.1 => Some(best),
                _ => Some(next),
            })?;
        (most.1 > 0.0).then(|| (most.0, most.1 / total))
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    let part = u32::try_from(part).unwrap_or(u32::MAX);
    let whole = u32::try_from(whole.max(1)).unwrap_or(u32::MAX);
    f64::from(part) / f64::from(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str) {
        let found = detect(text);
        assert_eq!(
            found.language.map(Language::code),
            Some(code),
            "{text}: {found:?}"
        );
        assert!(found.is_reliable, "{text}: {found:?}");
    }

    #[test]
    fn short_prompts_are_recognised_in_the_ten_languages() {
        check("a red circle moves right", "en");
        check("A dog on the beach", "en");
        check("一只猫在雪地里奔跑", "zh");
        check("un perro corre por la playa", "es");
        check("एक लड़की बारिश में नाच रही है", "hi");
        check("قطة تجلس على النافذة", "ar");
        check("une femme marche dans la rue", "fr");
        check("um homem anda na chuva com um cachorro", "pt");
        check("девочка бежит по полю", "ru");
        check("ein Hund läuft durch den Schnee", "de");
        check("猫が雪の中を走っている", "ja");
    }

    #[test]
    fn other_languages_are_recognised_too() {
        check("고양이가 눈 위를 달린다", "ko");
        check(
            "een oude man loopt langzaam met zijn hond door het park in de regen",
            "nl",
        );
        check(
            "стара жінка їде на велосипеді крізь осінній ліс і співає",
            "uk",
        );
    }

    #[test]
    fn languages_that_share_small_words_are_told_apart() {
        check("un faro en la tormenta", "es");
        check("dos ancianos juegan al ajedrez", "es");
        check("Ink spreads in clear water", "en");
        check("un homme dans un bateau", "fr");
    }

    #[test]
    fn nothing_is_made_of_no_letters() {
        for text in ["", "  ", "123 !?", "🙂🙂"] {
            assert_eq!(detect(text), Detection::UNKNOWN, "{text}");
        }
    }

    #[test]
    fn two_scripts_are_seen_and_the_greater_one_decides() {
        let found = detect("一只穿着和服的猫 walking slowly");
        assert_eq!(found.language, Some(Language::CHINESE));
        assert!(found.is_mixed);
        assert!(!detect("a cat named 小 that walks along the long river bank").is_mixed);
    }

    #[test]
    fn codes_are_read_with_and_without_a_region() {
        assert_eq!(Language::from_code("pt-BR").map(Language::code), Some("pt"));
        assert_eq!(Language::from_code("EN"), Some(Language::ENGLISH));
        assert_eq!(Language::from_code("xx"), None);
        assert_eq!(Language::from_code(""), None);
    }

    #[test]
    fn a_long_text_is_looked_at_in_part() {
        check(&"the cat and the dog ".repeat(10_000), "en");
    }
}
