//! Which passwords are taken: length, and that nobody guesses them first. There are no rules of composition.

use std::collections::HashSet;
use std::io::Read;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use unicode_normalization::UnicodeNormalization;

use super::email::Email;
use super::refusal::Refusal;

/// A password has at least this many characters.
const MIN_CHARS: usize = 10;

/// A password has at most this many bytes.
pub const MAX_BYTES: usize = 256;

/// What remains of a password without the words that everybody would try has at least this many characters.
const MIN_OWN_CHARS: usize = 6;

/// Fewer different characters are a pattern.
const MIN_DIFFERENT: usize = 4;

/// Parts of an address that are shorter say nothing.
const MIN_CONTEXT_CHARS: usize = 4;

const PRODUCT: &str = "kinora";

/// The most common passwords of any length.
static COMMON_GZIP: &[u8] = include_bytes!("../../data/common-passwords.txt.gz");

/// The most common ones that are long enough.
static LONG_GZIP: &[u8] = include_bytes!("../../data/long-common-passwords.txt.gz");

/// Common passwords in lower case.
static COMMON: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let texts = [COMMON_GZIP, LONG_GZIP].map(unpacked);
    let words = texts.iter().flat_map(|text| text.lines());
    words.map(str::to_owned).collect()
});

/// The text of a list, which is a part of the program; a test reads it.
fn unpacked(gzip: &[u8]) -> String {
    let mut text = String::new();
    let read = GzDecoder::new(gzip).read_to_string(&mut text);
    debug_assert!(read.is_ok());
    text
}

/// A password in the form in which it is hashed: NFC, so that it is the same from every keyboard. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes a new password for the account with an address. Whether it is in the operator's list of breached ones is not
    /// looked up here.
    ///
    /// # Errors
    /// [`Refusal::PasswordTooShort`], [`Refusal::PasswordTooLong`] or [`Refusal::PasswordCommon`].
    pub fn choose(text: &str, email: &Email) -> Result<Self, Refusal> {
        if text.len() > MAX_BYTES {
            return Err(Refusal::PasswordTooLong);
        }
        let password: String = text.nfc().collect();
        if password.len() > MAX_BYTES {
            return Err(Refusal::PasswordTooLong);
        }
        if password.chars().count() < MIN_CHARS {
            return Err(Refusal::PasswordTooShort);
        }
        if is_easy(&password, email) {
            return Err(Refusal::PasswordCommon);
        }
        Ok(Self(password))
    }

    /// Takes a password that somebody shows. One that is longer than any that was taken is none.
    #[must_use]
    pub fn shown(text: &str) -> Self {
        if text.len() > MAX_BYTES {
            return Self(String::new());
        }
        Self(text.nfc().collect())
    }

    /// What is hashed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

fn is_easy(password: &str, email: &Email) -> bool {
    let lower = password.to_lowercase();
    let different: HashSet<char> = lower.chars().collect();
    different.len() < MIN_DIFFERENT
        || is_common(&lower)
        || is_common(repeated_unit(&lower))
        || is_made_of_context(&lower, email)
}

/// Whether a word is common as it is, or without the digits and signs around it.
fn is_common(lower: &str) -> bool {
    let word = lower.trim_matches(|c: char| !c.is_alphabetic());
    COMMON.contains(lower) || COMMON.contains(word)
}

/// The shortest beginning of which the whole text consists, as `abc` of `abcabc`.
fn repeated_unit(text: &str) -> &str {
    let ends = text.char_indices().skip(1).map(|(index, _)| index);
    let repeats = |end: &usize| {
        text.len().is_multiple_of(*end) && text == text[..*end].repeat(text.len() / end)
    };
    ends.clone().find(repeats).map_or(text, |end| &text[..end])
}

/// Whether next to nothing is left without the address and the name of the product.
fn is_made_of_context(lower: &str, email: &Email) -> bool {
    let mut rest = lower.to_owned();
    let domain = email
        .key()
        .rsplit_once('@')
        .map_or("", |(_, domain)| domain);
    let words = [email.key(), email.local_part(), domain, PRODUCT];
    let words = words
        .into_iter()
        .chain(email.local_part().split(['.', '+', '-', '_']));
    for word in words.filter(|word| word.len() >= MIN_CONTEXT_CHARS) {
        rest = rest.replace(word, "");
    }
    rest.len() < lower.len() && (rest.chars().count() < MIN_OWN_CHARS || is_common(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: &str) -> Result<(), Refusal> {
        let email = Email::parse("Ada.Lovelace@example.org").unwrap();
        Password::choose(password, &email).map(drop)
    }

    #[test]
    fn length_is_counted_in_characters_below_and_in_bytes_above() {
        for (password, refusal) in [
            (String::new(), Refusal::PasswordTooShort),
            ("x".to_owned(), Refusal::PasswordTooShort),
            ("gk4-Qz81w".to_owned(), Refusal::PasswordTooShort),
            ("\u{e4}b\u{e4}c\u{e4}".to_owned(), Refusal::PasswordTooShort),
            ("gk4-".repeat(64) + "!", Refusal::PasswordTooLong),
            ("p".repeat(1 << 20), Refusal::PasswordTooLong),
        ] {
            assert_eq!(check(&password), Err(refusal), "{password:.20}");
        }
        assert_eq!(check("gk4-Qz81wY"), Ok(()));
        assert_eq!(
            check(
                "\u{6c34}\u{706b}\u{6728}\u{91d1}\u{571f}\u{65e5}\u{6708}\u{5c71}\u{5ddd}\u{6d77}"
            ),
            Ok(())
        );
        assert_eq!(check(&"gk4-Qz81wYx7".repeat(21)), Ok(()));
    }

    #[test]
    fn there_are_no_rules_of_composition() {
        for password in [
            "correct horse battery staple",
            "nothing but letters",
            "4096 8192 731 55",
        ] {
            assert_eq!(check(password), Ok(()), "{password}");
        }
    }

    #[test]
    fn what_everybody_tries_is_refused() {
        for password in [
            "1234567890",
            "qwertyuiop",
            "Password123456!",
            "!!iloveyou!!",
            "dragondragon",
            "aaaaaaaaaaaa",
            "121212121212",
            "ada.lovelace",
            "Lovelace2026",
            "ada.lovelace@example.org",
            "kinora-kinora",
            "KINORA123456",
            "example.org99",
            "kinorapassword",
            "1qaz2wsx3edc4rfv",
            "Leavemealone",
            "99realmadrid99",
        ] {
            assert_eq!(check(password), Err(Refusal::PasswordCommon), "{password}");
        }
    }

    #[test]
    fn at_least_three_thousand_common_passwords_would_be_long_enough() {
        let would_be_taken = |word: &&String| {
            let different: HashSet<char> = word.chars().collect();
            word.chars().count() >= MIN_CHARS && different.len() >= MIN_DIFFERENT
        };
        let long: Vec<&String> = COMMON.iter().filter(would_be_taken).collect();
        assert!(long.len() >= 3000, "{}", long.len());
        for password in long {
            assert_eq!(check(password), Err(Refusal::PasswordCommon), "{password}");
        }
    }

    #[test]
    fn same_password_from_another_keyboard_is_the_same() {
        let email = Email::parse("ada@example.org").unwrap();
        let composed = Password::choose("Stra\u{df}e n\u{e4}hrt 17", &email).unwrap();
        assert_eq!(composed, Password::shown("Stra\u{df}e na\u{308}hrt 17"));
        assert_eq!(Password::shown(&"x".repeat(1 << 20)).as_bytes(), b"");
    }
}
