//! A draft that was checked and taken apart: what the rules, the language model and the judge start from.

use crate::characters::traits;
use crate::clean::{Cleaned, clean};
use crate::draft::{
    Character, Draft, DraftError, Family, MAX_CHARACTERS, MAX_NAME_CHARS, MAX_PROMPT_BYTES,
    MAX_SHEET_CHARS, MAX_STYLE_CHARS, Tags,
};
use crate::language::{Language, detect};
use crate::rules::Rules;
use crate::speech::{mark_speech, without_quotes};
use crate::tags::{self, Piece, TagError};

/// A draft in parts.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// Text and speech, in order.
    pub pieces: Vec<Piece>,
    /// What is heard, as it was written.
    pub audio: Option<String>,
    /// The whole prompt as the family reads it, with nothing added.
    pub base: String,
    /// The language of the scene, where it is known or can be guessed.
    pub language: Option<Language>,
    /// The language to add phrases in; none where there are no templates for it.
    pub speaks: Option<Language>,
    pub characters: Vec<Character>,
    pub style: Option<String>,
    /// What the caller does not want to see; empty for the family's own.
    pub negative: String,
    pub used: Vec<String>,
    pub notes: Vec<String>,
}

impl Prepared {
    /// Checks and reads a draft.
    pub fn of(draft: &Draft, rules: &Rules) -> Result<Self, DraftError> {
        check_bytes("prompt", draft.prompt)?;
        check_bytes("negative_prompt", draft.negative_prompt)?;
        let characters = characters(draft.characters)?;
        let style = draft
            .style
            .map(|style| short("style", style, MAX_STYLE_CHARS));
        let style = style.transpose()?.filter(|style| !style.is_empty());
        let cleaned = clean(draft.prompt);
        if cleaned.text.is_empty() {
            return Err(DraftError::Empty);
        }
        let mut notes = Vec::new();
        if cleaned.removed > 0 {
            notes.push(format!(
                "{} invisible characters were removed",
                cleaned.removed
            ));
        }
        let mut prepared = Self {
            pieces: Vec::new(),
            audio: None,
            base: String::new(),
            language: None,
            speaks: None,
            characters,
            style,
            negative: clean(draft.negative_prompt).text,
            used: Vec::new(),
            notes,
        };
        prepared.read(draft, &cleaned, rules)?;
        Ok(prepared)
    }

    fn read(&mut self, draft: &Draft, cleaned: &Cleaned, rules: &Rules) -> Result<(), DraftError> {
        let markup = tags::parse(&cleaned.text, draft.family).map_err(|error| TagError {
            position: cleaned.origin(error.position),
            ..error
        })?;
        self.decide_language(draft, &markup.pieces);
        self.notes.extend(markup.notes);
        let (base, notes) = tags::write(&markup.pieces, draft.family);
        self.notes.extend(notes);
        if base != cleaned.text {
            self.used.push("tags".to_owned());
        }
        let mut pieces = self.take_audio(draft, markup.pieces);
        if draft.family.has_sound() {
            let (marked, count) = mark_speech(pieces, rules.cues(), self.language);
            pieces = marked;
            if count > 0 {
                self.used.push("speech".to_owned());
            }
        }
        self.pieces = pieces;
        self.base = self.written(draft, &self.pieces);
        match self.base.is_empty() {
            true => Err(DraftError::Empty),
            false => Ok(()),
        }
    }

    /// Keeps the sound apart; what stood on either side of it is one text, as it will be when it is read again.
    fn take_audio(&mut self, draft: &Draft, pieces: Vec<Piece>) -> Vec<Piece> {
        let mut rest: Vec<Piece> = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Audio(sound) if draft.family.has_sound() => match &mut self.audio {
                    Some(audio) => {
                        audio.push(' ');
                        audio.push_str(&sound);
                    }
                    None => self.audio = Some(sound),
                },
                Piece::Audio(_) => {}
                Piece::Text(text) => match rest.last_mut() {
                    Some(Piece::Text(before)) => tags::push_spaced(before, &text),
                    _ => rest.push(Piece::Text(text)),
                },
                speech @ Piece::Speech(_) => rest.push(speech),
            }
        }
        rest
    }

    /// The scene without speech and sound, for whoever asks what it says.
    pub fn scene(&self) -> String {
        scene(&self.pieces)
    }

    /// What is said and heard.
    pub fn tags(&self) -> Tags {
        let speech = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Speech(words) => Some(words.clone()),
            Piece::Text(_) | Piece::Audio(_) => None,
        });
        Tags {
            speech: speech.collect(),
            audio: self.audio.clone(),
        }
    }

    /// A prompt of these pieces and the sound of the draft.
    pub fn written(&self, draft: &Draft, pieces: &[Piece]) -> String {
        write(draft, pieces, self.audio.as_deref())
    }

    /// Finds the language of the scene, and says so where what is added is in another one.
    fn decide_language(&mut self, draft: &Draft, pieces: &[Piece]) {
        let mut scene = scene(pieces);
        // Names and sheets are what they are, whatever the language of the scene.
        for character in &self.characters {
            for part in traits(character).chain([character.name.as_str()]) {
                scene = scene.replace(part, " ");
            }
        }
        let found = detect(&scene);
        self.language = draft
            .language
            .or(found.language.filter(|_| found.is_reliable));
        let is_ascii = scene
            .chars()
            .filter(|it| it.is_alphabetic())
            .all(|it| it.is_ascii());
        self.speaks = match self.language {
            Some(language) => Some(language).filter(|language| language.has_templates()),
            None if is_ascii => Some(Language::ENGLISH),
            None => None,
        };
        if draft.family == Family::Tiny {
            // Nothing is added to its sentence in any language.
            return;
        }
        let note = match (self.language, self.speaks) {
            (Some(language), None) => {
                format!(
                    "there are no templates in {}: nothing was added in it",
                    language.code()
                )
            }
            (None, None) => "the language is not known: nothing was added in it".to_owned(),
            (None, Some(_)) => "the language is not certain: English is assumed".to_owned(),
            (Some(_), Some(language)) if found.is_mixed => {
                format!(
                    "the prompt mixes scripts: what is added is in {}",
                    language.code()
                )
            }
            (Some(_), Some(_)) => return,
        };
        self.notes.push(note);
    }
}

/// A prompt for the draft's family.
pub(crate) fn write(draft: &Draft, pieces: &[Piece], audio: Option<&str>) -> String {
    let mut all = pieces.to_vec();
    all.extend(audio.map(|audio| Piece::Audio(audio.to_owned())));
    tags::write(&all, draft.family).0
}

fn scene(pieces: &[Piece]) -> String {
    let mut scene = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => scene.push_str(&without_quotes(text)),
            Piece::Speech(_) | Piece::Audio(_) => scene.push(' '),
        }
    }
    scene
}

fn characters(given: &[Character]) -> Result<Vec<Character>, DraftError> {
    if given.len() > MAX_CHARACTERS {
        return Err(DraftError::TooLong {
            field: "characters",
            max: MAX_CHARACTERS,
            unit: "entries",
        });
    }
    let mut characters = Vec::new();
    for character in given {
        let name = short("characters.name", &character.name, MAX_NAME_CHARS)?;
        if name.is_empty() {
            return Err(DraftError::Nameless);
        }
        let sheet = short("characters.sheet", &character.sheet, MAX_SHEET_CHARS)?;
        characters.push(Character {
            name: plain(&name),
            sheet: plain(&sheet),
        });
    }
    Ok(characters)
}

/// Without what would become markup in a prompt, or break the parentheses that it stands in.
fn plain(text: &str) -> String {
    let plain = text
        .replace(['<', '>', '(', ')', '"'], " ")
        .replace("Audio:", " ");
    clean(&plain).text
}

fn short(field: &'static str, text: &str, max: usize) -> Result<String, DraftError> {
    // Before it is cleaned, or a megabyte of nothing would pass.
    if text.chars().nth(max).is_some() {
        return Err(DraftError::TooLong {
            field,
            max,
            unit: "characters",
        });
    }
    Ok(plain(text))
}

const fn check_bytes(field: &'static str, text: &str) -> Result<(), DraftError> {
    if text.len() > MAX_PROMPT_BYTES {
        return Err(DraftError::TooLong {
            field,
            max: MAX_PROMPT_BYTES,
            unit: "bytes",
        });
    }
    Ok(())
}
