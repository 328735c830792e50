//! Characters as they are seen: one form, one case, no marks, nothing invisible.

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// One character that is seen, and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glyph {
    /// The folded character.
    pub ch: char,
    /// Its first byte in the text as it was sent.
    pub start: usize,
    /// The byte after its last one.
    pub end: usize,
    /// Whether something invisible was before it.
    pub is_after_gap: bool,
}

/// The glyphs of a text.
pub(crate) fn fold(text: &str) -> Vec<Glyph> {
    fold_with(text, |_| None)
}

/// Whether a text has characters of the block of tags, which say ASCII without being seen.
pub(crate) fn has_hidden(text: &str) -> bool {
    text.chars().any(|ch| hidden(ch).is_some())
}

/// The glyphs of a text, tags among them as the ASCII that they stand for.
pub(crate) fn reveal(text: &str) -> Vec<Glyph> {
    fold_with(text, hidden)
}

/// Whether a folded character belongs to a word.
pub(crate) fn is_word(ch: char) -> bool {
    ch.is_alphanumeric() || is_combining_mark(ch)
}

/// Whether a script has no spaces between words, and about a word's meaning in one or two characters.
pub(crate) const fn is_ideographic(ch: char) -> bool {
    matches!(ch,
        '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Whether a character is of a syllabary of Japanese.
pub(crate) const fn is_kana(ch: char) -> bool {
    matches!(ch, '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}')
}

/// Whether a word that starts or ends with `inner` may do so beside `outer`.
pub(crate) fn is_boundary(outer: Option<char>, inner: char) -> bool {
    let Some(outer) = outer else {
        return true;
    };
    !is_word(outer) || is_ideographic(outer) || is_ideographic(inner)
}

fn fold_with(text: &str, replace: impl Fn(char) -> Option<char>) -> Vec<Glyph> {
    let mut glyphs = Vec::with_capacity(text.len());
    let mut is_after_gap = false;
    for (start, sent) in text.char_indices() {
        let seen = replace(sent).unwrap_or(sent);
        if is_invisible(seen) {
            is_after_gap = true;
            continue;
        }
        let end = start + sent.len_utf8();
        decompose_compatible(seen, |part| {
            for ch in part.to_lowercase() {
                for ch in letters(ch) {
                    glyphs.push(Glyph {
                        ch,
                        start,
                        end,
                        is_after_gap,
                    });
                    is_after_gap = false;
                }
            }
        });
    }
    glyphs
}

/// The ASCII that a tag stands for.
fn hidden(ch: char) -> Option<char> {
    match ch {
        '\u{e0020}'..='\u{e007e}' => char::from_u32(u32::from(ch) - 0xe0000),
        _ => None,
    }
}

/// Whether nothing is seen of a character, and no place is taken.
pub(crate) const fn is_invisible(ch: char) -> bool {
    match ch {
        '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Soft hyphen, joiners, marks and isolates of direction, fillers, selectors of variants, tags, private annotations.
        '\u{ad}'
        | '\u{34f}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

/// Whether a mark only decorates a letter. Vowel signs of the scripts of India and the voicing marks of kana do not.
const fn is_decoration(ch: char) -> bool {
    matches!(ch,
        '\u{300}'..='\u{36f}'
        | '\u{483}'..='\u{489}'
        | '\u{591}'..='\u{5c7}'
        | '\u{610}'..='\u{61a}'
        | '\u{640}'
        | '\u{64b}'..='\u{65f}'
        | '\u{670}'
        | '\u{6d6}'..='\u{6dc}'
        | '\u{6df}'..='\u{6e8}'
        | '\u{6ea}'..='\u{6ed}'
        | '\u{93c}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}')
}

/// What one decomposed, lower-case character is folded to.
fn letters(ch: char) -> impl Iterator<Item = char> {
    let (first, second) = match ch {
        _ if is_decoration(ch) => (None, None),
        ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
            (Some(' '), None)
        }
        'ß' => (Some('s'), Some('s')),
        'æ' => (Some('a'), Some('e')),
        'œ' => (Some('o'), Some('e')),
        'þ' => (Some('t'), Some('h')),
        _ => (Some(letter(ch)), None),
    };
    first.into_iter().chain(second)
}

/// Variants of a letter within its own script.
fn letter(ch: char) -> char {
    let code = u32::from(ch);
    let offset = |first: u32, base: char| char::from_u32(u32::from(base) + (code - first));
    let folded = match ch {
        // Digits of Arabic, Persian and Hindi.
        '\u{660}'..='\u{669}' => offset(0x660, '0'),
        '\u{6f0}'..='\u{6f9}' => offset(0x6f0, '0'),
        '\u{966}'..='\u{96f}' => offset(0x966, '0'),
        // Letters in filled circles and squares, and those that flags are made of.
        '\u{1f150}'..='\u{1f169}' => offset(0x1f150, 'a'),
        '\u{1f170}'..='\u{1f189}' => offset(0x1f170, 'a'),
        '\u{1f1e6}'..='\u{1f1ff}' => offset(0x1f1e6, 'a'),
        'ة' => Some('ه'),
        'ى' | 'ی' => Some('ي'),
        'ک' => Some('ك'),
        'ٱ' => Some('ا'),
        'ı' => Some('i'),
        'ł' => Some('l'),
        'ø' => Some('o'),
        'đ' | 'ð' => Some('d'),
        'ħ' => Some('h'),
        'ς' => Some('σ'),
        _ => None,
    };
    folded.unwrap_or(ch)
}
