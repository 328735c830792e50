//! What comes in, what goes out, and why something does not.

use thiserror::Error;

use crate::language::Language;
use crate::tags::TagError;

/// The most bytes a prompt or negative prompt may have.
pub const MAX_PROMPT_BYTES: usize = 64 * 1024;
/// The most characters (people) that a draft may name.
pub const MAX_CHARACTERS: usize = 16;
/// The most Unicode scalar values in a character's name.
pub const MAX_NAME_CHARS: usize = 80;
/// The most Unicode scalar values in a character's sheet.
pub const MAX_SHEET_CHARS: usize = 2000;
/// The most Unicode scalar values in a style.
pub const MAX_STYLE_CHARS: usize = 200;

/// What a prompt is written for: models that were trained on the same kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// The small model of this repository.
    Tiny,
    /// Wan 2.1 and 2.2.
    Wan,
    /// Mochi 1.
    Mochi,
    /// Ovi's 720x720 variant: the sound between `<AUDCAP>` and `<ENDAUDCAP>`.
    Ovi720,
    /// Ovi's 960x960 variants: the sound after `Audio:` at the end.
    Ovi960,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Tiny,
        Self::Wan,
        Self::Mochi,
        Self::Ovi720,
        Self::Ovi960,
    ];

    /// Its name in requests and files.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Wan => "wan",
            Self::Mochi => "mochi",
            Self::Ovi720 => "ovi-720",
            Self::Ovi960 => "ovi-960",
        }
    }

    /// The family of a name, if there is one.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.id() == id)
    }

    /// Whether it makes sound, and reads tags of speech.
    #[must_use]
    pub const fn has_sound(self) -> bool {
        matches!(self, Self::Ovi720 | Self::Ovi960)
    }
}

/// What a clip is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Text alone.
    TextToVideo,
    /// Text and the first picture.
    ImageToVideo,
    /// Text, the first and the last picture.
    FirstLastToVideo,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::TextToVideo,
        Self::ImageToVideo,
        Self::FirstLastToVideo,
    ];

    /// Its name in requests and files.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::TextToVideo => "text",
            Self::ImageToVideo => "image",
            Self::FirstLastToVideo => "first-last",
        }
    }

    /// The mode of a name, if there is one.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.id() == id)
    }
}

/// Somebody who appears in prompts by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Character {
    /// As prompts have it, 1 to [`MAX_NAME_CHARS`] characters.
    pub name: String,
    /// What they look like: traits between commas, semicolons or full stops, at most [`MAX_SHEET_CHARS`] characters.
    pub sheet: String,
}

/// A prompt as it was typed, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// At most [`MAX_PROMPT_BYTES`].
    pub prompt: &'a str,
    /// What the clip should not show; empty takes the family's own.
    pub negative_prompt: &'a str,
    /// Who reads it.
    pub family: Family,
    /// What else is given.
    pub mode: Mode,
    /// At most [`MAX_CHARACTERS`].
    pub characters: &'a [Character],
    /// A style that the clip should have, in a few words, at most [`MAX_STYLE_CHARS`] characters.
    pub style: Option<&'a str>,
    /// The prompt's language, where the caller knows; otherwise it is detected.
    pub language: Option<Language>,
}

impl<'a> Draft<'a> {
    /// A prompt for a family, from text alone, with nothing else given.
    #[must_use]
    pub const fn new(family: Family, prompt: &'a str) -> Self {
        Self {
            prompt,
            negative_prompt: "",
            family,
            mode: Mode::TextToVideo,
            characters: &[],
            style: None,
            language: None,
        }
    }
}

/// What of a prompt is not picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// What is said, in order, without tags.
    pub speech: Vec<String>,
    /// What else is heard, without tags.
    pub audio: Option<String>,
}

/// A prompt for its family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enhanced {
    /// What the model reads.
    pub prompt: String,
    /// What the model reads as that which should not be; may be empty.
    pub negative_prompt: String,
    /// What of the prompt is speech and sound; only Ovi has any.
    pub tags: Tags,
    /// Ids of the rules that changed something, in order.
    pub used: Vec<String>,
    /// What the person should know, in sentences.
    pub notes: Vec<String>,
    /// Tokens of the prompt in the family's own count, the end mark included; an upper estimate without its tokenizer.
    pub tokens: u32,
    /// Whether the prompt is another than the original.
    pub is_changed: bool,
}

/// Why a draft cannot be enhanced.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DraftError {
    /// Nothing is left of the prompt once blanks and invisible characters are gone.
    #[error("the prompt is empty")]
    Empty,
    /// A text is longer than it may be.
    #[error("{field} is longer than {max} {unit}")]
    TooLong {
        /// Which of the draft's fields.
        field: &'static str,
        /// How long it may be.
        max: usize,
        /// What is counted: `bytes`, `characters` or `entries`.
        unit: &'static str,
    },
    /// A character has no name.
    #[error("a character needs a name")]
    Nameless,
    /// Speech or sound is not marked as it should be.
    #[error(transparent)]
    Tags(#[from] TagError),
}

impl DraftError {
    /// A stable name for programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "PROMPT_EMPTY",
            Self::TooLong { .. } => "PROMPT_TOO_LONG",
            Self::Nameless => "CHARACTER_NAMELESS",
            Self::Tags(_) => "PROMPT_TAGS_INVALID",
        }
    }

    /// Which of the draft's fields is meant.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Empty | Self::Tags(_) => "prompt",
            Self::TooLong { field, .. } => field,
            Self::Nameless => "characters",
        }
    }
}
