//! The small model follows prompts: on scenes it never saw in training, and in several phrasings.
//!
//! The clips go through the same pipeline and encoder as a worker's, and are read back from the mp4.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Debug;
use std::path::Path;

use kinora_integration_tests::model_folder;
use kinora_media::{RawVideo, decode_mp4, encode_mp4};
use kinora_models::request::Uncontrolled;
use kinora_models::{GenerateRequest, LoadOptions, WanPipeline};
use kinora_testkit::env::ffmpeg;
use kinora_testkit::world::{Observation, check};
use serde::Deserialize;

#[derive(Deserialize)]
struct HeldOut {
    prompts: Vec<Expected>,
    paraphrases: Vec<Group>,
}

/// A prompt and what its clip must show.
#[derive(Deserialize)]
struct Expected {
    prompt: String,
    shape: String,
    colour: String,
    motion: String,
    background: String,
    seed: u64,
}

/// Prompts that mean the same scene.
#[derive(Deserialize)]
struct Group {
    shape: String,
    colour: String,
    motion: String,
    background: String,
    seed: u64,
    prompts: Vec<String>,
}

fn held_out() -> HeldOut {
    let text = std::fs::read_to_string(model_folder().join("heldout.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Prompt to mp4 to observation.
fn observe(pipeline: &mut WanPipeline, prompt: &str, seed: u64, folder: &Path) -> Observation {
    let defaults = pipeline.card().defaults.clone();
    let request = GenerateRequest::with_defaults(pipeline.card(), prompt, seed);
    let clip = pipeline.generate(&request, &mut Uncontrolled).unwrap();
    let raw = RawVideo {
        width: clip.width,
        height: clip.height,
        fps: defaults.fps,
        rgb: &clip.rgb,
    };
    let file = folder.join("clip.mp4");
    encode_mp4(&ffmpeg(), &raw, &file).unwrap();
    let frames = decode_mp4(&ffmpeg(), &file).unwrap();
    check(&frames.rgb, 64, 64, 17)
}

/// How often each attribute was as asked.
#[derive(Debug, Default)]
struct Tally {
    clips: u32,
    background: u32,
    colour: u32,
    motion: u32,
    shape: u32,
}

impl Tally {
    fn percent(&self, hits: u32) -> f64 {
        100.0 * f64::from(hits) / f64::from(self.clips)
    }
}

/// Whether an observed attribute is the expected word.
fn is<T: Debug>(seen: Option<T>, expected: &str) -> bool {
    seen.is_some_and(|seen| format!("{seen:?}").eq_ignore_ascii_case(expected))
}

#[test]
fn unseen_scenes_show_what_the_prompt_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut pipeline = WanPipeline::load(&model_folder(), &LoadOptions::default()).unwrap();
    let mut tally = Tally::default();
    let expected = held_out().prompts;
    assert!(expected.len() >= 100, "{}", expected.len());
    for scene in expected {
        let seen = observe(&mut pipeline, &scene.prompt, scene.seed, folder.path());
        tally.clips += 1;
        tally.background += u32::from(is(seen.background, &scene.background));
        tally.colour += u32::from(is(seen.colour, &scene.colour));
        tally.motion += u32::from(is(seen.motion, &scene.motion));
        tally.shape += u32::from(is(seen.shape, &scene.shape));
    }
    eprintln!("{tally:?}");
    for (name, hits, least) in [
        ("background", tally.background, 98.0),
        ("colour", tally.colour, 95.0),
        ("motion", tally.motion, 90.0),
        ("shape", tally.shape, 85.0),
    ] {
        assert!(
            tally.percent(hits) >= least,
            "{name} below {least} %: {tally:?}"
        );
    }
}

#[test]
fn phrasings_of_one_prompt_give_one_scene() {
    let folder = tempfile::tempdir().unwrap();
    let mut pipeline = WanPipeline::load(&model_folder(), &LoadOptions::default()).unwrap();
    let (mut clips, mut hits) = (0_u32, 0_u32);
    for group in held_out().paraphrases {
        for prompt in &group.prompts {
            let seen = observe(&mut pipeline, prompt, group.seed, folder.path());
            clips += 1;
            let is_scene = is(seen.background, &group.background)
                && is(seen.colour, &group.colour)
                && is(seen.motion, &group.motion)
                && is(seen.shape, &group.shape);
            hits += u32::from(is_scene);
        }
    }
    assert!(clips >= 10, "{clips}");
    assert!(
        f64::from(hits) >= 0.8 * f64::from(clips),
        "{hits} of {clips} clips"
    );
}
