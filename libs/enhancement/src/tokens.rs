//! How long a prompt is for the model that reads it.

use std::fmt::Debug;

use tokenizers::Tokenizer;

use crate::words::is_ideographic;

/// Counts tokens as one model's tokenizer does.
pub trait TokenCounter: Debug + Send + Sync {
    /// Tokens of a text, the end mark included.
    fn count(&self, text: &str) -> usize;
}

/// An upper estimate, for where a tokenizer's file is not at hand. Fitted to the real tokenizers on the prompts of
/// `eval/prompts.tsv`, bare and with everything that could be added: never below them, in the middle 1.6 times UMT5's count and
/// 2.4 times T5's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// UMT5 (Wan, Ovi): 256,384 pieces of all languages.
    Umt5,
    /// T5 v1.1 (Mochi): 32,128 pieces of English, French, German and Romanian.
    T5,
}

/// Letters of a word so far.
#[derive(Clone, Copy, Default)]
struct Letters {
    plain: usize,
    capital: usize,
    other: usize,
}

impl Estimate {
    fn word(self, letters: &mut Letters) -> usize {
        let Letters {
            plain,
            capital,
            other,
        } = std::mem::take(letters);
        match self {
            _ if plain + other == 0 => 0,
            // A word in capitals falls into short pieces.
            Self::Umt5 if other == 0 && capital > 1 => plain.div_ceil(3) + capital.div_ceil(2),
            Self::Umt5 if other == 0 => plain.div_ceil(3),
            Self::Umt5 => (plain + other).div_ceil(3) + 2,
            Self::T5 if other == 0 => plain / 2 + 1,
            Self::T5 => plain + other + 1,
        }
    }

    const fn mark(self) -> usize {
        match self {
            Self::Umt5 => 1,
            Self::T5 => 2,
        }
    }
}

impl TokenCounter for Estimate {
    fn count(&self, text: &str) -> usize {
        // The end mark.
        let mut total = 1;
        let mut letters = Letters::default();
        let mut was_ideographic = false;
        for character in text.chars() {
            let ideographic = is_ideographic(character);
            if character.is_ascii_alphabetic() {
                letters.plain += 1;
                letters.capital += usize::from(character.is_ascii_uppercase());
            } else if !ideographic && (character.is_alphabetic() || is_mark(character)) {
                letters.other += 1;
            } else {
                total += self.word(&mut letters);
                total += match character {
                    // One each, and one for where a row of them begins.
                    _ if ideographic => 1 + usize::from(!was_ideographic),
                    ' ' => 0,
                    // A picture may fall apart into its bytes.
                    '\u{1f000}'..='\u{1ffff}' => 5,
                    _ => self.mark(),
                };
            }
            was_ideographic = ideographic;
        }
        total + self.word(&mut letters)
    }
}

/// Marks that belong to a letter, of Arabic and of the scripts of India.
fn is_mark(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{64b}'..='\u{65f}' | '\u{900}'..='\u{963}')
}

/// The tokenizer of a model, from its `tokenizer.json`.
#[derive(Clone, Debug)]
pub struct FileCounter {
    tokenizer: Tokenizer,
}

impl FileCounter {
    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_bytes(content: &[u8]) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(content).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| error.to_string())?;
        Ok(Self { tokenizer })
    }
}

impl TokenCounter for FileCounter {
    fn count(&self, text: &str) -> usize {
        // A tokenizer that refuses a text has no count of it; the estimate is above whatever it would be.
        match self.tokenizer.encode_fast(text, true) {
            Ok(encoding) => encoding.len(),
            Err(_) => Estimate::T5.count(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &[u8] = include_bytes!("../../../models/kinora-tiny-t2v/tokenizer/tokenizer.json");

    #[test]
    fn the_small_models_tokenizer_counts_words_marks_and_the_end() {
        let counter = FileCounter::from_bytes(TINY).unwrap();
        assert_eq!(counter.count("a red circle moves right, please"), 8);
        assert_eq!(counter.count(""), 1);
        assert_eq!(counter.count(&"word ".repeat(1000)), 1001);
    }

    #[test]
    fn a_broken_tokenizer_is_refused() {
        assert!(FileCounter::from_bytes(b"{}").is_err());
        assert!(FileCounter::from_bytes(b"").is_err());
    }

    /// What the tokenizers of UMT5-XXL and T5 v1.1 count, the end mark included.
    #[rustfmt::skip]
    const MEASURED: &[(&str, usize, usize)] = &[
        ("a red fox runs across a frozen lake", 11, 12),
        ("A PURPLE TRIANGLE TWIRLS", 10, 13),
        ("O menino diz \"eu tenho 8 anos\" e ri", 13, 24),
        ("una abuela amasa pan en la cocina", 9, 17),
        ("La caméra avance doucement vers un château", 9, 10),
        ("Der Mann sagt „Ich komme um 7 Uhr“ und winkt", 15, 15),
        ("一位木匠在刨木头", 10, 3),
        ("猫が雪の中を走っている", 9, 3),
        ("एक लड़की बारिश में नाच रही है", 11, 15),
        ("قطة تجلس على النافذة", 9, 9),
        ("цветок раскрывается", 5, 17),
        ("고양이가 눈 위를 달린다", 11, 9),
        ("A man says <S>I never lost<E> Audio: rain", 16, 17),
        ("<AUDCAP>heavy rain<ENDAUDCAP>", 14, 14),
    ];

    #[test]
    fn the_estimate_is_not_below_the_real_tokenizers() {
        for (text, umt5, t5) in MEASURED {
            for (estimate, real) in [(Estimate::Umt5, *umt5), (Estimate::T5, *t5)] {
                let estimated = estimate.count(text);
                assert!(
                    estimated >= real,
                    "{text}: {estimate:?} {estimated}, really {real}"
                );
            }
            assert!(Estimate::Umt5.count(text) <= 3 * umt5, "{text}");
        }
    }

    #[test]
    fn pictures_and_odd_marks_count_too() {
        assert!(Estimate::Umt5.count("🙂🙂") >= 11);
        assert!(Estimate::T5.count("…!?") >= 7);
        assert_eq!(Estimate::Umt5.count(""), 1);
    }
}
