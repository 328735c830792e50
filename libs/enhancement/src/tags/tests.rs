use super::*;

#[track_caller]
fn rewritten(text: &str, family: Family, expected: &str) {
    let markup = parse(text, family).unwrap();
    let (written, _) = write(&markup.pieces, family);
    assert_eq!(written, expected);
    if family.has_sound() {
        assert_eq!(check(&written, family), Ok(markup.tags()));
    }
}

#[track_caller]
fn refused(text: &str, problem: TagProblem, position: usize) {
    for family in Family::ALL {
        let error = parse(text, family).unwrap_err();
        assert_eq!(error, TagError { problem, position }, "{text}");
    }
}

#[test]
fn each_variant_gets_the_sound_in_its_own_form() {
    let in_tags = "A man speaks. <S>Hello.<E> <AUDCAP>rain on a roof<ENDAUDCAP>";
    let at_end = "A man speaks. <S>Hello.<E> Audio: rain on a roof";
    for text in [in_tags, at_end] {
        rewritten(text, Family::Ovi720, in_tags);
        rewritten(text, Family::Ovi960, at_end);
    }
}

#[test]
fn models_without_sound_keep_speech_in_quotation_marks() {
    let text = "A man speaks: <S>Hello.<E> He waves. <AUDCAP>rain<ENDAUDCAP>";
    rewritten(text, Family::Wan, "A man speaks: \"Hello.\" He waves.");
    rewritten("<S>so \"big\"<E>", Family::Mochi, "“so \"big\"”");
    let notes = write(&parse(text, Family::Wan).unwrap().pieces, Family::Wan).1;
    assert_eq!(notes.len(), 2);
}

#[test]
fn the_sound_goes_to_the_end_and_speech_before_it() {
    rewritten(
        "Rain. <AUDCAP>drops<ENDAUDCAP> A dog.",
        Family::Ovi720,
        "Rain. A dog. <AUDCAP>drops<ENDAUDCAP>",
    );
    rewritten(
        "Rain. Audio: drops <S>hi<E> wind",
        Family::Ovi960,
        "Rain. <S>hi<E> Audio: drops wind",
    );
    rewritten(
        "<AUDCAP>a<ENDAUDCAP> x <AUDCAP>b<ENDAUDCAP>",
        Family::Ovi960,
        "x Audio: a b",
    );
}

#[test]
fn small_letters_slashes_and_empty_tags_are_repaired_with_a_note() {
    for text in [
        "a <s>hi<e>",
        "a <S>hi</S>",
        "a <S> hi <E>",
        "a <S>hi<E> <S> <E>",
    ] {
        rewritten(text, Family::Ovi720, "a <S>hi<E>");
    }
    assert_eq!(parse("<s>hi<e>", Family::Ovi720).unwrap().notes.len(), 1);
    assert_eq!(parse("x <S><E>", Family::Ovi720).unwrap().notes.len(), 1);
}

#[test]
fn unbalanced_and_nested_tags_are_refused_with_the_place() {
    refused("aé <S>hello", TagProblem::NotClosed(Tag::Speech), 3);
    refused("hello<E>", TagProblem::NotOpened(Tag::Speech), 5);
    refused("<S>a <S>b<E>", TagProblem::Nested(Tag::Speech), 5);
    refused(
        "<AUDCAP>a <S>b<E><ENDAUDCAP>",
        TagProblem::Nested(Tag::Speech),
        10,
    );
    refused("<S>a<ENDAUDCAP>", TagProblem::NotOpened(Tag::Audio), 4);
    refused("<AUDCAP>a", TagProblem::NotClosed(Tag::Audio), 0);
}

#[test]
fn audio_is_a_word_like_any_other_in_the_middle_of_a_scene_without_sound() {
    rewritten(
        "a knob labelled Audio: on",
        Family::Wan,
        "a knob labelled Audio: on",
    );
    rewritten("A knob. Audio: on", Family::Wan, "A knob.");
    rewritten("a HiFiAudio: box", Family::Ovi960, "a HiFiAudio: box");
}

#[test]
fn other_angle_brackets_are_text() {
    rewritten("a <b> c < 3 <é", Family::Ovi720, "a <b> c < 3 <é");
}

#[test]
fn only_the_form_of_the_family_passes_the_check() {
    assert!(check("a <S>hi<E> Audio: rain", Family::Ovi960).is_ok());
    assert!(check("a <S>hi<E> Audio: rain", Family::Ovi720).is_err());
    assert!(check("a <S>hi<E>", Family::Wan).is_err());
    assert!(check("a <s>hi<e>", Family::Ovi720).is_err());
    assert!(check("a <S>hi", Family::Ovi720).is_err());
    assert!(check("a dog", Family::Wan).is_ok());
}

#[test]
fn nothing_becomes_a_tag_by_what_is_taken_out() {
    rewritten("<S<S><E>> a", Family::Ovi720, "<S > a");
    rewritten(
        "<S<AUDCAP>x<ENDAUDCAP>> a",
        Family::Ovi960,
        "<S > a Audio: x",
    );
}

#[test]
fn speech_gets_marks_that_the_text_does_not_have() {
    rewritten("5\" high <S>hi<E>", Family::Wan, "5\" high “hi”");
    rewritten("5\" “x <S>hi<E>", Family::Wan, "5\" “x «hi»");
}
