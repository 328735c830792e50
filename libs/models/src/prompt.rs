//! Prompt cleaning: what happens to a text before it is split into tokens.
//!
//! The reference repairs the text with the Python package ftfy, unescapes HTML twice and collapses
//! whitespace. Of ftfy the parts that matter to typed prompts are done here: straight quotes, no
//! control characters, no ligatures, no full-width forms. Repairing text that was decoded with the
//! wrong character set is not.

/// Cleans a prompt.
#[must_use]
pub fn clean(prompt: &str) -> String {
    let plain: String = prompt.chars().flat_map(plain_forms).collect();
    let text = unescape_html(&unescape_html(&plain));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The plain characters that stand for a decorated one.
fn plain_forms(character: char) -> Vec<char> {
    match character {
        '\u{2018}'..='\u{201b}' => vec!['\''],
        '\u{201c}'..='\u{201f}' => vec!['"'],
        '\u{fb00}' => vec!['f', 'f'],
        '\u{fb01}' => vec!['f', 'i'],
        '\u{fb02}' => vec!['f', 'l'],
        '\u{fb03}' => vec!['f', 'f', 'i'],
        '\u{fb04}' => vec!['f', 'f', 'l'],
        '\u{3000}' => vec![' '],
        '\u{ff01}'..='\u{ff5e}' => narrow(character).into_iter().collect(),
        '\u{feff}' => Vec::new(),
        c if c.is_control() && !c.is_whitespace() => Vec::new(),
        c => vec![c],
    }
}

/// Full-width forms lie at a fixed distance from the ASCII characters they widen.
fn narrow(character: char) -> Option<char> {
    char::from_u32(u32::from(character) - 0xff01 + 0x21)
}

/// Replaces `&amp;`, `&#39;`, `&#x27;` and the like by what they mean; leaves unknown ones alone.
fn unescape_html(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        result.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(';');
        match end.and_then(|end| Some((end, entity(rest.get(1..end)?)?))) {
            Some((end, meaning)) => {
                result.push(meaning);
                rest = &rest[end + 1..];
            }
            None => {
                result.push('&');
                rest = &rest[1..];
            }
        }
    }
    result.push_str(rest);
    result
}

fn entity(name: &str) -> Option<char> {
    if let Some(code) = name.strip_prefix('#') {
        let hexadecimal = code
            .strip_prefix(['x', 'X'])
            .map(|code| u32::from_str_radix(code, 16));
        return char::from_u32(hexadecimal.unwrap_or_else(|| code.parse()).ok()?);
    }
    let meaning = match name {
        "amp" | "AMP" => '&',
        "lt" | "LT" => '<',
        "gt" | "GT" => '>',
        "quot" | "QUOT" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "hellip" => '\u{2026}',
        "ndash" => '\u{2013}',
        "mdash" => '\u{2014}',
        "lsquo" => '\u{2018}',
        "rsquo" => '\u{2019}',
        "ldquo" => '\u{201c}',
        "rdquo" => '\u{201d}',
        "copy" => '\u{a9}',
        "reg" => '\u{ae}',
        "trade" => '\u{2122}',
        "deg" => '\u{b0}',
        "times" => '\u{d7}',
        "euro" => '\u{20ac}',
        _ => return None,
    };
    Some(meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prompt: &str, expected: &str) {
        assert_eq!(clean(prompt), expected);
    }

    #[test]
    fn whitespace_is_collapsed() {
        check(
            "  a  red\tcircle \r\n moves\u{3000}right ",
            "a red circle moves right",
        );
        check("", "");
    }

    #[test]
    fn html_is_unescaped_twice() {
        check("cats &amp;amp; dogs", "cats & dogs");
        check("&lt;b&gt; &#39;x&#x27; &quot;", "<b> 'x' \"");
        check(
            "AT&T; a & b &nosuch; &#xffffffff; &;",
            "AT&T; a & b &nosuch; &#xffffffff; &;",
        );
    }

    #[test]
    fn decorated_characters_become_plain() {
        check(
            "\u{201c}it\u{2019}s\u{201d} \u{fb01}ne \u{ff21}\u{ff01}",
            "\"it's\" fine A!",
        );
        check("a\u{0}b\u{7}c", "abc");
    }

    #[test]
    fn multibyte_text_around_entities_is_kept() {
        check("é&é;é &amp é", "é&é;é &amp é");
    }
}
