//! Words of a text in any script, and when two of them are the same.

/// A word and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// As it was written.
    pub text: &'a str,
    /// The byte where it starts.
    pub start: usize,
    /// Whether a sentence begins with it.
    pub is_first: bool,
}

impl Word<'_> {
    /// The byte behind it.
    pub const fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// The words of a text in order. Characters of Chinese and Japanese that follow each other are one word.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, bool)> = None;
    let mut is_first = true;
    let mut close = |open: &mut Option<(usize, bool)>, end: usize, is_first: &mut bool| {
        if let Some((start, _)) = open.take() {
            let text = &text[start..end];
            found.push(Word {
                text,
                start,
                is_first: *is_first,
            });
            *is_first = false;
        }
    };
    for (at, character) in text.char_indices() {
        if !is_word_character(character) {
            close(&mut open, at, &mut is_first);
            is_first |= is_sentence_end(character) || is_quote(character);
            continue;
        }
        let ideographic = is_ideographic(character);
        if open.is_some_and(|(_, open)| open != ideographic) {
            close(&mut open, at, &mut is_first);
        }
        open.get_or_insert((at, ideographic));
    }
    close(&mut open, text.len(), &mut is_first);
    found
}

/// The words in lower case.
pub(crate) fn lower_words(text: &str) -> Vec<String> {
    let words = words(text).into_iter();
    words.map(|word| word.text.to_lowercase()).collect()
}

fn is_word_character(character: char) -> bool {
    character.is_alphanumeric()
        || matches!(character, '\u{300}'..='\u{36f}' | '\u{64b}'..='\u{652}' | '\u{900}'..='\u{963}'
            | '\u{966}'..='\u{dff}' | '\u{200c}' | '\u{200d}')
}

/// Whether a character belongs to a script that writes words without blanks between them.
pub(crate) fn is_ideographic(character: char) -> bool {
    matches!(character, '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Whether a sentence ends with this character.
pub(crate) fn is_sentence_end(character: char) -> bool {
    matches!(
        character,
        '.' | '!' | '?' | '…' | '。' | '！' | '？' | '।' | '؟' | '۔' | '\u{965}'
    )
}

/// Whether speech begins or ends with this character.
pub(crate) fn is_quote(character: char) -> bool {
    matches!(
        character,
        '"' | '“' | '”' | '„' | '‟' | '«' | '»' | '「' | '」' | '『' | '』' | '＂'
    )
}

/// What carries meaning: words of three letters and more that are not among the `small` ones, in lower case; of Chinese
/// and Japanese every two characters that follow each other.
pub(crate) fn content_units(text: &str, small: impl Fn(&str) -> bool) -> Vec<String> {
    let mut units = Vec::new();
    for word in words(text) {
        let lower = word.text.to_lowercase();
        if !lower.chars().any(is_ideographic) {
            let is_content = lower.chars().count() >= 3 && !small(&lower);
            units.extend(is_content.then_some(lower));
            continue;
        }
        let characters: Vec<char> = lower.chars().collect();
        match characters.as_slice() {
            [one] => units.push(one.to_string()),
            many => units.extend(many.windows(2).map(|pair| pair.iter().collect::<String>())),
        }
    }
    units
}

/// Whether two words in lower case are forms of one: equal, one the beginning of the other, or alike but for an ending.
pub(crate) fn is_same_stem(left: &str, right: &str) -> bool {
    if left == right {
        return true;
    }
    let common = left
        .chars()
        .zip(right.chars())
        .take_while(|(left, right)| left == right)
        .count();
    let (left, right) = (left.chars().count(), right.chars().count());
    let (short, long) = (left.min(right), left.max(right));
    // Four letters tell apart what three do not: "cat" and "car", but "cats" is a form of "cat".
    (common == short && short >= 3 && long - short <= 3)
        || (common >= 4 && common * 100 >= long * 55)
}

/// The byte where `needle` stands in `text` as a word of its own, at `from` or later.
pub(crate) fn find_word(text: &str, needle: &str, from: usize) -> Option<usize> {
    if needle.is_empty() {
        return None;
    }
    let mut from = from;
    while let Some(at) = text.get(from..)?.find(needle) {
        let start = from + at;
        let end = start + needle.len();
        let first = needle.chars().next()?;
        let last = needle.chars().next_back()?;
        let before = text[..start].chars().next_back();
        let after = text[end..].chars().next();
        if is_edge(before, first) && is_edge(after, last) {
            return Some(start);
        }
        from = start + first.len_utf8();
    }
    None
}

/// Whether a word ends between a character of it and its neighbour.
fn is_edge(neighbour: Option<char>, character: char) -> bool {
    neighbour.is_none_or(|neighbour| {
        !is_word_character(neighbour)
            || !is_word_character(character)
            || is_ideographic(neighbour)
            || is_ideographic(character)
    })
}

/// A number that is the same for the same text on every machine (FNV-1a).
pub(crate) fn stable_hash(parts: &[&str]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}

/// One of the items, the same one for the same text. None when there are none.
pub(crate) fn pick<'a, T>(items: &'a [T], of: &[&str]) -> Option<&'a T> {
    let count = u64::try_from(items.len()).ok().filter(|count| *count > 0)?;
    // The low bits of the hash of short texts are alike; the high ones are mixed in.
    let hash = stable_hash(of);
    let place = (hash ^ (hash >> 32)) % count;
    items.get(usize::try_from(place).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_script() {
        let texts = |text| -> Vec<&str> { words(text).into_iter().map(|word| word.text).collect() };
        assert_eq!(
            texts("A close-up, 3 cats!"),
            ["A", "close", "up", "3", "cats"]
        );
        assert_eq!(texts("一只猫 runs走"), ["一只猫", "runs", "走"]);
        assert_eq!(texts("एक बिल्ली।"), ["एक", "बिल्ली"]);
        assert!(texts(" ,.!").is_empty());
    }

    #[test]
    fn sentences_begin_where_one_ended() {
        let text = "The dog. Anna runs: \"Hello Bo\"";
        let firsts = words(text).into_iter().filter(|word| word.is_first);
        let firsts: Vec<&str> = firsts.map(|word| word.text).collect();
        assert_eq!(firsts, ["The", "Anna", "Hello"]);
    }

    #[test]
    fn forms_of_a_word_are_the_same_and_other_words_are_not() {
        for (left, right) in [("cat", "cats"), ("running", "runner"), ("drehen", "dreht")] {
            assert!(is_same_stem(left, right), "{left} {right}");
        }
        for (left, right) in [("cat", "car"), ("red", "reading"), ("night", "light")] {
            assert!(!is_same_stem(left, right), "{left} {right}");
        }
    }

    #[test]
    fn a_word_is_found_only_as_a_whole() {
        assert_eq!(find_word("Annabel and Anna", "Anna", 0), Some(12));
        assert_eq!(find_word("Annabel", "Anna", 0), None);
        assert_eq!(find_word("小明在跑", "小明", 0), Some(0));
        assert_eq!(find_word("a", "", 0), None);
        assert_eq!(find_word("ééé", "é", 0), None);
    }

    #[test]
    fn the_same_text_picks_the_same_item() {
        let items = [1, 2, 3];
        assert_eq!(pick(&items, &["a"]), pick(&items, &["a"]));
        let picked = (0..64).filter_map(|at| pick(&items, &[&at.to_string()]));
        let mut picked: Vec<_> = picked.collect();
        picked.sort_unstable();
        picked.dedup();
        assert_eq!(picked.len(), 3);
        assert_eq!(pick::<u8>(&[], &["a"]), None);
    }
}
