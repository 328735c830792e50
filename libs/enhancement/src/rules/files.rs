//! Files of templates: their fields, and what has to hold of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Problem, Rules};
use crate::cues::{Cues, Reading};
use crate::draft::{Family, Mode};
use crate::language::Language;

/// The most tokens that any of the encoders reads.
pub(super) const MAX_TOKENS: usize = 512;
/// The most bytes of one phrase.
const MAX_PHRASE_BYTES: usize = 400;

/// Texts by language code.
pub(crate) type Phrases = BTreeMap<String, String>;

/// What a family's file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    /// The most tokens of a prompt, the end mark included.
    pub max_tokens: usize,
    /// What a language model is told before it rewrites a prompt.
    pub instructions: String,
    /// Languages in whose script the encoder has no tokens: nothing is added in them.
    #[serde(default)]
    pub unread: Vec<String>,
    /// The negative prompt where none is given.
    #[serde(default)]
    pub negative: Phrases,
    /// What goes before it when a first picture is given.
    #[serde(default)]
    pub negative_image: Phrases,
    /// What goes before it when the first and the last picture are given.
    #[serde(default)]
    pub negative_first_last: Phrases,
    /// The sentence of a style that the caller names, with `{style}` in it.
    #[serde(default)]
    pub style: Phrases,
    /// In order of importance.
    #[serde(default, rename = "addition")]
    pub additions: Vec<Addition>,
    /// What is heard.
    #[serde(default, rename = "sound")]
    pub sounds: Vec<Sound>,
    /// The world of the small model.
    pub tiny: Option<TinyTemplate>,
}

/// A sentence that is added where nothing says it yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Addition {
    /// Its name in `used`, behind the family's.
    pub id: String,
    /// The group of cues that shows that it is said already.
    pub facet: String,
    /// Groups of cues with which it does not go.
    #[serde(default)]
    pub unless: Vec<String>,
    /// Modes in which it makes sense; all when there are none.
    #[serde(default)]
    pub modes: Vec<String>,
    /// Alternatives by language code.
    pub phrases: BTreeMap<String, Vec<String>>,
}

/// A part of the description of the sound.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sound {
    /// `speech`, `otherwise` or a group of cues.
    pub when: String,
    /// By language code.
    pub phrases: Phrases,
}

/// What the small model can draw, and what it is called.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TinyTemplate {
    /// With `{colour}`, `{shape}`, `{motion}` and `{background}`.
    pub sentence: String,
    /// Where none is named.
    pub background: String,
    /// Where none is named.
    pub motion: String,
    /// One of these where none is named.
    pub colours: Vec<String>,
    pub background_words: Vec<String>,
    pub counts: Vec<String>,
    pub known: Vec<String>,
    pub shape: BTreeMap<String, Vec<String>>,
    pub colour: BTreeMap<String, Vec<String>>,
    pub backdrop: BTreeMap<String, Vec<String>>,
    #[serde(rename = "move")]
    pub moves: BTreeMap<String, Move>,
}

/// A motion of the small model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    /// As the model knows it.
    pub say: String,
    /// As people say it.
    pub read: Vec<String>,
}

const EMBEDDED: [(&str, &str); 5] = [
    ("cues.toml", include_str!("../../data/cues.toml")),
    ("tiny.toml", include_str!("../../data/tiny.toml")),
    ("wan.toml", include_str!("../../data/wan.toml")),
    ("mochi.toml", include_str!("../../data/mochi.toml")),
    ("ovi.toml", include_str!("../../data/ovi.toml")),
];

/// Groups that the code asks for by name.
const NEEDED_GROUPS: [&str; 3] = ["speech", "written", "style"];

type Parsed = (Cues, BTreeMap<Family, Arc<Template>>);

/// Reads all files, the given ones in place of those that are embedded.
pub(super) fn parse(given: &BTreeMap<String, String>) -> Result<Parsed, Vec<Problem>> {
    let mut problems = Vec::new();
    for name in given.keys() {
        if !Rules::FILES.contains(&name.as_str()) {
            let known = Rules::FILES.join(", ");
            problems.push(problem(
                name,
                "",
                format!("not a file of templates; there are {known}"),
            ));
        }
    }
    let cues = read_cues(given, &mut problems);
    let mut templates = BTreeMap::new();
    for (name, _) in EMBEDDED.iter().skip(1) {
        let Some(template) = read::<Template>(name, given, &mut problems) else {
            continue;
        };
        check(name, &template, &cues, &mut problems);
        let template = Arc::new(template);
        for family in families(name) {
            templates.insert(*family, Arc::clone(&template));
        }
    }
    match problems.is_empty() {
        true => Ok((cues, templates)),
        false => Err(problems),
    }
}

fn families(file: &str) -> &'static [Family] {
    match file {
        "tiny.toml" => &[Family::Tiny],
        "wan.toml" => &[Family::Wan],
        "mochi.toml" => &[Family::Mochi],
        _ => &[Family::Ovi720, Family::Ovi960],
    }
}

fn read_cues(given: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Cues {
    let name = "cues.toml";
    let Some(groups) = read(name, given, problems) else {
        return Cues::default();
    };
    let (cues, wrong) = Cues::parse(groups);
    let wrong = wrong.into_iter();
    problems.extend(wrong.map(|(field, message)| problem(name, &field, message)));
    for group in NEEDED_GROUPS {
        if !cues.has_group(group) {
            problems.push(problem(name, group, "is missing".to_owned()));
        }
    }
    cues
}

fn read<T: DeserializeOwned>(
    name: &str,
    given: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let embedded = EMBEDDED.iter().find(|(known, _)| *known == name)?.1;
    let text = given.get(name).map_or(embedded, String::as_str);
    match toml::from_str(text) {
        Ok(read) => Some(read),
        Err(error) => {
            let line = error.span().map_or(0, |span| {
                let before = text.get(..span.start).unwrap_or(text);
                before.matches('\n').count() + 1
            });
            problems.push(problem(
                name,
                &format!("line {line}"),
                error.message().to_owned(),
            ));
            None
        }
    }
}

fn check(file: &str, template: &Template, cues: &Cues, problems: &mut Vec<Problem>) {
    let mut report = |field: &str, message: &str| {
        problems.push(problem(file, field, message.to_owned()));
    };
    if !(16..=MAX_TOKENS).contains(&template.max_tokens) {
        report("max_tokens", "must be 16 to 512");
    }
    if template.instructions.trim().is_empty() {
        report("instructions", "must not be empty");
    }
    for code in &template.unread {
        if Language::from_code(code).is_none() {
            report(
                "unread",
                &format!("{code:?} is not a language that can be detected"),
            );
        }
    }
    for (field, phrases) in [
        ("negative", &template.negative),
        ("negative_image", &template.negative_image),
        ("negative_first_last", &template.negative_first_last),
        ("style", &template.style),
    ] {
        check_phrases(field, phrases.iter(), &mut report);
    }
    for (code, style) in &template.style {
        if !style.contains("{style}") {
            report(&format!("style.{code}"), "must contain {style}");
        }
    }
    for (index, addition) in template.additions.iter().enumerate() {
        check_addition(&format!("addition.{index}"), addition, cues, &mut report);
    }
    for (index, sound) in template.sounds.iter().enumerate() {
        let field = format!("sound.{index}");
        check_phrases(&field, sound.phrases.iter(), &mut report);
        let is_known = sound.when == "otherwise" || cues.has_group(&sound.when);
        if !is_known {
            report(
                &format!("{field}.when"),
                "is neither a group of cues nor `otherwise`",
            );
        }
    }
    match &template.tiny {
        Some(world) => check_world(world, &mut report),
        None if file == "tiny.toml" => report("tiny", "is missing"),
        None => {}
    }
}

fn check_addition(
    field: &str,
    addition: &Addition,
    cues: &Cues,
    report: &mut impl FnMut(&str, &str),
) {
    for group in std::iter::once(&addition.facet).chain(&addition.unless) {
        if !cues.has_group(group) {
            report(
                field,
                &format!("there is no group of cues called {group:?}"),
            );
        }
    }
    for mode in &addition.modes {
        if Mode::from_id(mode).is_none() {
            report(
                &format!("{field}.modes"),
                "must be text, image or first-last",
            );
        }
    }
    let phrases = addition.phrases.iter();
    let all = phrases.flat_map(|(code, list)| list.iter().map(move |phrase| (code, phrase)));
    check_phrases(field, all.clone(), report);
    for (code, phrase) in all {
        // Or the next pass would find it missing again.
        let language = Language::from_code(code);
        if !cues.has(&addition.facet, language, &Reading::of(phrase)) {
            let message = format!("{phrase:?} has no cue of {}", addition.facet);
            report(&format!("{field}.phrases.{code}"), &message);
        }
    }
}

fn check_phrases<'a>(
    field: &str,
    phrases: impl Iterator<Item = (&'a String, &'a String)>,
    report: &mut impl FnMut(&str, &str),
) {
    for (code, phrase) in phrases {
        let field = format!("{field}.{code}");
        if !Language::from_code(code).is_some_and(Language::has_templates) {
            report(&field, "not a language of the templates");
        }
        if phrase.trim() != phrase || phrase.is_empty() || phrase.len() > MAX_PHRASE_BYTES {
            report(&field, "must be 1 to 400 bytes with no blanks around");
        }
        if phrase.contains(['<', '>', '"', '\n']) || phrase.contains("Audio:") {
            report(&field, "must have no tags, quotation marks or line ends");
        }
    }
}

fn check_world(world: &TinyTemplate, report: &mut impl FnMut(&str, &str)) {
    for part in ["{colour}", "{shape}", "{motion}", "{background}"] {
        if !world.sentence.contains(part) {
            report("tiny.sentence", &format!("must contain {part}"));
        }
    }
    if !world.backdrop.contains_key(&world.background) {
        report("tiny.background", "is not one of tiny.backdrop");
    }
    if !world.moves.contains_key(&world.motion) {
        report("tiny.motion", "is not one of tiny.move");
    }
    let is_colour = |colour: &String| world.colour.contains_key(colour);
    if world.colours.is_empty() || !world.colours.iter().all(is_colour) {
        report("tiny.colours", "must be some of tiny.colour");
    }
}

fn problem(file: &str, field: &str, message: String) -> Problem {
    Problem {
        file: file.to_owned(),
        field: field.to_owned(),
        message,
    }
}
