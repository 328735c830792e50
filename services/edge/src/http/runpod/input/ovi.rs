//! The `input` of Ovi's service: sound and picture from one prompt.

use kinora_proto::scheduler::v1::Model;
use serde_json::{Map, Value, json};

use super::{Fields, SEEDS};
use crate::http::runpod::endpoint::{OVI_DEFAULT, ovi_model, ovi_variant};
use crate::problem::Problem;

/// What the contract calls otherwise.
pub(super) const NAMES: [(&str, &str); 4] = [
    ("steps", "sample_steps"),
    ("guidance", "video_guidance_scale"),
    ("negative_prompt", "video_negative_prompt"),
    ("expire_after", "policy.ttl"),
];

const DEFAULT_STEPS: u64 = 50;

const DEFAULT_VIDEO_GUIDANCE: f64 = 4.0;

/// The only value that there is until the contract has a field for it.
const AUDIO_GUIDANCE: f64 = 3.0;

/// What the clip begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Text.
    Text,
    /// The picture.
    Picture,
}

/// Reads an input. `variant` is what the endpoint stands for, if that is a single one.
pub(super) fn read(
    variant: Option<&'static str>,
    served: &[Model],
    mut input: Fields,
) -> Result<Map<String, Value>, Problem> {
    let mut members = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        members.extend(value.map(|value| (name.to_owned(), value)));
    };
    set("prompt", Some(json!(input.required_text("prompt")?)));
    let wanted = wanted_variant(variant, &mut input)?;
    set("image", picture(&mut input)?);
    set("seed", input.whole("seed", SEEDS)?.map(Value::from));
    for name in ["width", "height"] {
        let pixels = input.whole(name, 1..=u64::from(u32::MAX))?;
        set(name, pixels.map(Value::from));
    }
    let steps = input.whole("sample_steps", 10..=100)?;
    set("steps", Some(json!(steps.unwrap_or(DEFAULT_STEPS))));
    let guidance = input.number("video_guidance_scale", 1.0..=20.0)?;
    let guidance = guidance.unwrap_or(DEFAULT_VIDEO_GUIDANCE);
    set("guidance", Some(json!(guidance)));
    let negative = input.text("video_negative_prompt")?;
    set("negative_prompt", negative.map(Value::from));
    refuse_sound(&mut input)?;
    input.done()?;
    set("model", Some(json!(ovi_model(wanted, served)?)));
    Ok(members)
}

fn wanted_variant(
    variant: Option<&'static str>,
    input: &mut Fields,
) -> Result<&'static str, Problem> {
    let Some(name) = input.text("model")? else {
        return Ok(variant.unwrap_or(OVI_DEFAULT));
    };
    let detail = "must be 720x720_5s, 960x960_5s or 960x960_10s";
    let named = ovi_variant(&name).ok_or_else(|| input.invalid("model", detail))?;
    if variant.is_some_and(|variant| variant != named) {
        return Err(input.invalid("model", "must be that of the endpoint"));
    }
    Ok(named)
}

/// The picture to begin with, where the mode wants one. Without a mode, a picture says it.
fn picture(input: &mut Fields) -> Result<Option<Value>, Problem> {
    let image = input.text("image")?;
    let mode = match input.text("mode")?.as_deref() {
        None if image.is_some() => Mode::Picture,
        None | Some("t2v") => Mode::Text,
        Some("i2v") => Mode::Picture,
        Some("t2i2v") => {
            let detail = "t2i2v is not served yet: there is no model here that draws the first picture. Draw it elsewhere, and send it with i2v";
            return Err(input.invalid("mode", detail));
        }
        Some(_) => return Err(input.invalid("mode", "must be t2v, i2v or t2i2v")),
    };
    match (mode, image) {
        (Mode::Text, Some(_)) => Err(input.invalid("image", "is not taken in mode t2v")),
        (Mode::Picture, None) => {
            let detail =
                "must be there in mode i2v: a PNG, JPEG or WebP in base64, or as a data URL";
            Err(input.invalid("image", detail))
        }
        (_, image) => Ok(image.map(Value::from)),
    }
}

/// The contract has no fields for sound yet, and nothing is taken that would have no effect.
fn refuse_sound(input: &mut Fields) -> Result<(), Problem> {
    let name = "audio_guidance_scale";
    let guidance = input.number(name, 1.0..=20.0)?.unwrap_or(AUDIO_GUIDANCE);
    if (guidance - AUDIO_GUIDANCE).abs() > f64::EPSILON {
        return Err(input.invalid(name, "cannot be set yet; it is 3"));
    }
    let name = "audio_negative_prompt";
    if input.text(name)?.is_some_and(|text| !text.is_empty()) {
        return Err(input.invalid(name, "cannot be set yet; it is the model's own"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &str = "data:image/png;base64,AAAA";

    fn served() -> Vec<Model> {
        let of = |variant: &str| Model {
            id: format!("ovi-1.1-{variant}"),
            ..Model::default()
        };
        ["720x720_5s", "960x960_10s"].map(of).to_vec()
    }

    fn of(input: Value) -> Result<Map<String, Value>, Problem> {
        read(None, &served(), Fields::of_body(input).unwrap())
    }

    /// An input with a prompt and this.
    fn with(name: &str, value: Value) -> Result<Map<String, Value>, Problem> {
        let mut input = json!({ "prompt": "a dog barks" });
        input[name] = value;
        of(input)
    }

    #[test]
    fn what_is_left_out_has_the_services_defaults() {
        let expected = json!({
            "prompt": "a dog barks", "model": "ovi-1.1-720x720_5s", "steps": 50, "guidance": 4.0,
        });
        let found = of(json!({ "prompt": "a dog barks", "seed": null })).unwrap();
        assert_eq!(Value::from(found), expected);
    }

    #[test]
    fn everything_arrives_under_the_contracts_names() {
        let found = of(json!({
            "prompt": "p", "mode": "i2v", "model": "ovi-1.1-960x960_10s", "image": PICTURE, "seed": 7,
            "sample_steps": 30, "height": 960, "width": 512, "video_guidance_scale": 5,
            "audio_guidance_scale": 3, "video_negative_prompt": "blur", "audio_negative_prompt": "",
        }));
        let expected = json!({
            "prompt": "p", "model": "ovi-1.1-960x960_10s", "image": PICTURE, "seed": 7, "steps": 30,
            "height": 960, "width": 512, "guidance": 5.0, "negative_prompt": "blur",
        });
        assert_eq!(Value::from(found.unwrap()), expected);
    }

    #[test]
    fn values_out_of_range_and_unknown_fields_are_refused_by_name() {
        for (name, value) in [
            ("prompt", json!(" ")),
            ("prompt", json!(1)),
            ("sample_steps", json!(9)),
            ("sample_steps", json!(101)),
            ("sample_steps", json!("50")),
            ("video_guidance_scale", json!(0.9)),
            ("video_guidance_scale", json!(20.1)),
            ("audio_guidance_scale", json!(0)),
            ("audio_guidance_scale", json!(4)),
            ("audio_negative_prompt", json!("hiss")),
            ("seed", json!(-1)),
            ("width", json!(0)),
            ("model", json!("100x100_5s")),
            ("mode", json!("v2v")),
            ("mode", json!("t2i2v")),
            ("image", json!(["AAAA"])),
            ("shift", json!(5)),
        ] {
            let problem = with(name, value.clone()).unwrap_err();
            assert!(
                format!("{problem:?}").contains(&format!("field: \"{name}\"")),
                "{name} {value}"
            );
        }
    }

    #[test]
    fn a_picture_is_taken_in_its_mode_alone() {
        assert_eq!(with("image", json!(PICTURE)).unwrap()["image"], PICTURE);
        assert!(with("mode", json!("i2v")).is_err());
        assert!(of(json!({ "prompt": "p", "mode": "t2v", "image": PICTURE })).is_err());
    }

    #[test]
    fn a_variant_that_is_not_served_is_named() {
        let problem = with("model", json!("960x960_5s")).unwrap_err();
        assert_eq!(problem.said().0, "MODEL_NOT_SERVED");
        let input = json!({ "prompt": "p", "model": "960x960_10s" });
        let fields = Fields::of_body(input).unwrap();
        assert!(read(Some("720x720_5s"), &served(), fields).is_err());
    }
}
