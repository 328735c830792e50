use super::*;

const TWO_AUDIENCES: &str = r#"
[general.CAT]
refuse = { score = 0.6, frames = 2 }
review = { score = 0.3 }
category = "animals"

[general.DOG]
review = { score = 0.5 }

[verified_adult.DOG]
refuse = { score = 0.9 }
"#;

/// One finding in each frame, or none where the score is 0.
fn clip(class: &str, scores: &[f32]) -> Vec<Vec<Sighting>> {
    let frame = |&score: &f32| {
        let seen = Sighting {
            class: class.to_owned(),
            score,
        };
        (score > 0.0).then_some(seen).into_iter().collect()
    };
    scores.iter().map(frame).collect()
}

fn verdict(audience: Audience, class: &str, scores: &[f32]) -> &'static str {
    let policy = FramePolicy::from_toml(TWO_AUDIENCES).unwrap();
    policy.judge(audience, &clip(class, scores)).name()
}

#[test]
fn a_class_must_be_sure_enough_in_enough_frames() {
    use Audience::General;
    for (scores, expected) in [
        ([0.7, 0.7, 0.0].as_slice(), "refuse"),
        (&[0.6, 0.6, 0.6], "refuse"),
        (&[0.7, 0.0, 0.0], "review"),
        (&[0.59, 0.59, 0.59], "review"),
        (&[0.0, 0.0, 0.3], "review"),
        (&[0.29, 0.29, 0.29], "allow"),
        (&[0.0, 0.0, 0.0], "allow"),
        // One frame needs only itself.
        (&[0.7], "refuse"),
        (&[], "allow"),
    ] {
        assert_eq!(verdict(General, "CAT", scores), expected, "{scores:?}");
    }
}

#[test]
fn audiences_have_rules_of_their_own_and_the_strict_one_is_the_default() {
    assert_eq!(Audience::default(), Audience::General);
    for (audience, class, expected) in [
        (Audience::General, "DOG", "review"),
        (Audience::VerifiedAdult, "DOG", "refuse"),
        (Audience::General, "CAT", "refuse"),
        (Audience::VerifiedAdult, "CAT", "allow"),
        (Audience::General, "COW", "allow"),
    ] {
        assert_eq!(verdict(audience, class, &[1.0, 1.0]), expected, "{class}");
    }
}

#[test]
fn a_refusal_outweighs_a_review_and_says_its_category() {
    let policy = FramePolicy::from_toml(TWO_AUDIENCES).unwrap();
    let mut frames = clip("DOG", &[0.9, 0.9]);
    for (frame, more) in frames.iter_mut().zip(clip("CAT", &[0.9, 0.9])) {
        frame.extend(more);
    }
    let category = "animals".to_owned();
    assert_eq!(
        policy.judge(Audience::General, &frames),
        Verdict::Refuse { category }
    );
    let dogs = policy.judge(Audience::General, &clip("DOG", &[0.9]));
    let category = "nudity".to_owned();
    assert_eq!(dogs, Verdict::Review { category });
}

#[test]
fn a_preview_is_minded_whatever_the_score() {
    let policy = FramePolicy::from_toml(TWO_AUDIENCES).unwrap();
    let minds = |audience, class| {
        let seen = clip(class, &[0.2]);
        policy.minds(audience, seen.iter().flatten())
    };
    assert!(minds(Audience::General, "CAT") && minds(Audience::General, "DOG"));
    assert!(!minds(Audience::General, "COW") && !minds(Audience::VerifiedAdult, "CAT"));
}

#[test]
fn the_built_in_policy_refuses_exposed_genitals_to_the_general_audience() {
    let policy = FramePolicy::from_toml(BUILT_IN).unwrap();
    for class in [
        "FEMALE_GENITALIA_EXPOSED",
        "MALE_GENITALIA_EXPOSED",
        "ANUS_EXPOSED",
    ] {
        let one_frame = clip(class, &[0.0, 0.5, 0.0, 0.0]);
        assert_eq!(
            policy.judge(Audience::General, &one_frame).name(),
            "refuse",
            "{class}"
        );
        let unsure = clip(class, &[0.0, 0.35, 0.0, 0.0]);
        assert_eq!(
            policy.judge(Audience::General, &unsure).name(),
            "review",
            "{class}"
        );
        assert_eq!(
            policy.judge(Audience::VerifiedAdult, &one_frame).name(),
            "allow"
        );
    }
    let face = clip("FACE_FEMALE", &[0.9; 10]);
    assert_eq!(policy.judge(Audience::General, &face), Verdict::Allow);
}

#[test]
fn a_policy_that_makes_no_sense_names_the_field() {
    for (text, field) in [
        ("", "general"),
        ("[general]", "general"),
        ("[general.CAT]", "general.CAT.refuse"),
        ("[general.CAT]\nreview = { score = 0.5 }", "general"),
        (
            "[general.CAT]\nrefuse = { score = 0.1 }",
            "general.CAT.refuse.score",
        ),
        (
            "[general.CAT]\nrefuse = { score = nan }",
            "general.CAT.refuse.score",
        ),
        (
            "[general.CAT]\nrefuse = { score = 1.5 }",
            "general.CAT.refuse.score",
        ),
        (
            "[general.CAT]\nrefuse = { score = 0.5, frames = 0 }",
            "general.CAT.refuse.frames",
        ),
        (
            "[general.CAT]\nrefuse = { score = 0.5, frames = -1 }",
            "frames",
        ),
        ("[general.CAT]\nrefuse = { frames = 2 }", "score"),
        (
            "[general.CAT]\nrefuse = { score = 0.5 }\ncategory = \"No way\"",
            "general.CAT.category",
        ),
        (
            "[general.CAT]\nrefuse = { score = 0.5 }\nallow = true",
            "allow",
        ),
        ("[everybody.CAT]\nrefuse = { score = 0.5 }", "everybody"),
        ("general = 7", "general"),
    ] {
        let error = FramePolicy::from_toml(text).unwrap_err();
        assert!(error.contains(field), "{text}: {error}");
    }
}

#[test]
fn a_class_that_the_detector_does_not_know_is_named() {
    let policy = FramePolicy::from_toml(TWO_AUDIENCES).unwrap();
    let known = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        policy.check_classes(&names)
    };
    known(&["DOG", "CAT", "COW"]).unwrap();
    let error = known(&["CAT"]).unwrap_err();
    assert!(error.contains("general.DOG"), "{error}");
}
