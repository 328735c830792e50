//! Glyphs as text, in each of which one way of taking words apart is undone.

use std::ops::Range;

use super::fold::{Glyph, is_ideographic, is_word};

/// How many symbols between two letters are still inside one word.
const MAX_INNER_SYMBOLS: usize = 3;

/// From how many of the same letter on a word was drawn out.
const DRAWN_OUT: usize = 3;

/// How many parts of one or two letters in a row are a word that was spaced out.
const SPACED_PARTS: usize = 3;

/// From how many letters on a term counts in what was joined of single letters.
const MIN_LETTERS_OF_SINGLES: usize = 4;

/// From how many letters on a term counts in what was joined of pairs as well.
const MIN_LETTERS_OF_PAIRS: usize = 5;

/// Words with single spaces between them, and the glyph that each byte is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The words.
    pub text: String,
    /// Where words that were spaced out are joined, in order.
    joined: Vec<Joined>,
    glyph_of: Vec<usize>,
}

/// Words that were spaced out, as one, so that nobody knows where each of them ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Joined {
    bytes: Range<usize>,
    /// From how many letters on a term counts anywhere in it.
    min_letters: usize,
}

impl View {
    /// The glyphs of bytes of this view. None when there are none.
    pub fn glyphs(&self, bytes: Range<usize>) -> Option<Range<usize>> {
        let first = *self.glyph_of.get(bytes.start)?;
        let last = *self.glyph_of.get(bytes.end.checked_sub(1)?)?;
        Some(first..last + 1)
    }

    /// From how many letters on a term counts that lies in these bytes, wherever its words end. None where words do end.
    pub fn min_joined_letters(&self, bytes: &Range<usize>) -> Option<usize> {
        let after = self
            .joined
            .partition_point(|joined| joined.bytes.start <= bytes.start);
        let joined = self.joined.get(after.checked_sub(1)?)?;
        (bytes.end <= joined.bytes.end).then_some(joined.min_letters)
    }

    fn push(&mut self, ch: char, glyph: usize) {
        self.text.push(ch);
        let bytes = ch.len_utf8();
        self.glyph_of.extend(std::iter::repeat_n(glyph, bytes));
    }

    fn space(&mut self, glyph: usize) {
        if !self.text.ends_with(' ') {
            self.push(' ', glyph);
        }
    }
}

/// All views of glyphs that differ from those before them.
pub(crate) fn views(glyphs: &[Glyph]) -> Vec<View> {
    let (plain, tight) = (plain(glyphs), tight(glyphs));
    let drawn_out = [(&tight, 1), (&tight, 2), (&plain, 1), (&plain, 2)];
    let drawn_out = drawn_out.into_iter();
    let drawn_out = drawn_out
        .take(if plain.text == tight.text { 2 } else { 4 })
        .filter_map(|(view, copies)| shortened(view, copies));
    let others: Vec<View> = drawn_out
        .chain(with_gaps(glyphs))
        .chain(joined(glyphs, parts(glyphs)))
        .chain(gapped_parts(glyphs).and_then(|parts| joined(glyphs, parts)))
        .collect();
    let mut views = vec![plain];
    for view in std::iter::once(tight).chain(others) {
        if views.iter().all(|known| known.text != view.text) {
            views.push(view);
        }
    }
    views
}

/// Words as they stand.
pub(crate) fn plain(glyphs: &[Glyph]) -> View {
    let mut view = View::default();
    for (at, glyph) in glyphs.iter().enumerate() {
        match is_word(glyph.ch) {
            true => view.push(glyph.ch, at),
            false => view.space(at),
        }
    }
    view
}

/// How far from the start each glyph is: two a word, and one an ideograph. Words that were taken apart are no farther from each
/// other for that: symbols start no word, and single letters in a row are one.
pub(crate) fn places(glyphs: &[Glyph]) -> Vec<u32> {
    let mut place = 0;
    let mut is_inside = false;
    let mut was_single = false;
    let mut places = Vec::with_capacity(glyphs.len());
    for (at, glyph) in glyphs.iter().enumerate() {
        if is_ideographic(glyph.ch) {
            place += 1;
            is_inside = false;
        } else if glyph.ch == ' ' {
            is_inside = false;
        } else if is_word(glyph.ch) && !is_inside {
            let next = glyphs.get(at + 1);
            let is_single = next.is_none_or(|next| next.ch == ' ');
            if !(is_single && was_single) {
                place += 2;
            }
            was_single = is_single;
            is_inside = true;
        }
        places.push(place);
    }
    places
}

/// Without a few symbols inside of words: `nu.de`, `n-u-d-e`.
fn tight(glyphs: &[Glyph]) -> View {
    let mut view = View::default();
    let mut at = 0;
    while let Some(glyph) = glyphs.get(at) {
        if is_word(glyph.ch) {
            view.push(glyph.ch, at);
            at += 1;
            continue;
        }
        let rest = glyphs.get(at..).unwrap_or_default();
        let symbols = rest.iter().take_while(|glyph| !is_word(glyph.ch));
        let (count, has_space) = symbols.fold((0, false), |(count, has_space), glyph| {
            (count + 1, has_space || glyph.ch == ' ')
        });
        if has_space || count > MAX_INNER_SYMBOLS {
            view.space(at);
        }
        at += count;
    }
    view
}

/// With at most so many of the same letter in a row in words that were drawn out, or in which each letter is doubled. None
/// when there is no such word.
fn shortened(words: &View, copies: usize) -> Option<View> {
    let mut view = View::default();
    let mut has_changed = false;
    let mut start = 0;
    for word in words.text.split(' ') {
        let mut runs: Vec<(char, usize, usize)> = Vec::new();
        for (offset, ch) in word.char_indices() {
            match runs.last_mut() {
                Some((last, _, count)) if *last == ch => *count += 1,
                _ => runs.push((ch, start + offset, 1)),
            }
        }
        let is_doubled = runs.len() > 2 && runs.iter().all(|(_, _, count)| *count >= 2);
        for (ch, offset, count) in runs {
            let is_long = count >= DRAWN_OUT && !ch.is_ascii_digit() || is_doubled;
            has_changed |= is_long;
            let kept = if is_long { copies.min(count) } else { count };
            let glyph = words.glyph_of.get(offset).copied().unwrap_or_default();
            for _ in 0..kept {
                view.push(ch, glyph);
            }
        }
        start += word.len();
        view.space(words.glyph_of.get(start).copied().unwrap_or_default());
        start += 1;
    }
    has_changed.then_some(view)
}

/// With a space where something invisible stood between letters. None when nothing did.
fn with_gaps(glyphs: &[Glyph]) -> Option<View> {
    glyphs.iter().find(|glyph| glyph.is_after_gap)?;
    let mut view = View::default();
    for (at, glyph) in glyphs.iter().enumerate() {
        if glyph.is_after_gap {
            view.space(at);
        }
        match is_word(glyph.ch) {
            true => view.push(glyph.ch, at),
            false => view.space(at),
        }
    }
    Some(view)
}

/// With parts of one or two letters in a row as one word, and ideographs without anything between them. None when there are
/// no such parts.
fn joined(glyphs: &[Glyph], parts: Vec<Range<usize>>) -> Option<View> {
    let mut view = View::default();
    let mut at = 0;
    while at < parts.len() {
        let rest = parts.get(at..).unwrap_or_default();
        let short = rest
            .iter()
            .take_while(|part| is_short(glyphs, part))
            .count();
        let count = if is_spaced_out(glyphs, rest, short) {
            short
        } else {
            1
        };
        let start = view.text.len();
        for part in rest.iter().take(count) {
            for (offset, glyph) in glyphs
                .get(part.clone())
                .unwrap_or_default()
                .iter()
                .enumerate()
            {
                view.push(glyph.ch, part.start + offset);
            }
        }
        if count > 1 {
            let run = rest.iter().take(count);
            view.joined.push(Joined {
                bytes: start..view.text.len(),
                min_letters: min_letters(run),
            });
        }
        let end = rest.get(count - 1).map_or(0, |part| part.end);
        view.space(end.min(glyphs.len().saturating_sub(1)));
        at += count;
    }
    (!view.joined.is_empty()).then_some(view)
}

/// The words of glyphs.
fn parts(glyphs: &[Glyph]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (at, glyph) in glyphs.iter().enumerate() {
        if !is_word(glyph.ch) {
            continue;
        }
        match parts.last_mut() {
            Some(part) if part.end == at => part.end = at + 1,
            _ => parts.push(at..at + 1),
        }
    }
    parts
}

/// The words of glyphs, with those taken apart in which something invisible stands between letters. None when nothing does.
fn gapped_parts(glyphs: &[Glyph]) -> Option<Vec<Range<usize>>> {
    glyphs.iter().find(|glyph| glyph.is_after_gap)?;
    let mut gapped = Vec::new();
    for part in parts(glyphs) {
        let mut start = part.start;
        for at in part.start + 1..part.end {
            if glyphs.get(at).is_some_and(|glyph| glyph.is_after_gap) {
                gapped.push(start..at);
                start = at;
            }
        }
        gapped.push(start..part.end);
    }
    Some(gapped)
}

/// Whether a word is of one or two letters; of ideographs, which a joined word may have any number of, always.
fn is_short(glyphs: &[Glyph], part: &Range<usize>) -> bool {
    part.len() <= 2 || starts_with_ideograph(glyphs, part)
}

fn starts_with_ideograph(glyphs: &[Glyph], part: &Range<usize>) -> bool {
    glyphs
        .get(part.start)
        .is_some_and(|glyph| is_ideographic(glyph.ch))
}

fn is_spaced_out(glyphs: &[Glyph], parts: &[Range<usize>], short: usize) -> bool {
    let mut run = parts.iter().take(short);
    short >= SPACED_PARTS || short >= 2 && run.all(|part| starts_with_ideograph(glyphs, part))
}

/// Single letters in a row are hardly anything else than words that were spaced out. Pairs are common in ordinary text.
fn min_letters<'a>(mut parts: impl Iterator<Item = &'a Range<usize>>) -> usize {
    match parts.all(|part| part.len() == 1) {
        true => MIN_LETTERS_OF_SINGLES,
        false => MIN_LETTERS_OF_PAIRS,
    }
}
