//! Sheets of characters, merged where their names first appear.

use std::ops::Range;

use crate::draft::Character;
use crate::speech::quotes;
use crate::tags::Piece;
use crate::words::{
    content_units, is_ideographic, is_same_stem, is_sentence_end, lower_words, words,
};

/// What became of a sheet.
pub(crate) enum Merged {
    /// The prompt with the traits that it lacked.
    Changed(Vec<Piece>),
    /// The prompt describes all of it already.
    Known,
    /// The name is not in the prompt.
    Absent,
}

/// Merges a character into a prompt. `names` are those of all characters, whose own traits are not taken for this one's.
pub(crate) fn merge(pieces: &[Piece], character: &Character, names: &[String]) -> Merged {
    let mentions = mentions(pieces, &character.name);
    let Some(first) = mentions.first() else {
        return Merged::Absent;
    };
    let mut described = described(pieces, &character.name, names);
    described.push_str(&own_words(pieces, &mentions));
    let described_words = lower_words(&described);
    let mut missing: Vec<&str> = Vec::new();
    for part in traits(character) {
        if !missing.contains(&part) && !is_described(part, &described_words, &described) {
            missing.push(part);
        }
    }
    if missing.is_empty() {
        return Merged::Known;
    }
    let joiner = match character.sheet.contains(['、', '，']) {
        true => "，",
        false => ", ",
    };
    let place = mentions.iter().find(|mention| !mention.is_possessive);
    Merged::Changed(insert(
        pieces,
        place.unwrap_or(first),
        &missing.join(joiner),
        joiner,
    ))
}

/// What follows after so many traits is taken as one.
const MAX_TRAITS: usize = 40;

/// What a sheet says, one thing at a time.
pub(crate) fn traits(character: &Character) -> impl Iterator<Item = &str> {
    let separates =
        |it: char| matches!(it, ',' | ';' | '，' | '、' | '；' | '،') || is_sentence_end(it);
    let parts = character.sheet.splitn(MAX_TRAITS, separates).map(str::trim);
    parts.filter(|part| !part.is_empty())
}

/// Where a name stands.
#[derive(Debug)]
struct Mention {
    piece: usize,
    bytes: Range<usize>,
    is_possessive: bool,
}

fn mentions(pieces: &[Piece], name: &str) -> Vec<Mention> {
    let mut found = Vec::new();
    for (piece, content) in pieces.iter().enumerate() {
        let Piece::Text(text) = content else { continue };
        let quotes = quotes(text);
        for bytes in places(text, name) {
            if quotes
                .iter()
                .any(|quote| quote.outer.contains(&bytes.start))
            {
                continue;
            }
            let after = &text[bytes.end..];
            let is_possessive = ["'s", "’s", "'", "’"]
                .iter()
                .any(|it| after.starts_with(it));
            found.push(Mention {
                piece,
                bytes,
                is_possessive,
            });
        }
    }
    found
}

/// Where a name stands in a text: its words in a row, whatever their case.
fn places(text: &str, name: &str) -> Vec<Range<usize>> {
    if name.chars().any(is_ideographic) {
        let found = text.match_indices(name);
        return found.map(|(at, found)| at..at + found.len()).collect();
    }
    let name = lower_words(name);
    let words = words(text);
    if name.is_empty() {
        return Vec::new();
    }
    let rows = words.windows(name.len()).filter(|row| {
        let mut pairs = row.iter().zip(&name);
        pairs.all(|(word, part)| word.text.to_lowercase() == *part)
    });
    rows.filter_map(|row| Some(row.first()?.start..row.last()?.end()))
        .collect()
}

/// What of the scene may describe this character: everything if it is alone, or else the sentences with its name; without
/// what stands in parentheses behind the names of others.
fn described(pieces: &[Piece], name: &str, names: &[String]) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Speech(_) | Piece::Audio(_) => text.push(' '),
        }
    }
    let others: Vec<&String> = names.iter().filter(|other| *other != name).collect();
    let mut is_alone = true;
    for other in others {
        for place in places(&text, other).into_iter().rev() {
            is_alone = false;
            if let Some(group) = group_behind(&text, place.end) {
                text.replace_range(group, " ");
            }
        }
    }
    if is_alone {
        return text;
    }
    let sentences = text.split(is_sentence_end);
    let with_name = sentences.filter(|sentence| !places(sentence, name).is_empty());
    with_name.collect::<Vec<_>>().join(" ")
}

/// What stands in parentheses, or behind a colon, right behind a name.
fn own_words(pieces: &[Piece], mentions: &[Mention]) -> String {
    let mut own = String::new();
    for mention in mentions {
        let Some(Piece::Text(text)) = pieces.get(mention.piece) else {
            continue;
        };
        let after = &text[mention.bytes.end..];
        let words = match (
            group_behind(text, mention.bytes.end),
            after.strip_prefix(':'),
        ) {
            (Some(group), _) => &text[group],
            (None, Some(after)) => &after[..after.find(is_sentence_end).unwrap_or(after.len())],
            (None, None) => continue,
        };
        own.push(' ');
        own.push_str(words);
    }
    own
}

/// The bytes of parentheses that follow directly.
fn group_behind(text: &str, from: usize) -> Option<Range<usize>> {
    let after = &text[from..];
    let blanks = after.len() - after.trim_start().len();
    let inside = after[blanks..].strip_prefix('(')?;
    let end = inside.find(')')?;
    Some(from + blanks..from + blanks + end + 2)
}

/// Whether a trait is in the text, or the text has something of its own to say about the same thing: with "blue hair" in the
/// prompt, a sheet's "red hair" is not added.
fn is_described(part: &str, words: &[String], text: &str) -> bool {
    if text.contains(part) {
        return true;
    }
    let units = content_units(part, is_small);
    let known = |unit: &String| words.iter().any(|word| is_same_stem(word, unit));
    if part.chars().any(is_ideographic) {
        return !units.is_empty() && units.iter().all(|unit| text.contains(unit.as_str()));
    }
    if units.iter().all(known) {
        return true;
    }
    let Some(head) = units.last() else {
        return true;
    };
    let mut pairs = words.windows(2);
    units.len() > 1
        && pairs.any(|pair| match pair {
            [before, word] => {
                let is_adjective = before.chars().count() > 2 && !is_small(before);
                is_adjective && word == head && !is_name_like(before, text)
            }
            _ => false,
        })
}

fn is_small(word: &str) -> bool {
    matches!(
        word,
        "the"
            | "and"
            | "with"
            | "her"
            | "his"
            | "its"
            | "their"
            | "who"
            | "has"
            | "wears"
            | "wearing"
            | "une"
            | "les"
            | "des"
            | "avec"
            | "con"
            | "los"
            | "las"
            | "una"
            | "com"
            | "uma"
            | "der"
            | "die"
            | "das"
            | "ein"
            | "eine"
            | "mit"
            | "und"
            | "from"
            | "into"
            | "onto"
            | "off"
    )
}

/// Whether a word in lower case stands in the text with a capital letter.
fn is_name_like(word: &str, text: &str) -> bool {
    let mut letters = word.chars();
    let capital: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    text.contains(&format!("{capital}{}", letters.as_str()))
}

/// Puts traits behind a name: in the parentheses that are there, in new ones, or, when all mentions are possessive, in a
/// sentence at the end.
fn insert(pieces: &[Piece], mention: &Mention, traits: &str, joiner: &str) -> Vec<Piece> {
    let mut pieces = pieces.to_vec();
    let Some(Piece::Text(text)) = pieces.get_mut(mention.piece) else {
        return pieces;
    };
    if mention.is_possessive {
        let name = text[mention.bytes.clone()].to_owned();
        let Some(Piece::Text(last)) = pieces.last_mut() else {
            pieces.push(Piece::Text(format!(" {name}: {traits}.")));
            return pieces;
        };
        let end = last.trim_end();
        let stop = if end.ends_with(is_sentence_end) {
            ""
        } else {
            "."
        };
        *last = format!("{end}{stop} {name}: {traits}.");
        return pieces;
    }
    match group_behind(text, mention.bytes.end) {
        Some(group) => text.insert_str(group.end - 1, &format!("{joiner}{traits}")),
        None => text.insert_str(mention.bytes.end, &format!(" ({traits})")),
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARA: &str = "tall woman, red hair, green coat";

    fn merged(text: &str, characters: &[(&str, &str)]) -> String {
        let names: Vec<String> = characters
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let mut pieces = vec![Piece::Text(text.to_owned())];
        for (name, sheet) in characters {
            let character = Character {
                name: (*name).to_owned(),
                sheet: (*sheet).to_owned(),
            };
            if let Merged::Changed(changed) = merge(&pieces, &character, &names) {
                pieces = changed;
            }
        }
        match pieces.as_slice() {
            [Piece::Text(text)] => text.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check(text: &str, characters: &[(&str, &str)], expected: &str) {
        let once = merged(text, characters);
        assert_eq!(once, expected);
        assert_eq!(merged(&once, characters), expected, "a second time");
    }

    #[test]
    fn traits_go_behind_the_first_mention() {
        check(
            "Mara walks in. Mara sits.",
            &[("Mara", MARA)],
            "Mara (tall woman, red hair, green coat) walks in. Mara sits.",
        );
        check(
            "小明在跑",
            &[("小明", "男孩，蓝色外套")],
            "小明 (男孩，蓝色外套)在跑",
        );
    }

    #[test]
    fn what_the_prompt_says_already_is_not_said_again() {
        check(
            "Mara, a tall woman in a green coat, sits",
            &[("Mara", MARA)],
            "Mara (red hair), a tall woman in a green coat, sits",
        );
        check(
            "Mara (tall woman) sits",
            &[("Mara", MARA)],
            "Mara (tall woman, red hair, green coat) sits",
        );
        check(
            "Mara (tall woman, red hair, green coat) sits",
            &[("Mara", MARA)],
            "Mara (tall woman, red hair, green coat) sits",
        );
    }

    #[test]
    fn what_the_prompt_says_otherwise_wins() {
        check(
            "Mara has blue hair and sits",
            &[("Mara", "red hair, old")],
            "Mara (old) has blue hair and sits",
        );
    }

    #[test]
    fn two_characters_may_share_a_trait() {
        check(
            "Mara meets Jon.",
            &[("Mara", "red hair"), ("Jon", "red hair, beard")],
            "Mara (red hair) meets Jon (red hair, beard).",
        );
    }

    #[test]
    fn a_possessive_gets_a_sentence_of_its_own() {
        check(
            "Mara's dog runs",
            &[("Mara", "tall")],
            "Mara's dog runs. Mara: tall.",
        );
        check(
            "Mara's dog follows Mara",
            &[("Mara", "tall")],
            "Mara's dog follows Mara (tall)",
        );
    }

    #[test]
    fn names_in_other_words_and_in_quotes_are_not_mentions() {
        check(
            "Marathon runners say \"Mara\"",
            &[("Mara", MARA)],
            "Marathon runners say \"Mara\"",
        );
    }
}
