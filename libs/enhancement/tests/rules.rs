//! What the rules add, and what they leave alone.

use kinora_enhancement::{Character, Draft, Enhanced, Family, Language, Mode, Rules};

fn enhance(draft: &Draft) -> Enhanced {
    Rules::embedded()
        .enhance(draft)
        .expect("a draft that can be read")
}

fn of(family: Family, prompt: &str) -> Enhanced {
    enhance(&Draft::new(family, prompt))
}

#[test]
fn wan_gets_motion_and_camera_words() {
    let found = of(Family::Wan, "a fox runs across a frozen lake");
    assert!(
        found
            .prompt
            .starts_with("a fox runs across a frozen lake. "),
        "{found:?}"
    );
    for id in ["wan.motion", "wan.camera", "wan.light", "wan.style"] {
        assert!(found.used.iter().any(|used| used == id), "{id}: {found:?}");
    }
    assert!(found.prompt.contains("camera") && found.is_changed);
}

#[test]
fn mochi_gets_photographic_detail() {
    let found = of(Family::Mochi, "a mechanic wipes oil from her hands");
    for id in ["mochi.lens", "mochi.texture", "mochi.light", "mochi.motion"] {
        assert!(found.used.iter().any(|used| used == id), "{id}: {found:?}");
    }
    assert!(found.prompt.contains("lens"));
    assert_eq!(found.negative_prompt, "");
}

#[test]
fn ovi_gets_speech_and_sound_in_the_form_of_its_variant() {
    let prompt = "A man in the rain says \"I never lost\" and smiles";
    let small = of(Family::Ovi720, prompt);
    assert!(
        small
            .prompt
            .starts_with("A man in the rain says <S>I never lost<E> and smiles. ")
    );
    assert!(small.prompt.contains("<AUDCAP>") && small.prompt.ends_with("<ENDAUDCAP>"));
    let large = of(Family::Ovi960, prompt);
    assert!(large.prompt.contains("<S>I never lost<E>"));
    let sound = large.tags.audio.clone().unwrap();
    assert!(large.prompt.ends_with(&format!(" Audio: {sound}")));
    assert!(sound.contains("rain") && sound.contains("voice"), "{sound}");
    assert_eq!(large.tags.speech, ["I never lost"]);
    assert_eq!(small.tags.audio, large.tags.audio);
}

#[test]
fn what_is_there_is_not_added_again() {
    let prompt = "Aerial shot of a slowly turning windmill at sunset, cinematic style";
    let found = of(Family::Wan, prompt);
    assert_eq!((found.prompt.as_str(), found.is_changed), (prompt, false));
    assert!(found.used.is_empty());
    let still = of(Family::Wan, "a statue stands motionless");
    assert!(
        !still.used.iter().any(|used| used == "wan.motion"),
        "{still:?}"
    );
    let drawn = of(Family::Mochi, "a cartoon rabbit hops");
    assert!(!drawn.prompt.contains("lens"), "{drawn:?}");
}

#[test]
fn a_picture_decides_the_light_and_the_style() {
    let draft = Draft {
        mode: Mode::ImageToVideo,
        ..Draft::new(Family::Wan, "the cat opens its eyes")
    };
    let found = enhance(&draft);
    assert_eq!(found.used, ["wan.motion", "wan.camera"]);
    assert!(found.negative_prompt.starts_with("camera shake, "));
    let both = Draft {
        mode: Mode::FirstLastToVideo,
        ..draft
    };
    let both = enhance(&both);
    assert_eq!(both.used, ["wan.passage", "wan.camera"]);
    assert!(both.negative_prompt.starts_with("scene cut, "));
}

#[test]
fn a_prompt_is_added_to_in_its_own_language() {
    for (prompt, expected) in [
        ("一只猫在雪地里奔跑", "镜头"),
        ("un perro corre por la playa", "cámara"),
        ("ein Hund läuft durch den Schnee", "Kamera"),
        ("девочка бежит по полю", "Камера"),
        ("猫が雪の中を走っている", "カメラ"),
        ("قطة تجلس على النافذة", "الكاميرا"),
    ] {
        let found = of(Family::Wan, prompt).prompt;
        assert!(found.starts_with(prompt), "{found}");
        assert!(found.contains(expected), "{found}");
        assert!(!found.contains("camera"), "{found}");
    }
}

#[test]
fn a_language_without_templates_is_left_alone_and_said_so() {
    let prompt = "고양이가 눈 위를 달린다";
    let found = of(Family::Wan, prompt);
    assert_eq!(found.prompt, prompt);
    assert!(
        found.notes.iter().any(|note| note.contains("ko")),
        "{found:?}"
    );
    let told = Draft {
        language: Language::from_code("it"),
        ..Draft::new(Family::Wan, "un gatto")
    };
    assert_eq!(enhance(&told).prompt, "un gatto");
}

#[test]
fn english_is_assumed_with_a_note_where_nothing_speaks_for_a_language() {
    let found = of(Family::Wan, "robot");
    assert!(found.prompt.starts_with("robot. "));
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("English is assumed")),
        "{found:?}"
    );
}

#[test]
fn a_style_that_is_asked_for_is_added_once() {
    let draft = Draft {
        style: Some("oil painting"),
        ..Draft::new(Family::Mochi, "a lighthouse in a storm")
    };
    let found = enhance(&draft);
    assert!(found.prompt.contains("Style: oil painting."), "{found:?}");
    assert!(
        !found.prompt.contains("lens"),
        "a painting has no lens: {found:?}"
    );
    let there = Draft {
        prompt: "an oil painting of a lighthouse",
        ..draft
    };
    assert!(!enhance(&there).prompt.contains("Style:"));
}

#[test]
fn characters_are_merged_and_absent_ones_are_told() {
    let characters = ["Mara", "Jon"].map(|name| Character {
        name: name.to_owned(),
        sheet: "red hair, green coat".to_owned(),
    });
    let draft = Draft {
        characters: &characters,
        ..Draft::new(Family::Ovi960, "Mara says \"Jon is late\"")
    };
    let found = enhance(&draft);
    assert!(
        found
            .prompt
            .starts_with("Mara (red hair, green coat) says <S>Jon is late<E>"),
        "{found:?}"
    );
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("Jon does not appear")),
        "{found:?}"
    );
}

#[test]
fn additions_that_do_not_fit_are_dropped_and_the_original_never_is() {
    let rules = Rules::embedded();
    let nearly = "a cat sits by a pond ".repeat(16);
    let found = rules
        .enhance(&Draft::new(Family::Mochi, nearly.trim()))
        .unwrap();
    assert!(found.prompt.starts_with(nearly.trim()));
    assert!(rules.count(Family::Mochi, &found.prompt) <= 256);
    let too_long = "a cat sits by a pond ".repeat(60);
    let found = rules
        .enhance(&Draft::new(Family::Mochi, too_long.trim()))
        .unwrap();
    assert_eq!(found.prompt, too_long.trim());
    assert!(
        found.notes.iter().any(|note| note.contains("256 tokens")),
        "{found:?}"
    );
}

#[test]
fn the_callers_negative_prompt_is_kept_and_the_models_own_never_fights_the_prompt() {
    let draft = Draft {
        negative_prompt: "people,\n cars",
        ..Draft::new(Family::Wan, "a street")
    };
    assert_eq!(enhance(&draft).negative_prompt, "people, cars");
    let own = of(Family::Wan, "a film with subtitles").negative_prompt;
    assert!(
        own.contains("watermark") && !own.contains("subtitles"),
        "{own}"
    );
    assert!(
        of(Family::Wan, "一只猫在雪地里奔跑")
            .negative_prompt
            .contains("水印")
    );
}

#[test]
fn tags_of_another_model_are_told() {
    let found = of(
        Family::Wan,
        "<S>Hello<E> says a baker. <AUDCAP>street<ENDAUDCAP>",
    );
    assert!(
        found.prompt.starts_with("\"Hello\" says a baker."),
        "{found:?}"
    );
    assert_eq!(found.notes.len(), 2);
    assert_eq!(found.used.first().map(String::as_str), Some("tags"));
}

#[test]
fn tags_that_cannot_be_read_name_the_place_in_what_was_typed() {
    let rules = Rules::embedded();
    let error = rules
        .enhance(&Draft::new(Family::Wan, "a\n\u{200b}\n dog <S>barks"))
        .unwrap_err();
    assert_eq!(
        (error.reason(), error.field()),
        ("PROMPT_TAGS_INVALID", "prompt")
    );
    assert!(error.to_string().ends_with("at character 9"), "{error}");
}
