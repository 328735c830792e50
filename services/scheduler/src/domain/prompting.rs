//! Prompts before they reach a model: how the model reads them, who may rewrite them, and what became of them.

use serde::{Deserialize, Serialize};

use super::submission::Invalid;

/// Characters of a request.
pub const MAX_CHARACTERS: usize = 8;

const MAX_NAME_CHARS: usize = 64;
const MAX_SHEET_CHARS: usize = 1000;
const MAX_STYLE_CHARS: usize = 200;

/// Who rewrites a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enhancer {
    /// Nobody.
    #[default]
    None,
    /// Whom the operator has set.
    Auto,
    /// Templates.
    Rules,
    /// A language model.
    Llm,
}

/// Somebody or something that has to look alike from clip to clip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Character {
    /// What the prompt calls it.
    pub name: String,
    /// How it looks.
    pub sheet: String,
}

/// For which kind of models a prompt is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PromptFamily {
    /// For none that is known: it is not rewritten.
    #[default]
    #[serde(rename = "unspecified")]
    Unspecified,
    /// The small model that comes with Kinora.
    #[serde(rename = "tiny")]
    Tiny,
    /// Wan 2.1 and 2.2.
    #[serde(rename = "wan")]
    Wan,
    /// Mochi-1.
    #[serde(rename = "mochi")]
    Mochi,
    /// Ovi at 720x720.
    #[serde(rename = "ovi-720")]
    Ovi720,
    /// Ovi at 960x960.
    #[serde(rename = "ovi-960")]
    Ovi960,
}

/// What a clip begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PromptMode {
    /// Nothing but the prompt.
    #[default]
    Text,
    /// A picture, or the end of another clip.
    Image,
    /// Pictures are the first and the last frame.
    FirstAndLastImage,
}

/// A prompt that is to be moderated, and rewritten if that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PromptOrder {
    /// As its writer has it.
    pub prompt: String,
    /// What its writer does not want to see. Empty for nothing, and for what the model means by that anyway.
    pub negative_prompt: String,
    /// The model's.
    pub family: PromptFamily,
    /// The clip's.
    pub mode: PromptMode,
    /// Who it is about.
    pub characters: Vec<Character>,
    /// Empty for none.
    pub style: String,
    /// Who rewrites it.
    pub enhancer: Enhancer,
}

/// Whether something may be generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// A person has to look at it first.
    Review {
        /// The entry in the queue.
        review: Option<String>,
        /// Why.
        finding: Option<Finding>,
    },
    /// It may not.
    Refuse {
        /// Why.
        finding: Option<Finding>,
    },
}

/// What moderation found first of all. Its evidence stays where it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// For example `graphic_violence`.
    pub category: String,
    /// Which rule.
    pub rule_id: String,
    /// In which text, as the prompts' contract names it.
    pub text: String,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Whether it may be generated.
    pub verdict: Verdict,
    /// Whether it was judged for somebody who may have adult content.
    pub is_adult: bool,
    /// What the model gets.
    pub prompt: String,
    /// What it must not show.
    pub negative_prompt: String,
    /// Who has rewritten it.
    pub enhancer: Enhancer,
    /// ISO 639-1.
    pub language: Option<String>,
    /// For the caller.
    pub notes: Vec<String>,
    /// Why it was not rewritten as it was wanted.
    pub fallback_reason: Option<String>,
}

/// What is kept with a job whose prompt was to be rewritten: the specification has what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prompting {
    /// As its writer has it.
    pub original_prompt: String,
    /// Likewise, completed from the model's defaults.
    pub original_negative_prompt: String,
    /// Who was to rewrite it.
    pub asked: Enhancer,
    /// Empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub style: String,
    /// Who it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub characters: Vec<Character>,
    /// Who has.
    pub enhancer: Enhancer,
    /// ISO 639-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Why it was not whom the request wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_reason: Option<String>,
}

impl PromptFamily {
    /// That of a model whose worker does not tell.
    #[must_use]
    pub fn of_model(id: &str, family: &str) -> Self {
        // It is built as Wan is and understands a few words; its card is part of what its clips are repeated from.
        if id.starts_with("kinora-tiny") {
            Self::Tiny
        } else if family.starts_with("wan") {
            Self::Wan
        } else if family.starts_with("mochi") {
            Self::Mochi
        } else {
            Self::Unspecified
        }
    }
}

/// Checks what is said for who rewrites the prompt.
///
/// # Errors
/// [`Invalid`] with reason `STYLE_INVALID` or `CHARACTERS_INVALID` for more or longer ones than may be, and
/// `ENHANCE_REQUIRED` where nobody rewrites it.
pub fn check_wishes(
    enhancer: Option<Enhancer>,
    style: &str,
    characters: &[Character],
) -> Result<(), Invalid> {
    let is_nobody = enhancer.unwrap_or_default() == Enhancer::None;
    let given = [
        ("style", !style.is_empty()),
        ("characters", !characters.is_empty()),
    ];
    if let Some((field, _)) = given
        .into_iter()
        .find(|(_, is_given)| is_nobody && *is_given)
    {
        let text =
            format!("{field} is for who rewrites the prompt; set `enhance` to auto, rules or llm");
        return Err(Invalid::new("ENHANCE_REQUIRED", field, text));
    }
    if !is_text(style, 0, MAX_STYLE_CHARS) {
        let text = format!("a style has at most {MAX_STYLE_CHARS} characters");
        return Err(Invalid::new("STYLE_INVALID", "style", text).with("max", MAX_STYLE_CHARS));
    }
    let is_legal = |one: &Character| {
        is_text(one.name.trim(), 1, MAX_NAME_CHARS) && is_text(&one.sheet, 0, MAX_SHEET_CHARS)
    };
    if characters.len() > MAX_CHARACTERS || !characters.iter().all(is_legal) {
        let text = format!(
            "there may be {MAX_CHARACTERS} characters, with a name of 1 to {MAX_NAME_CHARS} letters and a sheet of \
             at most {MAX_SHEET_CHARS}"
        );
        return Err(Invalid::new("CHARACTERS_INVALID", "characters", text));
    }
    Ok(())
}

/// PostgreSQL cannot keep the NUL character.
fn is_text(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count()) && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_is_told_by_the_model() {
        for (id, family, expected) in [
            ("kinora-tiny-t2v", "wan-t2v", PromptFamily::Tiny),
            ("wan2.2-ti2v-5b", "wan-ti2v", PromptFamily::Wan),
            ("mochi-1", "mochi", PromptFamily::Mochi),
            ("else", "else", PromptFamily::Unspecified),
        ] {
            assert_eq!(PromptFamily::of_model(id, family), expected, "{id}");
        }
    }

    fn character(name: &str, sheet: &str) -> Character {
        Character {
            name: name.to_owned(),
            sheet: sheet.to_owned(),
        }
    }

    #[track_caller]
    fn check(expected: Option<&str>, style: &str, characters: &[Character]) {
        let checked = check_wishes(Some(Enhancer::Auto), style, characters);
        assert_eq!(checked.err().map(|invalid| invalid.reason), expected);
    }

    #[test]
    fn wishes_are_bounded() {
        check(None, "", &[]);
        check(
            None,
            &"é".repeat(200),
            &[character("Ada", &"x".repeat(1000))],
        );
        check(Some("STYLE_INVALID"), &"x".repeat(201), &[]);
        check(Some("STYLE_INVALID"), "a\0b", &[]);
        let many = vec![character("Ada", ""); 9];
        check(None, "", &many[1..]);
        for wrong in [
            many,
            vec![character(" ", "tall")],
            vec![character(&"x".repeat(65), "")],
            vec![character("Ada", &"x".repeat(1001))],
            vec![character("Ada", "\0")],
        ] {
            check(Some("CHARACTERS_INVALID"), "", &wrong);
        }
    }

    #[test]
    fn wishes_without_somebody_to_have_them_are_a_mistake() {
        for nobody in [None, Some(Enhancer::None)] {
            let refused = check_wishes(nobody, "noir", &[]).expect_err("for nobody");
            assert_eq!(
                (refused.reason, refused.field),
                ("ENHANCE_REQUIRED", "style")
            );
            let refused = check_wishes(nobody, "", &[character("Ada", "tall")]);
            assert_eq!(refused.expect_err("for nobody").field, "characters");
            check_wishes(nobody, "", &[]).expect("nothing is wished");
        }
    }
}
