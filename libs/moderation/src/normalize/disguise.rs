//! Letters that are not what they look like: lookalikes of other scripts, and digits and symbols in place of letters.

use std::collections::BTreeSet;
use std::ops::Range;

use super::fold::{Glyph, is_word};

/// What stands in a pattern, and in a text, for a vowel that was starred out. A letter that no lexicon has.
pub(crate) const STAR: char = 'ʔ';

/// The same glyphs with what stands for a letter as that letter. A lexicon that is read so as well is what they are matched with:
/// the result is no word of any language, since lookalikes of all scripts become one letter. Numbers stay numbers.
pub(crate) fn leet(glyphs: &[Glyph]) -> Vec<Glyph> {
    undisguised(glyphs, |_, word| has_letter(word))
}

/// As [`leet`], with numbers next to a word that surely is disguised as words too. None where there is no such number.
pub(crate) fn leet_numbers(glyphs: &[Glyph]) -> Option<Vec<Glyph>> {
    let words: Vec<Range<usize>> = words(glyphs).collect();
    let word = |at: usize| {
        let range = words.get(at)?.clone();
        glyphs.get(range)
    };
    let is_meant = |at: usize| {
        let beside = [at.checked_sub(1), at.checked_add(1)];
        let mut beside = beside.into_iter().flatten().filter_map(word);
        word(at).is_some_and(|word| !has_letter(word) && has_digit(word))
            && beside.any(is_surely_disguised)
    };
    let numbers: BTreeSet<usize> = (0..words.len())
        .filter(|at| is_meant(*at))
        .filter_map(|at| Some(words.get(at)?.start))
        .collect();
    (!numbers.is_empty()).then(|| {
        undisguised(glyphs, |start, word| {
            has_letter(word) || numbers.contains(&start)
        })
    })
}

/// Whether letters and digits change places twice, as in `h0w`, which no unit (`4k`, `35mm`) or name (`mp4`) has.
fn is_surely_disguised(word: &[Glyph]) -> bool {
    let is_digit = |glyph: &Glyph| glyph.ch.is_ascii_digit();
    let pairs = word.iter().zip(word.iter().skip(1));
    let changes = pairs.filter(|(one, next)| is_digit(one) != is_digit(next));
    has_letter(word) && changes.count() >= 2
}

/// With the words undone that are meant, by where they start.
fn undisguised(glyphs: &[Glyph], is_meant: impl Fn(usize, &[Glyph]) -> bool) -> Vec<Glyph> {
    let mut undisguised = glyphs.to_vec();
    for range in words(glyphs) {
        let word = glyphs.get(range.clone()).unwrap_or_default();
        if !is_meant(range.start, word) {
            continue;
        }
        let target = undisguised.get_mut(range).unwrap_or_default();
        for (at, glyph) in target.iter_mut().enumerate() {
            glyph.ch = undisguise(word, at, glyph.ch);
        }
    }
    undisguised
}

/// Characters in a row that can be of a word that is disguised.
fn words(glyphs: &[Glyph]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = glyphs.get(start..).unwrap_or_default();
        start += rest.iter().position(|glyph| is_inside(glyph.ch))?;
        let rest = glyphs.get(start..).unwrap_or_default();
        let length = rest.iter().take_while(|glyph| is_inside(glyph.ch)).count();
        let word = start..start + length;
        start = word.end;
        Some(word)
    })
}

fn has_letter(word: &[Glyph]) -> bool {
    word.iter().any(|glyph| glyph.ch.is_alphabetic())
}

fn has_digit(word: &[Glyph]) -> bool {
    word.iter().any(|glyph| glyph.ch.is_ascii_digit())
}

/// Whether a character can be of a word that is disguised.
fn is_inside(ch: char) -> bool {
    is_word(ch) || symbol(ch).is_some() || inner_symbol(ch).is_some()
}

fn undisguise(word: &[Glyph], at: usize, ch: char) -> char {
    let word_at = |at: Option<usize>| {
        at.and_then(|at| word.get(at))
            .is_some_and(|glyph| is_word(glyph.ch))
    };
    let before = word_at(at.checked_sub(1));
    let after = word_at(at.checked_add(1));
    if let Some(letter) = symbol(ch).filter(|_| before || after) {
        return letter;
    }
    // At the end of a word these are punctuation.
    if let Some(letter) = inner_symbol(ch).filter(|_| before && after) {
        return letter;
    }
    digit(ch).or(hiragana(ch)).unwrap_or_else(|| lookalike(ch))
}

const fn symbol(ch: char) -> Option<char> {
    match ch {
        '@' => Some('a'),
        '$' => Some('s'),
        '€' => Some('e'),
        '¢' => Some('c'),
        '£' => Some('i'),
        _ => None,
    }
}

const fn inner_symbol(ch: char) -> Option<char> {
    match ch {
        '!' | '|' | '¡' => Some('i'),
        '+' => Some('t'),
        '*' => Some(STAR),
        _ => None,
    }
}

const fn digit(ch: char) -> Option<char> {
    match ch {
        '0' => Some('o'),
        '1' => Some('i'),
        '2' => Some('z'),
        '3' => Some('e'),
        '4' => Some('a'),
        '5' => Some('s'),
        '6' | '9' => Some('g'),
        '7' => Some('t'),
        '8' => Some('b'),
        _ => None,
    }
}

/// The hiragana of a katakana, which says the same.
fn hiragana(ch: char) -> Option<char> {
    match ch {
        '\u{30a1}'..='\u{30f6}' => char::from_u32(u32::from(ch) - 0x60),
        _ => None,
    }
}

/// The Latin letter that a folded one looks like. `l` is `i`, since a `1` may be meant for either.
const fn lookalike(ch: char) -> char {
    match ch {
        'а' | 'α' | 'ɑ' | 'ɐ' | 'ᴀ' | 'ª' | 'ӕ' => 'a',
        'ь' | 'в' | 'β' | 'ʙ' | 'ɓ' | 'ƅ' => 'b',
        'с' | 'ϲ' | 'ᴄ' | 'ƈ' | 'ɕ' | 'ↄ' => 'c',
        'ԁ' | 'ᴅ' | 'ɗ' | 'ɖ' | 'ժ' => 'd',
        'е' | 'є' | 'ε' | 'ə' | 'ɛ' | 'ǝ' | 'ɘ' | 'ᴇ' | 'ҽ' | 'з' | 'ӡ' => 'e',
        'ꜰ' | 'ƒ' | 'ғ' => 'f',
        'ɡ' | 'ɢ' | 'ɠ' | 'ց' | 'ǥ' => 'g',
        'һ' | 'н' | 'ʜ' | 'ɦ' | 'ɥ' | 'հ' | 'ḣ' => 'h',
        'і' | 'ι' | 'ɩ' | 'ɪ' | 'l' | 'ʟ' | 'ӏ' | 'ǀ' | 'ɭ' | 'ɫ' | 'ƚ' | 'ו' | 'ⅼ' => {
            'i'
        }
        'ј' | 'ϳ' | 'ᴊ' | 'ʝ' | 'յ' => 'j',
        'к' | 'κ' | 'ᴋ' | 'ƙ' => 'k',
        'м' | 'ᴍ' | 'ɱ' => 'm',
        'п' | 'η' | 'ɴ' | 'ɲ' | 'ŋ' | 'ɳ' | 'ո' => 'n',
        'о' | 'ο' | 'σ' | 'ᴏ' | 'ɵ' | 'օ' | 'ס' => 'o',
        'р' | 'ρ' | 'ᴘ' | 'ƥ' => 'p',
        'ԛ' | 'ʠ' | 'զ' => 'q',
        'г' | 'ʀ' | 'ɾ' | 'ɹ' | 'ɽ' | 'я' => 'r',
        'ѕ' | 'ꜱ' | 'ʂ' | 'ƨ' => 's',
        'т' | 'τ' | 'ᴛ' | 'ʈ' | 'ƭ' | 'ʇ' => 't',
        'υ' | 'и' | 'ᴜ' | 'ʊ' | 'ս' | 'ц' => 'u',
        'ν' | 'ᴠ' | 'ʋ' | 'ʌ' | 'ѵ' => 'v',
        'ω' | 'ԝ' | 'ᴡ' | 'ɯ' | 'ʍ' | 'ш' => 'w',
        'х' | 'χ' | '×' => 'x',
        'у' | 'γ' | 'ʏ' | 'ʎ' | 'ƴ' | 'ү' => 'y',
        'ᴢ' | 'ʐ' | 'ƶ' | 'ζ' => 'z',
        _ => ch,
    }
}
