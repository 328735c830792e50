//! The `input` of `worker-mochi`.

use serde_json::{Map, Value, json};

use super::{Fields, SEEDS};
use crate::problem::Problem;

/// What the contract calls otherwise.
pub(super) const NAMES: [(&str, &str); 4] = [
    ("prompt", "positive_prompt"),
    ("frames", "num_frames"),
    ("guidance", "cfg"),
    ("expire_after", "policy.ttl"),
];

/// Whole numbers: there, in the contract, and when they are left out.
const WHOLE: [(&str, &str, u64); 4] = [
    ("width", "width", 848),
    ("height", "height", 480),
    ("steps", "steps", 40),
    ("num_frames", "frames", 31),
];

const DEFAULT_CFG: f64 = 6.0;

/// Far beyond what any model takes.
const MAX_CFG: f64 = 1000.0;

/// How that worker decodes in pieces. Kinora's decide by the memory they have, so that their values change nothing.
const TILING: [&str; 7] = [
    "enable_vae_tiling",
    "tile_sample_min_width",
    "tile_sample_min_height",
    "tile_overlap_factor_width",
    "tile_overlap_factor_height",
    "auto_tile_size",
    "frame_batch_size",
];

/// Reads an input for the model of that id.
pub(super) fn read(model: &str, mut input: Fields) -> Result<Map<String, Value>, Problem> {
    let mut members = Map::new();
    let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
    set("model", json!(model));
    set("prompt", json!(input.required_text("positive_prompt")?));
    let negative = input.text("negative_prompt")?;
    set("negative_prompt", json!(negative.unwrap_or_default()));
    for (theirs, ours, default) in WHOLE {
        let number = input.whole(theirs, 1..=u64::from(u32::MAX))?;
        set(ours, json!(number.unwrap_or(default)));
    }
    let cfg = input.number("cfg", 0.0..=MAX_CFG)?;
    set("guidance", json!(cfg.unwrap_or(DEFAULT_CFG)));
    if let Some(seed) = input.whole("seed", SEEDS)? {
        set("seed", json!(seed));
    }
    if let Some(mut tiling) = input.object("vae")? {
        for name in TILING {
            tiling.take(name);
        }
        tiling.done()?;
    }
    input.done()?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(input: Value) -> Result<Map<String, Value>, Problem> {
        read("mochi-1-preview", Fields::of_body(input).unwrap())
    }

    #[test]
    fn what_is_left_out_has_the_workers_defaults() {
        let expected = json!({
            "model": "mochi-1-preview", "prompt": "a cat", "negative_prompt": "", "width": 848,
            "height": 480, "steps": 40, "frames": 31, "guidance": 6.0,
        });
        let found = of(json!({ "positive_prompt": "a cat" })).unwrap();
        assert_eq!(Value::from(found), expected);
    }

    #[test]
    fn everything_arrives_under_the_contracts_names() {
        let found = of(json!({
            "positive_prompt": "a cat", "negative_prompt": "dogs", "width": 640, "height": 352, "seed": 42,
            "steps": 64, "cfg": 4.5, "num_frames": 163,
            "vae": { "enable_vae_tiling": true, "frame_batch_size": 8 },
        }));
        let expected = json!({
            "model": "mochi-1-preview", "prompt": "a cat", "negative_prompt": "dogs", "width": 640,
            "height": 352, "steps": 64, "frames": 163, "guidance": 4.5, "seed": 42,
        });
        assert_eq!(Value::from(found.unwrap()), expected);
    }

    #[test]
    fn odd_values_and_unknown_fields_are_refused_by_name() {
        for (name, value, said) in [
            ("positive_prompt", json!(""), "positive_prompt"),
            ("prompt", json!("a cat"), "prompt"),
            ("steps", json!(0), "steps"),
            ("num_frames", json!(31.5), "num_frames"),
            ("cfg", json!(-1), "cfg"),
            ("seed", json!("42"), "seed"),
            ("vae", json!({ "tiles": 4 }), "vae.tiles"),
            ("vae", json!(true), "vae"),
        ] {
            let mut input = json!({ "positive_prompt": "a cat" });
            input[name] = value;
            let problem = of(input).unwrap_err();
            assert!(
                format!("{problem:?}").contains(&format!("field: \"{said}\"")),
                "{said}"
            );
        }
    }
}
