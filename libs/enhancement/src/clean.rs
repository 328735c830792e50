//! Texts without what cannot be seen: no line ends, controls, or characters of no width.

/// A cleaned text that remembers where its characters stood.
#[derive(Debug, Default)]
pub(crate) struct Cleaned {
    /// One line, single blanks, nothing invisible.
    pub text: String,
    /// For each character of the text its place in the original, counted in characters.
    origins: Vec<usize>,
    /// How many characters were left out that are neither blanks nor line ends.
    pub removed: usize,
}

impl Cleaned {
    /// Where a character of the text stood in the original, both counted in characters.
    pub fn origin(&self, place: usize) -> usize {
        let last = self.origins.last().map_or(0, |last| last + 1);
        self.origins.get(place).copied().unwrap_or(last)
    }
}

/// Cleans a text.
pub(crate) fn clean(original: &str) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let mut before = None;
    let mut characters = original.chars().enumerate().peekable();
    while let Some((place, character)) = characters.next() {
        let after = characters.peek().map(|(_, after)| *after);
        match kept(before, character, after) {
            Kept::AsItIs => {
                cleaned.text.push(character);
                cleaned.origins.push(place);
            }
            Kept::AsBlank if cleaned.text.is_empty() || cleaned.text.ends_with(' ') => {}
            Kept::AsBlank => {
                cleaned.text.push(' ');
                cleaned.origins.push(place);
            }
            Kept::Not => {
                cleaned.removed += 1;
                continue;
            }
        }
        before = Some(character);
    }
    if cleaned.text.ends_with(' ') {
        cleaned.text.pop();
        cleaned.origins.pop();
    }
    cleaned
}

enum Kept {
    AsItIs,
    AsBlank,
    Not,
}

fn kept(before: Option<char>, character: char, after: Option<char>) -> Kept {
    if character.is_whitespace() {
        return Kept::AsBlank;
    }
    match character {
        // They shape letters of some scripts and join emoji; elsewhere they only hide.
        '\u{200c}' | '\u{200d}' => match (before, after) {
            (Some(before), Some(after)) if is_joined(before) && is_joined(after) => Kept::AsItIs,
            _ => Kept::Not,
        },
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffd}'
        | '\u{e0000}'..='\u{e0fff}' => Kept::Not,
        character if character.is_control() => Kept::Not,
        _ => Kept::AsItIs,
    }
}

/// Whether a joiner beside this character has a meaning: Arabic, the scripts of India, and pictures.
fn is_joined(character: char) -> bool {
    matches!(character, '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{2190}'..='\u{2bff}'
        | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(original: &str, expected: &str, removed: usize) {
        let cleaned = clean(original);
        assert_eq!(cleaned.text, expected);
        assert_eq!(cleaned.removed, removed);
    }

    #[test]
    fn line_ends_and_blanks_become_single_blanks() {
        check(" a\r\ncat\t\u{3000}runs \n", "a cat runs", 0);
        check(" \n\t ", "", 0);
    }

    #[test]
    fn what_cannot_be_seen_goes_and_is_counted() {
        check("a\u{0}\u{7} c\u{200b}a\u{feff}t\u{202e}", "a cat", 5);
        check("a \u{200b} b", "a b", 1);
        check("\u{e0041}x", "x", 1);
    }

    #[test]
    fn joiners_stay_where_they_shape_a_letter_or_an_emoji() {
        check("می\u{200c}رود", "می\u{200c}رود", 0);
        check("👩\u{200d}🚀", "👩\u{200d}🚀", 0);
        check("ca\u{200d}t", "cat", 1);
    }

    #[test]
    fn places_lead_back_to_the_original() {
        let cleaned = clean("é\u{200b}\n\n <S>");
        assert_eq!(cleaned.text, "é <S>");
        assert_eq!(cleaned.origin(2), 5);
        assert_eq!(cleaned.origin(100), 8);
    }
}
