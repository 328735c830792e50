use serde_json::{Value, json};

use super::*;

fn card() -> Value {
    json!({
        "id": "small-t2v", "family": "wan-t2v", "title": "Small", "licence": "Apache-2.0",
        "defaults": {
            "width": 64, "height": 64, "frames": 17, "fps": 8, "steps": 20, "guidance": 4.0,
            "negative_prompt": "", "sampler": "unipc", "grid": "diffusers"
        },
        "limits": {
            "min_width": 32, "max_width": 128, "min_height": 32, "max_height": 128,
            "max_frames": 33, "max_steps": 50, "max_prompt_chars": 200, "max_guidance": 10.0
        },
        "vocabulary": ["red", "circle"], "note": "unknown keys are ignored"
    })
}

fn check(pointer: &str, value: Value, expected: &str) {
    let mut json = card();
    *json.pointer_mut(pointer).unwrap() = value;
    let result = serde_json::from_value::<ModelCard>(json).map_err(|error| error.to_string());
    let error = result.and_then(|mut card| {
        (card.size_multiple, card.frame_stride) = (16, 4);
        card.check().and_then(|()| card.check_defaults())
    });
    let error = error.expect_err(pointer);
    assert!(error.contains(expected), "{pointer}: {error}");
}

#[test]
fn a_card_is_read() {
    let card: ModelCard = serde_json::from_value(card()).unwrap();
    card.check().unwrap();
    assert_eq!(
        (card.defaults.sampler, card.defaults.grid),
        (Sampler::UniPc, SigmaGrid::Diffusers)
    );
    assert_eq!(card.vocabulary, ["red", "circle"]);
    assert_eq!(card.prompt_family, None);
}

#[test]
fn a_card_may_say_how_prompts_are_written() {
    for (name, expected) in [
        ("tiny", PromptFamily::Tiny),
        ("wan", PromptFamily::Wan),
        ("mochi", PromptFamily::Mochi),
        ("ovi-720", PromptFamily::Ovi720),
        ("ovi-960", PromptFamily::Ovi960),
    ] {
        let mut json = card();
        json["prompt_family"] = json!(name);
        let card: ModelCard = serde_json::from_value(json).unwrap();
        assert_eq!(card.prompt_family, Some(expected));
    }
    let mut json = card();
    json["prompt_family"] = json!("Ovi");
    assert!(serde_json::from_value::<ModelCard>(json).is_err());
}

#[test]
fn values_out_of_range_are_refused() {
    check("/id", json!("../x"), "id must be");
    check("/limits/max_width", json!(100_000), "max_width");
    check("/limits/max_width", json!(-1), "invalid value");
    check("/limits/max_guidance", json!("high"), "invalid type");
    check("/defaults/width", json!(40), "multiples of 16");
    check("/defaults/frames", json!(16), "1 more than a multiple of 4");
    check("/defaults/frames", json!(37), "default frames");
    check("/defaults/sampler", json!("magic"), "unknown variant");
}
