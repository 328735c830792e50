use proptest::prelude::*;

use super::*;
use crate::domain::model::{ImageInput, ModelDefaults, ModelLimits};
use crate::domain::prompting::PromptFamily;

pub(super) fn model() -> Model {
    Model {
        id: "tiny".to_owned(),
        family: "wan-t2v".to_owned(),
        title: "Tiny".to_owned(),
        licence: "Apache-2.0".to_owned(),
        defaults: ModelDefaults {
            width: 64,
            height: 48,
            frames: 13,
            fps: 8,
            steps: 20,
            guidance: 3.0,
            negative_prompt: "blur".to_owned(),
        },
        limits: ModelLimits {
            min_width: 20,
            max_width: 100,
            min_height: 16,
            max_height: 96,
            size_multiple: 16,
            max_frames: 35,
            frame_stride: 4,
            max_steps: 50,
            max_guidance: 10.0,
            max_prompt_chars: 20,
        },
        vocabulary: Vec::new(),
        image_input: ImageInput::None,
        last_image_input: ImageInput::None,
        memory: None,
        prompt_family: PromptFamily::Unspecified,
    }
}

pub(super) fn prompt() -> Submission {
    Submission {
        prompt: "a red ball".to_owned(),
        ..Submission::default()
    }
}

fn check(change: impl FnOnce(&mut Submission), reason: &str, nearest: Option<&str>) {
    let mut submission = prompt();
    change(&mut submission);
    let invalid = submission
        .check_form()
        .and_then(|stills| submission.resolve(&model(), stills, 7).map(|_| ()))
        .expect_err(reason);
    let found = invalid.metadata.iter().find(|(key, _)| *key == "nearest");
    assert_eq!(invalid.reason, reason, "{invalid}");
    assert_eq!(found.map(|(_, value)| value.as_str()), nearest, "{invalid}");
}

#[test]
fn a_length_becomes_the_nearest_frames_that_the_model_makes() {
    let frames = |seconds: f64| {
        let submission = Submission {
            seconds: Some(seconds),
            ..prompt()
        };
        let spec = submission.resolve(&model(), Stills::default(), 7);
        spec.expect("legal").frames
    };
    for (seconds, expected) in [(0.001, 1), (0.6, 5), (1.0, 9), (1.625, 13), (4.2, 33)] {
        assert_eq!(frames(seconds), expected, "{seconds}");
    }
    // More than the model makes, as it is said of too many frames.
    check(|it| it.seconds = Some(4.5), "FRAMES_INVALID", Some("33"));
    check(|it| it.seconds = Some(1e30), "FRAMES_INVALID", Some("33"));
}

#[test]
fn unset_fields_take_the_models_defaults() {
    let spec = prompt()
        .resolve(&model(), Stills::default(), u64::MAX)
        .expect("legal");
    assert_eq!((spec.width, spec.height, spec.frames), (64, 48, 13));
    assert_eq!((spec.steps, spec.fps, spec.seed), (20, 8, MAX_SEED));
    assert_eq!(spec.negative_prompt, "blur");
}

#[test]
fn frames_name_their_legal_neighbours() {
    check(|s| s.frames = Some(15), "FRAMES_INVALID", Some("13,17"));
    check(|s| s.frames = Some(0), "FRAMES_INVALID", Some("1"));
    check(|s| s.frames = Some(34), "FRAMES_INVALID", Some("33"));
    check(|s| s.frames = Some(u32::MAX), "FRAMES_INVALID", Some("33"));
}

#[test]
fn sizes_name_their_legal_neighbours() {
    check(|s| s.width = Some(65), "SIZE_INVALID", Some("64,80"));
    check(|s| s.width = Some(16), "SIZE_INVALID", Some("32"));
    check(|s| s.width = Some(u32::MAX), "SIZE_INVALID", Some("96"));
    check(|s| s.height = Some(0), "SIZE_INVALID", Some("16"));
    check(|s| s.height = Some(97), "SIZE_INVALID", Some("96"));
}

#[test]
fn numbers_out_of_range_are_refused() {
    check(|s| s.steps = Some(0), "STEPS_INVALID", Some("1"));
    check(|s| s.steps = Some(51), "STEPS_INVALID", Some("50"));
    for guidance in [f64::NAN, f64::INFINITY, -0.1, 10.01] {
        check(|s| s.guidance = Some(guidance), "GUIDANCE_INVALID", None);
    }
    check(|s| s.seed = Some(MAX_SEED + 1), "SEED_OUT_OF_RANGE", None);
}

#[test]
fn texts_are_bounded() {
    check(|s| s.prompt = " \n".to_owned(), "PROMPT_EMPTY", None);
    check(|s| s.prompt = "a\0".to_owned(), "PROMPT_INVALID", None);
    check(|s| s.prompt = "x".repeat(21), "PROMPT_TOO_LONG", None);
    check(
        |s| s.prompt = "x".repeat(1_000_000),
        "PROMPT_TOO_LONG",
        None,
    );
    check(
        |s| s.negative_prompt = Some("é".repeat(21)),
        "PROMPT_TOO_LONG",
        None,
    );
    let mut longest = prompt();
    longest.prompt = "é".repeat(20);
    longest
        .resolve(&model(), Stills::default(), 0)
        .expect("characters count, not bytes");
}

#[test]
fn request_ids_are_visible_ascii() {
    for id in ["", "a b", "ä", "a\n", &"x".repeat(129)] {
        check(
            |s| s.request_id = Some(id.to_owned()),
            "REQUEST_ID_INVALID",
            None,
        );
    }
}

#[test]
fn unset_model_means_the_default_or_the_only_one() {
    let other = Model {
        id: "other".to_owned(),
        ..model()
    };
    let both = [model(), other];
    let chosen = |asked, default, known| choose_model(asked, default, known).map(|m| m.id.as_str());
    assert_eq!(chosen(None, None, &both[..1]), Ok("tiny"));
    assert_eq!(chosen(None, Some("other"), &both), Ok("other"));
    assert_eq!(chosen(Some("tiny"), Some("other"), &both), Ok("tiny"));
    for (asked, default) in [(Some("gone"), None), (None, None), (None, Some("gone"))] {
        let invalid = chosen(asked, default, &both).expect_err("unknown");
        assert_eq!(invalid.reason, "UNKNOWN_MODEL");
        assert_eq!(invalid.metadata, [("known", "tiny,other".to_owned())]);
    }
}

#[test]
fn fingerprint_is_of_the_body_alone() {
    let same = Submission {
        request_id: Some("x".to_owned()),
        ..prompt()
    };
    let other = Submission {
        seed: Some(0),
        ..prompt()
    };
    assert_eq!(prompt().fingerprint(), same.fingerprint());
    assert_ne!(prompt().fingerprint(), other.fingerprint());
    assert_eq!(prompt().fingerprint().len(), 64);
}

#[test]
fn notes_name_words_of_another_world() {
    let mut model = model();
    model.vocabulary = vec!["red".to_owned()];
    let spec = prompt()
        .resolve(&model, Stills::default(), 0)
        .expect("legal");
    assert_eq!(
        notes(&spec, &model),
        ["words outside this model's world: ball"]
    );
}

proptest! {
    #[test]
    fn every_suggested_value_is_legal(width: u32, height: u32, frames: u32) {
        let model = model();
        let mut submission = prompt();
        submission.width = Some(width);
        submission.height = Some(height);
        submission.frames = Some(frames);
        for _ in 0..3 {
            let Err(invalid) = submission.resolve(&model, Stills::default(), 0) else { break };
            let (_, nearest) = &invalid.metadata[0];
            for value in nearest.split(',') {
                let value = Some(value.parse().expect("a number"));
                match invalid.field {
                    "width" => submission.width = value,
                    "height" => submission.height = value,
                    _ => submission.frames = value,
                }
                let again = submission.resolve(&model, Stills::default(), 0).map_err(|error| error.field);
                prop_assert_ne!(again.err(), Some(invalid.field));
            }
        }
        prop_assert!(submission.resolve(&model, Stills::default(), 0).is_ok());
    }
}

/// A picture of this size.
fn picture(width: u32, height: u32) -> SentImage {
    let rgb = vec![9; usize::try_from(width * height * 3).expect("small")];
    SentImage::new(kinora_media::thumbnail_webp(&rgb, width, height).expect("encodes"))
}

fn resolved(
    model: &Model,
    change: impl FnOnce(&mut Submission),
) -> Result<VideoSpec, &'static str> {
    let mut submission = prompt();
    change(&mut submission);
    let stills = submission.check_form().map_err(|invalid| invalid.reason)?;
    let spec = submission.resolve(model, stills, 7);
    spec.map_err(|invalid| invalid.reason)
}

#[test]
fn pictures_go_to_models_that_take_them() {
    let takes = |first, last| Model {
        image_input: first,
        last_image_input: last,
        ..model()
    };
    use ImageInput::{None as Never, Optional, Required};
    let with = |model: &Model, first: bool, last: bool| {
        resolved(model, |s| {
            s.image = first.then(|| picture(8, 6));
            s.last_image = last.then(|| picture(8, 6));
        })
        .map(|_| ())
    };
    let not_supported = Err("IMAGE_NOT_SUPPORTED");
    let required = Err("IMAGE_REQUIRED");
    assert_eq!(with(&takes(Never, Never), true, false), not_supported);
    assert_eq!(with(&takes(Optional, Never), false, true), not_supported);
    assert_eq!(with(&takes(Optional, Never), true, false), Ok(()));
    assert_eq!(with(&takes(Optional, Never), false, false), Ok(()));
    assert_eq!(with(&takes(Required, Never), false, false), required);
    assert_eq!(with(&takes(Required, Required), true, false), required);
    assert_eq!(with(&takes(Required, Required), true, true), Ok(()));
}

#[test]
fn a_last_picture_needs_more_than_one_frame() {
    let model = Model {
        last_image_input: ImageInput::Optional,
        ..model()
    };
    let with = |frames: u32, last: bool| {
        let submission = Submission {
            frames: Some(frames),
            last_image: last.then(|| picture(8, 6)),
            ..prompt()
        };
        let stills = submission.check_form().expect("a form");
        submission.resolve(&model, stills, 7)
    };
    assert!(with(1, false).is_ok() && with(5, true).is_ok());
    let refused = with(1, true).expect_err("one frame");
    assert_eq!(
        (refused.reason, refused.field),
        ("FRAMES_INVALID", "frames")
    );
    assert_eq!(refused.metadata[0], ("nearest", "5".to_owned()));
    let mut of_stills = model;
    of_stills.limits.max_frames = 1;
    let submission = Submission {
        frames: Some(5),
        last_image: Some(picture(8, 6)),
        ..prompt()
    };
    let stills = submission.check_form().expect("a form");
    let refused = submission.resolve(&of_stills, stills, 7).expect_err("five");
    assert_eq!(refused.metadata[0], ("nearest", "1".to_owned()));
}

#[test]
fn a_picture_gives_the_size_unless_one_is_asked_for() {
    let model = Model {
        image_input: ImageInput::Optional,
        ..model()
    };
    let size = |change: &dyn Fn(&mut Submission)| {
        let spec = resolved(&model, |s| {
            s.image = Some(picture(60, 120));
            change(s);
        });
        spec.map(|spec| (spec.width, spec.height))
    };
    assert_eq!(size(&|_| {}), Ok((32, 64)));
    assert_eq!(size(&|s| s.width = Some(96)), Ok((96, 48)));
}

#[test]
fn what_is_no_picture_is_refused_and_the_field_named() {
    check(
        |s| s.image = Some(SentImage::new(b"hello".to_vec())),
        "IMAGE_NOT_READABLE",
        None,
    );
    let cut = |image: &SentImage| SentImage::new(image.bytes()[..image.bytes().len() - 1].to_vec());
    check(
        |s| s.last_image = Some(cut(&picture(8, 6))),
        "IMAGE_NOT_READABLE",
        None,
    );
    let long = vec![0; kinora_media::MAX_STILL_BYTES + 1];
    check(
        |s| s.image = Some(SentImage::new(long)),
        "IMAGE_TOO_LARGE",
        None,
    );
}

#[test]
fn pictures_are_part_of_the_fingerprint() {
    let with = |image: Option<SentImage>, last_image: Option<SentImage>| {
        let submission = Submission {
            image,
            last_image,
            ..prompt()
        };
        submission.fingerprint()
    };
    let all = [
        with(None, None),
        with(Some(picture(8, 6)), None),
        with(Some(picture(8, 8)), None),
        with(None, Some(picture(8, 6))),
        with(Some(picture(8, 6)), Some(picture(8, 6))),
    ];
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(with(Some(picture(8, 6)), None), all[1]);
}
