//! The trained small model that comes with the repository, against the reference's clips.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use kinora_models::card::Defaults;
use kinora_models::config::read_json;
use kinora_models::{GenerateRequest, WanPipeline};
use tch::{Kind, Tensor};

use crate::support::{Recorder, one_thread};

/// Largest difference accepted, in levels of a byte.
const BYTE_TOLERANCE: i64 = 2;

#[derive(serde::Deserialize)]
struct Golden {
    settings: Defaults,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    tensor: String,
    prompt: String,
    seed: u64,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/kinora-tiny-t2v")
}

fn request(settings: &Defaults, case: &Case) -> GenerateRequest {
    GenerateRequest {
        prompt: case.prompt.clone(),
        negative_prompt: settings.negative_prompt.clone(),
        width: settings.width,
        height: settings.height,
        frames: settings.frames,
        steps: settings.steps,
        guidance: settings.guidance,
        seed: case.seed,
        sampler: settings.sampler,
        grid: settings.grid,
        image: None,
        last_image: None,
    }
}

#[test]
fn its_clips_equal_those_of_the_reference() {
    let golden: Golden = read_json(&folder().join("golden/frames.json")).unwrap();
    let tensors = Tensor::read_safetensors(folder().join("golden/frames.safetensors")).unwrap();
    let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
    let mut pipeline = WanPipeline::load(&folder(), &one_thread()).unwrap();
    for case in &golden.cases {
        let request = request(&golden.settings, case);
        let clip = pipeline
            .generate(&request, &mut Recorder::default())
            .unwrap();
        let shape = [clip.frames, clip.height, clip.width, 3].map(i64::from);
        let found = Tensor::from_slice(&clip.rgb)
            .view(shape)
            .to_kind(Kind::Int64);
        let expected = tensors[&case.tensor].to_kind(Kind::Int64);
        assert_eq!(found.size(), expected.size(), "{}", case.prompt);
        let worst = (found - expected).abs().max().int64_value(&[]);
        println!("{}: off by {worst}", case.prompt);
        assert!(
            worst <= BYTE_TOLERANCE,
            "{}: a byte is off by {worst}",
            case.prompt
        );
    }
}
