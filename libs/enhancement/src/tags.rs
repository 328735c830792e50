//! The markup that Ovi was trained on: `<S>words<E>` for speech, and the sound between `<AUDCAP>` and `<ENDAUDCAP>` (720x720)
//! or after `Audio:` at the end of the text (960x960).
//!
//! People write the one where the other is meant, in small letters or with a slash; that is repaired. What cannot be
//! repaired without guessing where speech ends is refused with the place.

use thiserror::Error;

use crate::draft::{Family, Tags};
use crate::words::is_sentence_end;

/// What begins a description of the sound at the end of a prompt.
const AUDIO_TAIL: &str = "Audio:";

/// One kind of tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `<S>` and `<E>`.
    Speech,
    /// `<AUDCAP>` and `<ENDAUDCAP>`.
    Audio,
}

impl Tag {
    const fn opening(self) -> &'static str {
        match self {
            Self::Speech => "<S>",
            Self::Audio => "<AUDCAP>",
        }
    }

    const fn closing(self) -> &'static str {
        match self {
            Self::Speech => "<E>",
            Self::Audio => "<ENDAUDCAP>",
        }
    }
}

/// What is wrong with the tags of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TagProblem {
    /// A tag is opened and never closed.
    #[error("{} has no {}", .0.opening(), .0.closing())]
    NotClosed(Tag),
    /// A tag is closed that was not open.
    #[error("{} has no {} before it", .0.closing(), .0.opening())]
    NotOpened(Tag),
    /// A tag is opened inside another one.
    #[error("{} stands inside another tag", .0.opening())]
    Nested(Tag),
}

/// Tags that cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{problem}, at character {position}")]
pub struct TagError {
    /// What is wrong.
    pub problem: TagProblem,
    /// The place of the tag in the prompt, counted in characters from 0.
    pub position: usize,
}

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// What is seen.
    Text(String),
    /// What is said, without tags.
    Speech(String),
    /// What is heard, without tags.
    Audio(String),
}

/// A prompt in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markup {
    /// In the order of the text.
    pub pieces: Vec<Piece>,
    /// What was not as it should be, in sentences.
    pub notes: Vec<String>,
}

impl Markup {
    /// What is said and heard.
    #[must_use]
    pub fn tags(&self) -> Tags {
        let mut tags = Tags::default();
        let mut audio = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(_) => {}
                Piece::Speech(words) => tags.speech.push(words.clone()),
                Piece::Audio(sound) => audio.push(sound.as_str()),
            }
        }
        if !audio.is_empty() {
            tags.audio = Some(audio.join(" "));
        }
        tags
    }
}

/// Reads the markup of a prompt for any family, and repairs what can be.
///
/// # Errors
/// Tags that are not closed, not opened, or inside each other; `position` counts characters of `text`.
pub fn parse(text: &str, family: Family) -> Result<Markup, TagError> {
    let mut reader = Reader::new(text);
    while let Some((at, mark, length)) = next_mark(text, reader.read) {
        reader.take(at, mark, length)?;
    }
    let mut markup = reader.finish()?;
    if let Some(place) = audio_tail(&markup.pieces, family) {
        split_tail(&mut markup.pieces, place);
    }
    Ok(markup)
}

/// Whether a prompt carries exactly the tags that its family reads; what is said and heard if so.
///
/// # Errors
/// What is wrong, in words.
pub fn check(prompt: &str, family: Family) -> Result<Tags, String> {
    let markup = parse(prompt, family).map_err(|error| error.to_string())?;
    if let Some(note) = markup.notes.first() {
        return Err(note.clone());
    }
    let tags = markup.tags();
    let has_tags = tags.audio.is_some() || !tags.speech.is_empty();
    if has_tags && !family.has_sound() {
        return Err(format!("{} reads no tags", family.id()));
    }
    if write(&markup.pieces, family).0 != prompt {
        return Err(format!("not the form that {} reads", family.id()));
    }
    Ok(tags)
}

/// The prompt of these parts as a family reads it, the sound last; and what was written otherwise than it was given.
#[must_use]
pub fn write(pieces: &[Piece], family: Family) -> (String, Vec<String>) {
    let mut text = String::new();
    let mut audio: Vec<&str> = Vec::new();
    let mut has_speech = false;
    for piece in pieces {
        match piece {
            Piece::Text(words) => push_spaced(&mut text, words),
            Piece::Speech(words) if family.has_sound() => {
                push_spaced(&mut text, &format!("<S>{words}<E>"));
            }
            Piece::Speech(words) => {
                has_speech = true;
                let (open, close) = quotation_marks(pieces);
                push_spaced(&mut text, &format!("{open}{words}{close}"));
            }
            Piece::Audio(sound) => audio.push(sound.trim()),
        }
    }
    let text = text.trim();
    let sound = audio.join(" ");
    let mut notes = Vec::new();
    if has_speech {
        let note = "speech tags became quotation marks: this model makes no sound";
        notes.push(note.to_owned());
    }
    let written = match family {
        _ if sound.is_empty() => text.to_owned(),
        Family::Ovi720 => format!("{text} <AUDCAP>{sound}<ENDAUDCAP>"),
        Family::Ovi960 => format!("{text} {AUDIO_TAIL} {sound}"),
        Family::Tiny | Family::Wan | Family::Mochi => {
            let note = "the description of the sound was left out: this model makes no sound";
            notes.push(note.to_owned());
            text.to_owned()
        }
    };
    (written.trim().to_owned(), notes)
}

/// Quotation marks that are not in any of the pieces, so that it stays clear what is quoted.
fn quotation_marks(pieces: &[Piece]) -> (char, char) {
    let has = |marks: &[char]| {
        pieces.iter().any(|piece| match piece {
            Piece::Text(text) | Piece::Speech(text) | Piece::Audio(text) => text.contains(marks),
        })
    };
    let pairs: [(&[char], (char, char)); 3] = [
        (&['"'], ('"', '"')),
        (&['„', '“', '”'], ('“', '”')),
        (&['«', '»'], ('«', '»')),
    ];
    let free = pairs.into_iter().find(|(marks, _)| !has(marks));
    free.map_or(('「', '」'), |(_, pair)| pair)
}

/// Appends with one blank in between at most: taking something out of the middle leaves one on either side.
pub(crate) fn push_spaced(text: &mut String, words: &str) {
    match text.ends_with(' ') {
        true => text.push_str(words.trim_start()),
        false => text.push_str(words),
    }
}

#[derive(Clone, Copy)]
enum Mark {
    Open(Tag),
    Close(Tag),
}

/// Every way in which people write tags; the first of each kind is what the models read.
const MARKS: [(&str, Mark); 8] = [
    ("<S>", Mark::Open(Tag::Speech)),
    ("<E>", Mark::Close(Tag::Speech)),
    ("</S>", Mark::Close(Tag::Speech)),
    ("</E>", Mark::Close(Tag::Speech)),
    ("<AUDCAP>", Mark::Open(Tag::Audio)),
    ("<ENDAUDCAP>", Mark::Close(Tag::Audio)),
    ("</AUDCAP>", Mark::Close(Tag::Audio)),
    ("</ENDAUDCAP>", Mark::Close(Tag::Audio)),
];

/// The next tag at `from` or later: its byte, what it is, and its length.
fn next_mark(text: &str, from: usize) -> Option<(usize, Mark, usize)> {
    let brackets = text.get(from..)?.match_indices('<');
    let mut found = brackets.filter_map(|(at, _)| {
        let at = from + at;
        let mark = MARKS.iter().find(|(tag, _)| {
            let written = text.get(at..at + tag.len());
            written.is_some_and(|written| written.eq_ignore_ascii_case(tag))
        });
        mark.map(|(tag, mark)| (at, *mark, tag.len()))
    });
    found.next()
}

/// The state of reading: what is open, and where the text goes on.
struct Reader<'a> {
    text: &'a str,
    read: usize,
    open: Option<(Tag, usize)>,
    markup: Markup,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            read: 0,
            open: None,
            markup: Markup::default(),
        }
    }

    fn take(&mut self, at: usize, mark: Mark, length: usize) -> Result<(), TagError> {
        let between = &self.text[self.read..at];
        match (mark, self.open) {
            (Mark::Open(tag), None) => {
                self.push_text(between);
                self.open = Some((tag, at));
            }
            (Mark::Open(tag), Some(_)) => return Err(self.error(TagProblem::Nested(tag), at)),
            (Mark::Close(tag), Some((open, _))) if open == tag => {
                self.push_tagged(tag, between);
                self.open = None;
            }
            (Mark::Close(tag), _) => return Err(self.error(TagProblem::NotOpened(tag), at)),
        }
        let expected = match mark {
            Mark::Open(tag) => tag.opening(),
            Mark::Close(tag) => tag.closing(),
        };
        if &self.text[at..at + length] != expected {
            self.note("a tag was written as the model reads it");
        }
        self.read = at + length;
        Ok(())
    }

    fn finish(mut self) -> Result<Markup, TagError> {
        if let Some((tag, at)) = self.open {
            return Err(self.error(TagProblem::NotClosed(tag), at));
        }
        self.push_text(&self.text[self.read..]);
        Ok(self.markup)
    }

    fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.markup.pieces.push(Piece::Text(text.to_owned()));
        }
    }

    fn push_tagged(&mut self, tag: Tag, words: &str) {
        let inside = words.trim();
        // Where something is taken out a blank stays, or what stood around it could become a tag.
        let gap = || Piece::Text(" ".to_owned());
        if inside.is_empty() {
            self.markup.pieces.push(gap());
            return self.note("an empty tag was left out");
        }
        let piece = match tag {
            Tag::Speech => Piece::Speech(inside.to_owned()),
            Tag::Audio => Piece::Audio(inside.to_owned()),
        };
        self.markup.pieces.push(piece);
        if tag == Tag::Audio {
            self.markup.pieces.push(gap());
        }
    }

    fn note(&mut self, note: &str) {
        if !self.markup.notes.iter().any(|known| known == note) {
            self.markup.notes.push(note.to_owned());
        }
    }

    fn error(&self, problem: TagProblem, at: usize) -> TagError {
        let position = self.text[..at].chars().count();
        TagError { problem, position }
    }
}

/// Where `Audio:` begins the sound: which piece, and the byte in it. Models without sound have it only behind the end of a
/// sentence or a tag, since elsewhere it may be a word of the scene.
fn audio_tail(pieces: &[Piece], family: Family) -> Option<(usize, usize)> {
    for (index, piece) in pieces.iter().enumerate() {
        let Piece::Text(text) = piece else { continue };
        let found = text.match_indices(AUDIO_TAIL).find(|(at, _)| {
            let before = text[..*at].trim_end();
            let is_word = text[..*at]
                .chars()
                .next_back()
                .is_none_or(|before| !before.is_alphanumeric());
            let ends = before.chars().next_back();
            is_word && (family.has_sound() || ends.map_or(index > 0, is_sentence_end))
        });
        if let Some((at, _)) = found {
            return Some((index, at));
        }
    }
    None
}

/// Everything behind the place is sound, except speech, which goes before it.
fn split_tail(pieces: &mut Vec<Piece>, (index, at): (usize, usize)) {
    let tail = pieces.split_off(index);
    let mut sound = String::new();
    for (offset, piece) in tail.into_iter().enumerate() {
        match piece {
            Piece::Text(text) if offset == 0 => {
                let before = text[..at].trim_end();
                if !before.is_empty() {
                    pieces.push(Piece::Text(before.to_owned()));
                }
                sound.push_str(text[at + AUDIO_TAIL.len()..].trim());
            }
            Piece::Text(text) | Piece::Audio(text) => {
                let text = text.trim();
                if !text.is_empty() && !sound.is_empty() {
                    sound.push(' ');
                }
                sound.push_str(text);
            }
            speech @ Piece::Speech(_) => {
                // It stood with blanks around it, and does so in its new place.
                pieces.push(Piece::Text(" ".to_owned()));
                pieces.push(speech);
            }
        }
    }
    if !sound.is_empty() {
        pieces.push(Piece::Audio(sound));
    }
}

#[cfg(test)]
#[path = "tags/tests.rs"]
mod tests;
