//! Quoted passages, and which of them somebody says.

use std::ops::Range;

use crate::cues::{Cues, Reading};
use crate::language::Language;
use crate::tags::Piece;
use crate::words::is_sentence_end;

/// A passage in quotation marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quote {
    /// Its bytes, marks included.
    pub outer: Range<usize>,
    /// Its bytes without them.
    pub inner: Range<usize>,
}

/// All passages in quotation marks that are closed, in order.
pub(crate) fn quotes(text: &str) -> Vec<Quote> {
    let mut found = Vec::new();
    // Marks that nothing closes any more. Or a text of opening marks alone would take its length squared.
    let mut unclosed: Vec<char> = Vec::new();
    let mut from = 0;
    while let Some((start, open)) = next_opening(text, from) {
        let inner = start + open.len_utf8();
        from = inner;
        if unclosed.contains(&open) {
            continue;
        }
        let mut characters = text[inner..].char_indices();
        let Some((length, close)) = characters.find(|(_, it)| closes(open, *it)) else {
            unclosed.push(open);
            continue;
        };
        let end = inner + length;
        let outer = start..end + close.len_utf8();
        from = outer.end;
        if !text[inner..end].trim().is_empty() {
            found.push(Quote {
                outer,
                inner: inner..end,
            });
        }
    }
    found
}

fn next_opening(text: &str, from: usize) -> Option<(usize, char)> {
    let mut characters = text.get(from..)?.char_indices();
    let is_opening =
        |character: char| matches!(character, '"' | '“' | '„' | '«' | '「' | '『' | '＂');
    let (at, open) = characters.find(|(_, character)| is_opening(*character))?;
    Some((from + at, open))
}

const fn closes(open: char, character: char) -> bool {
    match open {
        '"' => character == '"',
        '“' => character == '”',
        '„' => matches!(character, '“' | '”'),
        '«' => character == '»',
        '「' => character == '」',
        '『' => character == '』',
        _ => character == '＂',
    }
}

/// The text with everything in quotation marks taken out, for whoever asks what the scene says.
pub(crate) fn without_quotes(text: &str) -> String {
    let mut rest = String::with_capacity(text.len());
    let mut from = 0;
    for quote in quotes(text) {
        rest.push_str(&text[from..quote.outer.start]);
        rest.push(' ');
        from = quote.outer.end;
    }
    rest.push_str(&text[from..]);
    rest
}

/// Turns what somebody says in quotation marks into pieces of speech, and leaves what is written on signs.
/// The second is how many it were.
pub(crate) fn mark_speech(
    pieces: Vec<Piece>,
    cues: &Cues,
    language: Option<Language>,
) -> (Vec<Piece>, usize) {
    let mut marked = Vec::new();
    let mut count = 0;
    for piece in pieces {
        let Piece::Text(text) = piece else {
            marked.push(piece);
            continue;
        };
        let found = quotes(&text);
        let mut from = 0;
        for (index, quote) in found.iter().enumerate() {
            let start = index.checked_sub(1).and_then(|index| found.get(index));
            let start = start.map_or(0, |before| before.outer.end);
            let end = found
                .get(index + 1)
                .map_or(text.len(), |next| next.outer.start);
            let before = last_sentence(&text[start..quote.outer.start]);
            let after = first_sentence(&text[quote.outer.end..end]);
            if !is_said(before, after, cues, language) {
                continue;
            }
            if from < quote.outer.start {
                marked.push(Piece::Text(text[from..quote.outer.start].to_owned()));
            }
            marked.push(Piece::Speech(text[quote.inner.clone()].trim().to_owned()));
            count += 1;
            from = quote.outer.end;
        }
        if from < text.len() {
            marked.push(Piece::Text(text[from..].to_owned()));
        }
    }
    (marked, count)
}

fn last_sentence(text: &str) -> &str {
    let end = text.trim_end().len();
    let found = text[..end].rfind(is_sentence_end);
    let start = found.and_then(|at| Some(at + text[at..].chars().next()?.len_utf8()));
    &text[start.unwrap_or(0)..]
}

fn first_sentence(text: &str) -> &str {
    &text[..text.find(is_sentence_end).unwrap_or(text.len())]
}

/// How many bytes may stand between "sign" and "says" for the sign to be what says it.
const SIGN_TO_VERB: usize = 16;

fn is_said(before: &str, after: &str, cues: &Cues, language: Option<Language>) -> bool {
    let reading = Reading::of(before);
    let said = cues.span("speech", language, &reading);
    let written = cues.span("written", language, &reading);
    match (said, written) {
        (Some((_, said)), Some((_, written))) => said > written + SIGN_TO_VERB,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => {
            if before.trim_end().ends_with([':', '：']) {
                return true;
            }
            let reading = Reading::of(after);
            cues.has("speech", language, &reading) && !cues.has("written", language, &reading)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    #[track_caller]
    fn check(text: &str, code: &str, expected: &[&str]) {
        let rules = Rules::embedded();
        let pieces = vec![Piece::Text(text.to_owned())];
        let (pieces, count) = mark_speech(pieces, rules.cues(), Language::from_code(code));
        let said: Vec<&str> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Speech(words) => Some(words.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(said, expected, "{text}");
        assert_eq!(count, expected.len());
    }

    #[test]
    fn what_somebody_says_is_speech() {
        check("he says \"hello there\" and waves", "en", &["hello there"]);
        check("“Come in,” she whispers.", "en", &["Come in,"]);
        check(
            "A guard: \"Stop!\" A thief shouts \"No!\"",
            "en",
            &["Stop!", "No!"],
        );
        check("女人说「你好」", "zh", &["你好"]);
        check("Der Mann ruft „Halt!“ und rennt", "de", &["Halt!"]);
        check("Elle dit « bonjour » en souriant", "fr", &["bonjour"]);
        check("राम कहता है \"नमस्ते\"", "hi", &["नमस्ते"]);
    }

    #[test]
    fn what_is_written_is_not() {
        check("a sign that reads \"OPEN\"", "en", &[]);
        check("a neon sign says \"OPEN\" above a door", "en", &[]);
        check("a shirt with \"42\" on it", "en", &[]);
        check("招牌上写着「面馆」", "zh", &[]);
    }

    #[test]
    fn a_mark_that_is_never_closed_is_a_character_like_any_other() {
        check("he says \"hello", "en", &[]);
        check("\"\" he says", "en", &[]);
        assert_eq!(without_quotes("a \"b\" c \"d"), "a   c \"d");
    }
}
