//! Adding what a prompt lacks, as far as there is room for it.

use super::{Addition, Rules, Template};
use crate::characters;
use crate::cues::Reading;
use crate::draft::{Draft, Enhanced};
use crate::language::Language;
use crate::prepare::{Prepared, write};
use crate::tags::Piece;
use crate::words::{content_units, is_same_stem, is_sentence_end, pick};

/// A prompt that grows as long as it fits.
struct Growing<'a> {
    rules: &'a Rules,
    draft: &'a Draft<'a>,
    pieces: Vec<Piece>,
    /// Sentences behind the pieces.
    tail: Vec<String>,
    audio: Option<String>,
    used: Vec<String>,
    dropped: usize,
}

/// Adds to a draft of a family with templates.
pub(super) fn enhance(
    rules: &Rules,
    draft: &Draft,
    mut prepared: Prepared,
    template: &Template,
) -> Enhanced {
    if rules.count(draft.family, &prepared.base) > template.max_tokens {
        let note = format!(
            "the prompt alone is longer than the {} tokens that the model reads: it was left as it is",
            template.max_tokens
        );
        prepared.notes.push(note);
        return rules.unchanged(draft, prepared);
    }
    let mut growing = Growing {
        rules,
        draft,
        pieces: prepared.pieces.clone(),
        tail: Vec::new(),
        audio: prepared.audio.clone(),
        used: Vec::new(),
        dropped: 0,
    };
    growing.merge_characters(&mut prepared);
    if let Some(language) = prepared.speaks {
        growing.add_sound(&prepared, template, language);
        growing.add_style(&prepared, template, language);
        growing.add_sentences(&prepared, template, language);
    }
    prepared.used.append(&mut growing.used);
    if growing.dropped > 0 {
        let note = format!(
            "{} additions did not fit the model's length",
            growing.dropped
        );
        prepared.notes.push(note);
    }
    let prompt = growing.prompt();
    let mut tags = prepared.tags();
    tags.audio = growing.audio.filter(|_| draft.family.has_sound());
    rules.finish(draft, prompt, tags, prepared)
}

impl Growing<'_> {
    fn prompt(&self) -> String {
        let mut pieces = self.pieces.clone();
        if !self.tail.is_empty() {
            pieces.push(Piece::Text(self.joined_tail()));
        }
        write(self.draft, &pieces, self.audio.as_deref())
    }

    /// The tail with what joins it to the text.
    fn joined_tail(&self) -> String {
        let before = self.pieces.iter().rev().find_map(|piece| match piece {
            Piece::Text(text) => text.trim_end().chars().next_back(),
            Piece::Speech(_) | Piece::Audio(_) => Some('>'),
        });
        let is_unspaced = self.tail.first().is_some_and(|text| text.ends_with('。'));
        let is_hindi = self.tail.first().is_some_and(|text| text.ends_with('।'));
        let ends = before.is_none_or(|before| {
            is_sentence_end(before)
                || matches!(before, '>' | ',' | ';' | ':' | '，' | '；' | '"' | '”')
        });
        let join = match (ends, is_unspaced, is_hindi) {
            (true, true, _) => "",
            (true, false, _) => " ",
            (false, true, _) => "。",
            (false, false, true) => "। ",
            (false, false, false) => ". ",
        };
        let between = if is_unspaced { "" } else { " " };
        format!("{join}{}", self.tail.join(between))
    }

    /// Keeps a change if the prompt still fits with it.
    fn try_out(&mut self, id: &str, change: impl FnOnce(&mut Self)) {
        let before = (self.pieces.clone(), self.tail.clone(), self.audio.clone());
        change(self);
        let family = self.draft.family;
        if self.rules.count(family, &self.prompt()) <= self.rules.max_tokens(family) {
            self.used.push(id.to_owned());
        } else {
            (self.pieces, self.tail, self.audio) = before;
            self.dropped += 1;
        }
    }

    fn merge_characters(&mut self, prepared: &mut Prepared) {
        let names: Vec<String> = prepared
            .characters
            .iter()
            .map(|it| it.name.clone())
            .collect();
        for character in &prepared.characters {
            match characters::merge(&self.pieces, character, &names) {
                characters::Merged::Changed(pieces) => {
                    let id = format!("character:{}", character.name);
                    self.try_out(&id, |growing| growing.pieces = pieces);
                }
                characters::Merged::Known => {}
                characters::Merged::Absent => {
                    let note = format!("{} does not appear in the prompt", character.name);
                    prepared.notes.push(note);
                }
            }
        }
    }

    fn add_sound(&mut self, prepared: &Prepared, template: &Template, language: Language) {
        if !self.draft.family.has_sound() || self.audio.is_some() {
            return;
        }
        let reading = Reading::of(&prepared.scene());
        let cues = self.rules.cues();
        let has_speech = !prepared.tags().speech.is_empty();
        let mut parts = Vec::new();
        let mut has_scene = false;
        for sound in &template.sounds {
            let is_heard = match sound.when.as_str() {
                "speech" => has_speech,
                "otherwise" => !has_scene,
                // More than two make a noise of everything.
                group => parts.len() < 3 && cues.has(group, Some(language), &reading),
            };
            has_scene |= is_heard && sound.when != "speech";
            let phrase = sound.phrases.get(language.code());
            parts.extend(phrase.filter(|_| is_heard).map(String::as_str));
        }
        if parts.is_empty() {
            return;
        }
        let joined = match language.code() {
            "zh" | "ja" => format!("{}。", parts.join("、")),
            "ar" => format!("{}.", parts.join("، ")),
            "hi" => format!("{}।", parts.join(", ")),
            _ => format!("{}.", parts.join(", ")),
        };
        self.try_out("ovi.sound", |growing| growing.audio = Some(joined));
    }

    /// A style that the caller names, unless the prompt has its words.
    fn add_style(&mut self, prepared: &Prepared, template: &Template, language: Language) {
        let Some(style) = &prepared.style else { return };
        let present = content_units(&prepared.scene(), |_| false);
        let mut units = content_units(style, |_| false).into_iter();
        let is_present = units.all(|unit| present.iter().any(|word| is_same_stem(word, &unit)));
        let Some(sentence) = template.style.get(language.code()).filter(|_| !is_present) else {
            return;
        };
        let sentence = sentence.replace("{style}", style.trim_end_matches(is_sentence_end));
        self.try_out("style", |growing| growing.tail.push(sentence));
    }

    fn add_sentences(&mut self, prepared: &Prepared, template: &Template, language: Language) {
        let mut scene = prepared.scene();
        if let Some(style) = &prepared.style {
            scene.push(' ');
            scene.push_str(style);
        }
        let reading = Reading::of(&scene);
        for addition in &template.additions {
            if !self.is_missing(prepared, addition, language, &reading) {
                continue;
            }
            let Some(phrases) = addition.phrases.get(language.code()) else {
                continue;
            };
            let Some(phrase) = pick(phrases, &[&addition.id, &prepared.base]) else {
                continue;
            };
            let phrase = phrase.clone();
            let family = self.draft.family.id().split('-').next().unwrap_or_default();
            let id = format!("{family}.{}", addition.id);
            self.try_out(&id, |growing| growing.tail.push(phrase));
        }
    }

    fn is_missing(
        &self,
        prepared: &Prepared,
        addition: &Addition,
        language: Language,
        reading: &Reading,
    ) -> bool {
        let mode = self.draft.mode.id();
        if !addition.modes.is_empty() && !addition.modes.iter().any(|known| known == mode) {
            return false;
        }
        if prepared.style.is_some() && addition.facet == "style" {
            return false;
        }
        let cues = self.rules.cues();
        let mut groups = std::iter::once(&addition.facet).chain(&addition.unless);
        if groups.any(|group| cues.has(group, Some(language), reading)) {
            return false;
        }
        // A prompt whose language is read otherwise once it has grown still says what it says.
        let mut phrases = addition.phrases.values().flatten();
        !phrases.any(|phrase| prepared.base.contains(phrase.as_str()))
    }
}
