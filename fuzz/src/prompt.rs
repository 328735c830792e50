//! Prompts: tags, quotation marks, characters, and answers of a language model.
//!
//! The first byte picks the family, the second the mode and what else is given; the rest is the prompt, and behind a line of
//! `---` an answer.

use std::sync::LazyLock;

use kinora_enhancement::{Character, Draft, Family, Mode, Rules, judge, llm, tags};

static RULES: LazyLock<Rules> = LazyLock::new(Rules::embedded);

/// Whether it was of interest.
///
/// # Panics
/// When something does not hold.
#[must_use]
pub fn prompt(data: &[u8]) -> bool {
    let [family, given, text @ ..] = data else {
        return false;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let (prompt, answer) = text.split_once("\n---\n").unwrap_or((text, ""));
    let characters = [Character {
        name: "Mara".to_owned(),
        sheet: "tall woman, red hair".to_owned(),
    }];
    let draft = Draft {
        mode: Mode::ALL[usize::from(*given) % Mode::ALL.len()],
        characters: if given & 4 == 0 { &[] } else { &characters },
        style: (given & 8 != 0).then_some("watercolour"),
        ..Draft::new(
            Family::ALL[usize::from(*family) % Family::ALL.len()],
            prompt,
        )
    };
    let Ok(enhanced) = RULES.enhance(&draft) else {
        return true;
    };
    let found = tags::check(&enhanced.prompt, draft.family);
    assert_eq!(found.as_ref(), Ok(&enhanced.tags), "{enhanced:?}");
    let verdict = judge::judge(&draft, &enhanced.prompt, &RULES);
    assert!(verdict.is_ok(), "{verdict:?}");
    let again = Draft {
        prompt: &enhanced.prompt,
        ..draft
    };
    let twice = RULES.enhance(&again).expect("a prompt that can be read");
    let verdict = judge::judge(&again, &twice.prompt, &RULES);
    assert!(verdict.is_ok(), "{verdict:?}");
    if let Ok(accepted) = llm::accept(&draft, answer, &RULES) {
        assert!(
            tags::check(&accepted.prompt, draft.family).is_ok(),
            "{accepted:?}"
        );
    }
    true
}
