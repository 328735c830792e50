//! What a caller wants of a prompt.

use kinora_enhancement::{Character, Family, Mode};
use kinora_moderation::Audience;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Of a prompt and of a negative prompt, in bytes. Models read a few hundred tokens.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Of a style, in characters.
const MAX_STYLE_CHARS: usize = 200;
const MAX_CHARACTERS: usize = 8;
const MAX_NAME_CHARS: usize = 64;
const MAX_SHEET_CHARS: usize = 1_000;

/// Who shall rewrite a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Enhancer {
    /// Nobody.
    None,
    /// The language model where there is one, else the rules.
    Auto,
    /// Templates.
    Rules,
    /// A language model.
    Llm,
}

/// A prompt, and what shall become of it.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the clip shall show.
    pub prompt: String,
    /// What it must not show.
    pub negative_prompt: String,
    /// None for no kind of model in particular, for which nothing is rewritten.
    pub family: Option<Family>,
    /// What the clip begins with.
    pub mode: Mode,
    /// Who or what has to look alike.
    pub characters: Vec<Character>,
    /// In the caller's words. Empty for none.
    pub style: String,
    /// As the caller says: ISO 639-1. Empty to have it detected.
    pub language: String,
    /// Who rewrites it.
    pub enhancer: Enhancer,
    /// Whether a prompt that needs review is put into the queue.
    pub request_review: bool,
}

impl Order {
    /// Checks lengths and numbers.
    ///
    /// # Errors
    /// [`Error::PromptEmpty`], [`Error::PromptTooLong`], [`Error::Field`].
    pub fn check(&self) -> Result<(), Error> {
        check_text(&self.prompt, "prompt")?;
        if self.prompt.trim().is_empty() {
            return Err(Error::PromptEmpty { field: "prompt" });
        }
        check_text(&self.negative_prompt, "negative_prompt")?;
        if self.style.chars().count() > MAX_STYLE_CHARS {
            return Err(field("style", "has more than 200 characters"));
        }
        let is_code =
            |text: &str| text.len() == 2 && text.bytes().all(|it| it.is_ascii_lowercase());
        if !self.language.is_empty() && !is_code(&self.language) {
            return Err(field("language", "is no ISO 639-1 code such as \"en\""));
        }
        self.check_characters()
    }

    fn check_characters(&self) -> Result<(), Error> {
        if self.characters.len() > MAX_CHARACTERS {
            return Err(field("characters", "are more than 8"));
        }
        for Character { name, sheet } in &self.characters {
            if name.trim().is_empty() || name.chars().count() > MAX_NAME_CHARS {
                return Err(field("characters.name", "has 1 to 64 characters"));
            }
            if sheet.chars().count() > MAX_SHEET_CHARS {
                return Err(field("characters.sheet", "has more than 1,000 characters"));
            }
        }
        Ok(())
    }

    /// SHA-256 of everything that a person would look at, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(self.texts_digest().finalize())
    }

    /// What a result is kept under: the texts, and all else that it depends on.
    #[must_use]
    pub fn cache_key(&self, audience: Audience) -> [u8; 32] {
        let mut digest = self.texts_digest();
        let family = self.family.map_or("", Family::id);
        let rest = format!(
            "{family} {:?} {} {:?} {audience:?}",
            self.mode, self.language, self.enhancer
        );
        add(&mut digest, &rest);
        digest.finalize().into()
    }

    fn texts_digest(&self) -> Sha256 {
        let mut digest = Sha256::new();
        add(&mut digest, &self.prompt);
        add(&mut digest, &self.negative_prompt);
        add(&mut digest, &self.style);
        for character in &self.characters {
            add(&mut digest, &character.name);
            add(&mut digest, &character.sheet);
        }
        digest
    }
}

/// Checks a text of a caller's for its length.
///
/// # Errors
/// [`Error::PromptTooLong`].
pub fn check_text(text: &str, field: &'static str) -> Result<(), Error> {
    if text.len() > MAX_TEXT_BYTES {
        let (bytes, max) = (text.len(), MAX_TEXT_BYTES);
        return Err(Error::PromptTooLong { field, bytes, max });
    }
    Ok(())
}

/// A part with its length, so that no two orders read the same.
fn add(digest: &mut Sha256, part: &str) {
    digest.update(part.len().to_be_bytes());
    digest.update(part);
}

const fn field(field: &'static str, problem: &'static str) -> Error {
    Error::Field { field, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order {
            prompt: "a red ball".to_owned(),
            negative_prompt: String::new(),
            family: Some(Family::Wan),
            mode: Mode::TextToVideo,
            characters: Vec::new(),
            style: String::new(),
            language: String::new(),
            enhancer: Enhancer::Auto,
            request_review: false,
        }
    }

    fn character(name: &str, sheet: &str) -> Character {
        Character {
            name: name.to_owned(),
            sheet: sheet.to_owned(),
        }
    }

    #[track_caller]
    fn refuses(change: impl FnOnce(&mut Order), expected: &str) {
        let mut order = order();
        change(&mut order);
        let error = order.check().expect_err("refused");
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn what_is_too_long_or_too_many_is_refused_by_name() {
        order().check().expect("fine");
        refuses(|it| it.prompt = " \n".to_owned(), "prompt is empty");
        refuses(
            |it| it.prompt = "a".repeat(MAX_TEXT_BYTES + 1),
            "prompt has",
        );
        refuses(
            |it| it.negative_prompt = "ä".repeat(MAX_TEXT_BYTES),
            "negative_prompt has",
        );
        refuses(|it| it.style = "ä".repeat(201), "style");
        refuses(|it| it.language = "english".to_owned(), "language");
        refuses(|it| it.language = "EN".to_owned(), "language");
        refuses(
            |it| it.characters = vec![character("a", ""); 9],
            "characters",
        );
        refuses(
            |it| it.characters = vec![character(" ", "")],
            "characters.name",
        );
        refuses(
            |it| it.characters = vec![character("a", &"b".repeat(1_001))],
            "characters.sheet",
        );
    }

    #[test]
    fn a_review_is_of_the_texts_and_a_result_of_all_that_it_depends_on() {
        let first = order();
        let mut other = order();
        other.family = Some(Family::Mochi);
        assert_eq!(first.digest(), other.digest());
        let key = |order: &Order| order.cache_key(Audience::General);
        assert_ne!(key(&first), key(&other));
        assert_ne!(key(&first), first.cache_key(Audience::VerifiedAdult));
        // Moving a boundary makes another text.
        other.prompt = "a red ba".to_owned();
        other.negative_prompt = "ll".to_owned();
        assert_ne!(first.digest(), other.digest());
    }
}
