//! Which words of a prompt a model has never seen.

use std::collections::HashSet;

/// A note names no more words than this.
const MAX_WORDS: usize = 12;

/// A longer word is shown by its beginning.
const MAX_CHARS: usize = 40;

/// Words of grammar, which a small model need not know to draw what is meant.
const IGNORED: [&str; 32] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "into", "is", "it",
    "its", "of", "on", "onto", "or", "over", "please", "some", "that", "the", "then", "there",
    "this", "to", "video", "clip", "while", "with",
];

/// The words of `text` outside `vocabulary`, in order, each once, lower-case, at most twelve.
///
/// Words are runs of letters; case does not matter. An empty vocabulary knows every word.
#[must_use]
pub fn unknown_words(text: &str, vocabulary: &[String]) -> Vec<String> {
    if vocabulary.is_empty() {
        return Vec::new();
    }
    let known: HashSet<String> = vocabulary.iter().map(|word| word.to_lowercase()).collect();
    let mut seen = HashSet::new();
    text.split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .filter(|word| !known.contains(word) && !IGNORED.contains(&word.as_str()))
        .map(|word| word.chars().take(MAX_CHARS).collect::<String>())
        .filter(|word| seen.insert(word.clone()))
        .take(MAX_WORDS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let vocabulary = ["red", "Ball", "rolls"].map(str::to_owned);
        assert_eq!(unknown_words(text, &vocabulary), expected, "{text}");
    }

    #[test]
    fn known_words_and_grammar_are_no_news() {
        check("A red BALL rolls over the ball.", &[]);
        check("", &[]);
        check("123 ... 4-5", &[]);
    }

    #[test]
    fn unknown_words_are_named_once_in_order() {
        check(
            "Dragon meets red dragon, élan!",
            &["dragon", "meets", "élan"],
        );
    }

    #[test]
    fn hostile_prompts_give_short_notes() {
        let many: String = ('a'..='z').map(|c| format!("q{c} ")).collect();
        assert_eq!(unknown_words(&many, &["red".to_owned()]).len(), MAX_WORDS);
        let long = "x".repeat(9000);
        assert_eq!(
            unknown_words(&long, &["red".to_owned()])[0].len(),
            MAX_CHARS
        );
    }

    #[test]
    fn open_vocabulary_knows_everything() {
        assert!(unknown_words("anything at all", &[]).is_empty());
    }
}
