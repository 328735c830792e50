//! Files of templates that operators write.

use std::collections::BTreeMap;

use kinora_enhancement::{Draft, Family, Problem, Rules};

fn files(name: &str, text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), text.to_owned())])
}

fn problems(name: &str, text: &str) -> Vec<Problem> {
    Rules::parse(&files(name, text)).expect_err("files with problems")
}

#[test]
fn the_files_that_come_with_kinora_have_no_problem() {
    if let Err(problems) = Rules::parse(&BTreeMap::new()) {
        panic!("{problems:#?}");
    }
}

#[test]
fn a_file_takes_the_place_of_the_one_of_its_name() {
    let text = r#"
        max_tokens = 100
        instructions = "Rewrite."
        [[addition]]
        id = "camera"
        facet = "camera"
        [addition.phrases]
        en = ["A crane shot."]
    "#;
    let rules = Rules::parse(&files("wan.toml", text)).unwrap();
    let found = rules
        .enhance(&Draft::new(Family::Wan, "the fox runs"))
        .unwrap();
    assert_eq!(found.prompt, "the fox runs. A crane shot.");
    assert_eq!(rules.max_tokens(Family::Wan), 100);
    let mochi = rules
        .enhance(&Draft::new(Family::Mochi, "the fox runs"))
        .unwrap();
    assert!(mochi.prompt.contains("lens"));
}

#[test]
fn everything_that_is_wrong_is_reported_with_its_field() {
    let text = r#"
        max_tokens = 5
        instructions = " "
        [style]
        en = "no place for it"
        [negative]
        tlh = "x"
        [[addition]]
        id = "camera"
        facet = "kamera"
        modes = ["sound"]
        [addition.phrases]
        en = ["A <S> tag."]
        [[sound]]
        when = "never"
        [sound.phrases]
        en = " blank"
    "#;
    let found = problems("ovi.toml", text);
    let fields: Vec<&str> = found.iter().map(|problem| problem.field.as_str()).collect();
    for field in [
        "max_tokens",
        "instructions",
        "style.en",
        "negative.tlh",
        "addition.0",
        "addition.0.modes",
        "addition.0.en",
        "sound.0.when",
        "sound.0.en",
    ] {
        assert!(fields.contains(&field), "{field}: {fields:?}");
    }
    assert!(found.iter().all(|problem| problem.file == "ovi.toml"));
}

#[test]
fn a_phrase_that_would_be_added_twice_is_refused() {
    let text = r#"
        max_tokens = 100
        instructions = "Rewrite."
        [[addition]]
        id = "camera"
        facet = "camera"
        [addition.phrases]
        en = ["Seen by nobody."]
    "#;
    let found = problems("wan.toml", text);
    assert!(
        found.iter().any(|it| it.field == "addition.0.phrases.en"),
        "{found:?}"
    );
}

#[test]
fn unknown_files_fields_and_broken_syntax_are_reported() {
    assert_eq!(problems("sora.toml", "").first().unwrap().file, "sora.toml");
    let found = problems(
        "wan.toml",
        "max_tokens = 100\ninstructions = \"x\"\ncolour = 1",
    );
    assert_eq!(found.first().unwrap().field, "line 3", "{found:?}");
    let found = problems("cues.toml", "[camera\n");
    assert!(
        found.first().unwrap().field.starts_with("line "),
        "{found:?}"
    );
    assert!(
        found
            .first()
            .unwrap()
            .to_string()
            .starts_with("cues.toml: line ")
    );
}

#[test]
fn the_small_models_file_needs_its_world() {
    let found = problems("tiny.toml", "max_tokens = 100\ninstructions = \"x\"");
    assert!(found.iter().any(|it| it.field == "tiny"), "{found:?}");
}
