//! Every prompt of `eval/prompts.tsv`, enhanced and judged.

use std::collections::BTreeMap;
use std::fmt::Write;

use kinora_enhancement::judge::{Fault, judge};
use kinora_enhancement::{Character, Draft, Family, Language, Mode, Rules, language};

const PROMPTS: &str = include_str!("../../eval/prompts.tsv");

/// A line of the file.
#[derive(Debug)]
pub struct Case {
    pub family: Family,
    pub mode: Mode,
    /// ISO 639-1.
    pub language: &'static str,
    pub style: Option<&'static str>,
    pub characters: Vec<Character>,
    pub prompt: &'static str,
}

impl Case {
    pub fn draft(&self) -> Draft<'_> {
        Draft {
            mode: self.mode,
            style: self.style,
            characters: &self.characters,
            ..Draft::new(self.family, self.prompt)
        }
    }
}

/// All lines of the file.
pub fn cases() -> Vec<Case> {
    PROMPTS.lines().skip(1).map(case).collect()
}

fn case(line: &'static str) -> Case {
    let columns: Vec<&str> = line.split('\t').collect();
    let [family, mode, language, style, characters, prompt] = columns.as_slice() else {
        panic!("six columns: {line}");
    };
    let characters = characters.split('|').filter(|text| !text.is_empty());
    let characters = characters.map(|text| {
        let (name, sheet) = text.split_once('=').expect("a name and a sheet");
        Character {
            name: name.to_owned(),
            sheet: sheet.to_owned(),
        }
    });
    Case {
        family: Family::from_id(family).expect("a family"),
        mode: Mode::from_id(mode).expect("a mode"),
        language,
        style: Some(*style).filter(|style| !style.is_empty()),
        characters: characters.collect(),
        prompt,
    }
}

/// What holds of one enhanced prompt.
pub const MEASURES: [&str; 10] = [
    "subject",
    "speech",
    "names",
    "numbers",
    "tags",
    "length",
    "no fault",
    "idempotent",
    "language",
    "changed",
];

/// Which of [`MEASURES`] hold, in their order.
pub fn measure(rules: &Rules, case: &Case) -> [bool; 10] {
    let draft = case.draft();
    let enhanced = rules.enhance(&draft).expect("a draft that can be read");
    let verdict = judge(&draft, &enhanced.prompt, rules).expect("a draft that can be read");
    let again = Draft {
        prompt: &enhanced.prompt,
        ..draft
    };
    let again = rules.enhance(&again).expect("a prompt that can be read");
    let limit = rules.max_tokens(case.family);
    let detected = language::detect(case.prompt).language.map(Language::code);
    [
        verdict.subject >= 1.0,
        !verdict.has(Fault::SpeechChanged),
        !verdict.has(Fault::NameLost),
        !verdict.has(Fault::NumberLost),
        !verdict.has(Fault::TagsInvalid),
        usize::try_from(enhanced.tokens).is_ok_and(|tokens| tokens <= limit),
        verdict.faults.is_empty(),
        again.prompt == enhanced.prompt,
        detected == Some(case.language),
        enhanced.is_changed,
    ]
}

/// How often each measure holds, by a name.
#[derive(Debug, Default)]
pub struct Table(pub BTreeMap<String, (usize, [usize; 10])>);

impl Table {
    pub fn add(&mut self, name: &str, held: [bool; 10]) {
        let (count, sums) = self.0.entry(name.to_owned()).or_default();
        *count += 1;
        for (sum, held) in sums.iter_mut().zip(held) {
            *sum += usize::from(held);
        }
    }

    /// As lines of text, with percentages.
    pub fn print(&self, title: &str) -> String {
        let mut text = format!("{title:<10} {:>7}", "prompts");
        for measure in MEASURES {
            write!(text, " {measure:>10}").expect("a string");
        }
        for (name, (count, sums)) in &self.0 {
            write!(text, "\n{name:<10} {count:>7}").expect("a string");
            for sum in sums {
                let percent = sum * 1000 / count;
                write!(text, " {:>8}.{}", percent / 10, percent % 10).expect("a string");
            }
        }
        text
    }
}
