//! Whatever is typed: nothing panics, what comes out can be read again, and nothing is added twice.

use std::sync::Arc;

use kinora_enhancement::tokens::FileCounter;
use kinora_enhancement::{
    Character, Draft, DraftError, Family, MAX_PROMPT_BYTES, Mode, Rules, judge, llm, tags,
};
use rand::prelude::*;
use rand::rngs::StdRng;

/// What texts are made of: scripts, marks, tags, and what breaks parsers.
const PARTS: &[&str] = &[
    "a",
    "red",
    "ball",
    "moves right",
    "Anna",
    "Mara",
    " ",
    "  ",
    "\n",
    "\u{200b}",
    "\u{202e}",
    "\u{0}",
    "<S>",
    "<E>",
    "<s>",
    "</S>",
    "<AUDCAP>",
    "<ENDAUDCAP>",
    "Audio:",
    "\"",
    "“",
    "”",
    "«",
    "»",
    "「",
    "」",
    "says ",
    "hello",
    "12",
    "3.5",
    "(",
    ")",
    "Mara's",
    "Mara (tall)",
    "一只猫",
    "猫が走る",
    "镜头",
    "说",
    "قطة",
    "كاميرا",
    "बिल्ली",
    "кот бежит",
    "¿qué?",
    "é",
    "ß",
    "İ",
    "ǆ",
    "🙂",
    "👩\u{200d}🚀",
    ".",
    "。",
    "!",
    ",",
    ":",
    "<",
    ">",
    "&amp;",
    "{style}",
    "{\"prompt\":\"x\"}",
    "camera",
    "slowly",
    "light",
    "style",
    "rain",
    "the",
    "und",
    "le",
    "\u{fffd}",
    "Å",
    "ﬁ",
    "𝔸",
    "\u{301}",
    "on the left",
];

fn text(rng: &mut StdRng) -> String {
    let count = rng.random_range(0..24);
    let mut text = String::new();
    for _ in 0..count {
        text.push_str(PARTS.choose(rng).expect("parts"));
        if rng.random_bool(0.6) {
            text.push(' ');
        }
        if rng.random_bool(0.02) {
            text.push(rng.random());
        }
    }
    text
}

fn characters() -> Vec<Character> {
    let character = |name: &str, sheet: &str| Character {
        name: name.to_owned(),
        sheet: sheet.to_owned(),
    };
    vec![
        character("Mara", "tall woman, red hair, <S>coat"),
        character("猫", "白色，大眼睛"),
    ]
}

#[test]
fn any_text_is_enhanced_to_one_that_reads_the_same_or_refused_with_a_reason() {
    let rules = Rules::embedded();
    let characters = characters();
    let mut rng = StdRng::seed_from_u64(8);
    let mut enhanced_count = 0;
    for round in 0..6000 {
        let prompt = text(&mut rng);
        let draft = Draft {
            mode: *Mode::ALL.choose(&mut rng).expect("modes"),
            style: rng.random_bool(0.2).then_some("soft watercolour"),
            characters: if rng.random_bool(0.5) {
                &characters
            } else {
                &[]
            },
            ..Draft::new(*Family::ALL.choose(&mut rng).expect("families"), &prompt)
        };
        let enhanced = match rules.enhance(&draft) {
            Ok(enhanced) => enhanced,
            Err(error) => {
                assert!(!error.reason().is_empty());
                continue;
            }
        };
        enhanced_count += 1;
        assert_eq!(
            rules.enhance(&draft).as_ref(),
            Ok(&enhanced),
            "{prompt:?} twice"
        );
        let found = tags::check(&enhanced.prompt, draft.family);
        assert_eq!(
            found.as_ref(),
            Ok(&enhanced.tags),
            "round {round}: {prompt:?} {enhanced:?}"
        );
        judge::judge(&draft, &enhanced.prompt, &rules).expect("a draft that can be read");
        let again = Draft {
            prompt: &enhanced.prompt,
            ..draft
        };
        let again = rules
            .enhance(&again)
            .expect("a prompt that can be read again");
        assert_eq!(again.prompt, enhanced.prompt, "round {round}: {prompt:?}");
    }
    assert!(enhanced_count > 2000, "{enhanced_count}");
}

#[test]
fn any_answer_of_a_language_model_is_judged() {
    let rules = Rules::embedded();
    let mut rng = StdRng::seed_from_u64(9);
    let mut accepted = 0;
    for _ in 0..2000 {
        let family = *Family::ALL.choose(&mut rng).expect("families");
        let draft = Draft::new(family, "a cat sleeps in the garden");
        let answer = match rng.random_bool(0.2) {
            true => text(&mut rng),
            false => {
                let rest = text(&mut rng);
                serde_json::json!({ "prompt": format!("a cat sleeps in the garden. {rest}") })
                    .to_string()
            }
        };
        if let Ok(enhanced) = llm::accept(&draft, &answer, &rules) {
            accepted += 1;
            assert!(tags::check(&enhanced.prompt, family).is_ok(), "{answer}");
        }
    }
    assert!(accepted > 20, "{accepted}");
}

#[test]
fn a_megabyte_is_refused_and_the_longest_prompt_passes() {
    let rules = Rules::embedded();
    for family in Family::ALL {
        let megabyte = "a".repeat(1 << 20);
        let error = rules.enhance(&Draft::new(family, &megabyte)).unwrap_err();
        assert_eq!(error.reason(), "PROMPT_TOO_LONG");
        for part in [
            "word ",
            "<S>a<E>",
            "\"",
            "猫",
            "«",
            "Mara ",
            "says \"x\" ",
            "(",
            "<",
        ] {
            let longest = part.repeat(MAX_PROMPT_BYTES / part.len());
            let characters = characters();
            let draft = Draft {
                characters: &characters,
                ..Draft::new(family, &longest)
            };
            rules.enhance(&draft).expect("a long prompt");
        }
    }
}

#[test]
fn nothing_visible_is_an_empty_prompt() {
    let rules = Rules::embedded();
    for prompt in ["", " \n\t", "\u{200b}\u{feff}\u{0}", "<S><E>"] {
        for family in Family::ALL {
            let found = rules.enhance(&Draft::new(family, prompt));
            assert_eq!(found, Err(DraftError::Empty), "{prompt:?}");
        }
    }
}

#[test]
fn a_draft_of_too_much_is_refused_with_its_field() {
    let rules = Rules::embedded();
    let many = vec![characters().remove(0); 17];
    let nameless = vec![Character {
        name: "\u{200b} ".to_owned(),
        sheet: String::new(),
    }];
    let sheet = vec![Character {
        name: "x".to_owned(),
        sheet: "y".repeat(2001),
    }];
    let style = "z".repeat(201);
    let negative = "n".repeat(MAX_PROMPT_BYTES + 1);
    let draft = Draft::new(Family::Wan, "a dog");
    for (draft, field, reason) in [
        (
            Draft {
                characters: &many,
                ..draft
            },
            "characters",
            "PROMPT_TOO_LONG",
        ),
        (
            Draft {
                characters: &nameless,
                ..draft
            },
            "characters",
            "CHARACTER_NAMELESS",
        ),
        (
            Draft {
                characters: &sheet,
                ..draft
            },
            "characters.sheet",
            "PROMPT_TOO_LONG",
        ),
        (
            Draft {
                style: Some(&style),
                ..draft
            },
            "style",
            "PROMPT_TOO_LONG",
        ),
        (
            Draft {
                negative_prompt: &negative,
                ..draft
            },
            "negative_prompt",
            "PROMPT_TOO_LONG",
        ),
    ] {
        let error = rules.enhance(&draft).unwrap_err();
        assert_eq!((error.field(), error.reason()), (field, reason));
    }
}

#[test]
fn the_small_models_own_tokenizer_counts_its_prompts() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let file = format!("{folder}/../../models/kinora-tiny-t2v/tokenizer/tokenizer.json");
    let counter = FileCounter::from_bytes(&std::fs::read(file).unwrap()).unwrap();
    let rules = Rules::embedded().with_counter(Family::Tiny, Arc::new(counter));
    let enhanced = rules
        .enhance(&Draft::new(Family::Tiny, "a crimson ball going right"))
        .unwrap();
    assert_eq!(
        enhanced.prompt,
        "a red circle moves right on a black background"
    );
    assert_eq!(enhanced.tokens, 10);
}
