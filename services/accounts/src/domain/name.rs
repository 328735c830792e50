//! Names that people give to keys, programs, organisations and themselves.

use unicode_normalization::UnicodeNormalization;

use super::refusal::Refusal;

/// No name has more.
const MAX_CHARS: usize = 100;

/// Reads a name of 1 to 100 characters: spaces around it are dropped, and composed characters are one.
///
/// # Errors
/// [`Refusal::NameInvalid`] when it is empty, too long, or has a character that cannot be seen: such a name could pass
/// for another one.
pub fn parse(text: &str) -> Result<String, Refusal> {
    // More bytes than the longest name has are not worth normalising.
    if text.len() > MAX_CHARS * 16 {
        return Err(Refusal::NameInvalid);
    }
    let name: String = text.trim().nfc().collect();
    let length = name.chars().count();
    let is_valid = (1..=MAX_CHARS).contains(&length) && name.chars().all(is_visible);
    if is_valid {
        Ok(name)
    } else {
        Err(Refusal::NameInvalid)
    }
}

/// Neither a control nor a format character: those turn the direction of text, or take no room at all.
fn is_visible(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{AD}'
                | '\u{34F}'
                | '\u{61C}'
                | '\u{115F}'
                | '\u{1160}'
                | '\u{17B4}'
                | '\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF0}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_composed() {
        assert_eq!(parse("  Ada Lovelace ").unwrap(), "Ada Lovelace");
        assert_eq!(parse("Zoe\u{308}").unwrap(), "Zo\u{EB}");
        assert_eq!(parse(&"ä".repeat(100)).unwrap().chars().count(), 100);
    }

    #[test]
    fn what_cannot_be_seen_is_no_name() {
        let long = "x".repeat(101);
        let huge = "x".repeat(1 << 20);
        for text in [
            "",
            "   ",
            "a\nb",
            "a\0",
            "evil\u{202E}gnp",
            "ad\u{200B}min",
            "\u{3164}",
            &long,
            &huge,
        ] {
            assert_eq!(parse(text), Err(Refusal::NameInvalid), "{text:.20}");
        }
    }
}
