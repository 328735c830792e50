//! A whole generation against the reference pipeline, and what a pipeline promises its caller.

use std::path::PathBuf;

use crate::support::{Recorder, check_close, goldens, one_thread, relative_difference, values};
use kinora_models::wan::DenoisePlan;
use kinora_models::{
    GenerateError, GenerateRequest, LoadOptions, Precision, Progress, Sampler, SigmaGrid, Stage,
    WanPipeline,
};

fn folder() -> PathBuf {
    goldens().join("pipeline")
}

fn pipeline() -> WanPipeline {
    WanPipeline::load(&folder(), &one_thread()).unwrap()
}

fn request() -> GenerateRequest {
    GenerateRequest {
        prompt: "A red   circle moves to the right, on black &amp; white.".to_owned(),
        negative_prompt: "blurry dark".to_owned(),
        width: 32,
        height: 32,
        frames: 9,
        steps: 6,
        guidance: 4.0,
        seed: 2026,
        sampler: Sampler::UniPc,
        grid: SigmaGrid::Diffusers,
        image: None,
        last_image: None,
    }
}

#[test]
fn every_stage_equals_the_reference() {
    let (mut pipeline, values, request) = (pipeline(), values(&folder()), request());
    let prompt = pipeline.encode_prompt(&request.prompt).unwrap();
    check_close("prompt", &prompt, &values["prompt"]);
    let negative = pipeline.encode_prompt(&request.negative_prompt).unwrap();
    check_close("negative prompt", &negative, &values["negative"]);
    let noise = pipeline.initial_noise(32, 32, 9, request.seed).unwrap();
    assert_eq!(noise, values["noise"]);
    let plan = pipeline.plan(&request, &prompt, Some(&negative), None);
    let latents = pipeline
        .denoise(&plan, &noise, &mut Recorder::default())
        .unwrap();
    check_close("latents", &latents, &values["latents"].get(5));
}

#[test]
fn a_whole_run_equals_the_reference() {
    let clip = pipeline()
        .generate(&request(), &mut Recorder::default())
        .unwrap();
    assert_eq!((clip.width, clip.height, clip.frames), (32, 32, 9));
    let expected = (&values(&folder())["frames"] * 255.0)
        .round()
        .flatten(0, -1);
    let expected = Vec::<f32>::try_from(expected).unwrap();
    assert_eq!(clip.rgb.len(), expected.len());
    let off = |(found, expected): (&u8, &f32)| (f32::from(*found) - expected).abs();
    let worst = clip.rgb.iter().zip(&expected).map(off).fold(0.0, f32::max);
    assert!(worst <= 1.0, "a byte is off by {worst}");
}

#[test]
fn bfloat16_stays_near_full_precision() {
    let options = LoadOptions {
        precision: Precision::Bf16,
        ..one_thread()
    };
    let mut pipeline = WanPipeline::load(&folder(), &options).unwrap();
    let (values, request) = (values(&folder()), request());
    let prompt = pipeline.encode_prompt(&request.prompt).unwrap();
    let negative = pipeline.encode_prompt(&request.negative_prompt).unwrap();
    let plan = pipeline.plan(&request, &prompt, Some(&negative), None);
    let mut recorder = Recorder::default();
    let latents = pipeline
        .denoise(&plan, &values["noise"], &mut recorder)
        .unwrap();
    assert_eq!(latents.kind(), tch::Kind::Float);
    let difference = relative_difference(&latents, &values["latents"].get(5));
    println!("latents in bfloat16: {difference:.1e}");
    assert!(difference < 0.05, "latents differ by {difference}");
    let clip = pipeline.generate(&request, &mut recorder).unwrap();
    assert_eq!(clip.rgb.len(), 9 * 32 * 32 * 3);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let mut pipeline = pipeline();
    let first = pipeline
        .generate(&request(), &mut Recorder::default())
        .unwrap();
    let other = GenerateRequest {
        seed: 1,
        ..request()
    };
    let other = pipeline.generate(&other, &mut Recorder::default()).unwrap();
    let again = pipeline
        .generate(&request(), &mut Recorder::default())
        .unwrap();
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn without_guidance_the_negative_prompt_is_ignored() {
    let mut pipeline = pipeline();
    let plain = GenerateRequest {
        guidance: 1.0,
        ..request()
    };
    let negated = GenerateRequest {
        negative_prompt: "red".to_owned(),
        ..plain.clone()
    };
    let plain = pipeline.generate(&plain, &mut Recorder::default()).unwrap();
    assert_eq!(
        plain,
        pipeline
            .generate(&negated, &mut Recorder::default())
            .unwrap()
    );
    assert_ne!(
        plain,
        pipeline
            .generate(&request(), &mut Recorder::default())
            .unwrap()
    );
}

#[test]
fn progress_is_reported_in_order() {
    let mut recorder = Recorder::default();
    pipeline().generate(&request(), &mut recorder).unwrap();
    let step = |stage, step, steps| Progress { stage, step, steps };
    let mut expected = vec![step(Stage::Encoding, 0, 1), step(Stage::Encoding, 1, 1)];
    expected.extend((0..=6).map(|k| step(Stage::Denoising, k, 6)));
    expected.extend([step(Stage::Decoding, 0, 1), step(Stage::Decoding, 1, 1)]);
    assert_eq!(recorder.progress, expected);
}

#[test]
fn a_cancelled_generation_stops_at_the_next_block_or_chunk() {
    let mut pipeline = pipeline();
    let mut whole = Recorder::default();
    let expected = pipeline.generate(&request(), &mut whole).unwrap();
    let polls = whole.polls.get();
    assert!(polls > 12, "{polls} polls");
    for limit in [0, 1, 5, polls - 1] {
        let mut recorder = Recorder {
            cancel_after_polls: Some(limit),
            ..Recorder::default()
        };
        let result = pipeline.generate(&request(), &mut recorder);
        assert!(
            matches!(result, Err(GenerateError::Cancelled)),
            "after {limit} polls"
        );
        assert_eq!(
            recorder.polls.get(),
            limit + 1,
            "it went on after it was cancelled"
        );
    }
    assert_eq!(
        pipeline
            .generate(&request(), &mut Recorder::default())
            .unwrap(),
        expected
    );
}

#[test]
fn impossible_requests_name_their_field() {
    let mut pipeline = pipeline();
    let good = request;
    let cases = [
        (
            "width",
            GenerateRequest {
                width: 40,
                ..good()
            },
        ),
        (
            "height",
            GenerateRequest {
                height: 0,
                ..good()
            },
        ),
        (
            "frames",
            GenerateRequest {
                frames: 10,
                ..good()
            },
        ),
        (
            "frames",
            GenerateRequest {
                frames: 21,
                ..good()
            },
        ),
        ("steps", GenerateRequest { steps: 0, ..good() }),
        (
            "guidance",
            GenerateRequest {
                guidance: f64::NAN,
                ..good()
            },
        ),
        (
            "guidance",
            GenerateRequest {
                guidance: -1.0,
                ..good()
            },
        ),
        (
            "prompt",
            GenerateRequest {
                prompt: "a".repeat(401),
                ..good()
            },
        ),
        (
            "negative_prompt",
            GenerateRequest {
                negative_prompt: "a".repeat(401),
                ..good()
            },
        ),
    ];
    for (expected, request) in cases {
        match pipeline.generate(&request, &mut Recorder::default()) {
            Err(GenerateError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn unusual_requests_are_served() {
    let mut pipeline = pipeline();
    let cases = [
        GenerateRequest {
            prompt: String::new(),
            negative_prompt: String::new(),
            ..request()
        },
        GenerateRequest {
            prompt: "\u{0}💥 ünïcode".to_owned(),
            seed: u64::MAX,
            ..request()
        },
        GenerateRequest {
            width: 16,
            height: 64,
            frames: 1,
            steps: 1,
            ..request()
        },
        GenerateRequest {
            sampler: Sampler::Euler,
            grid: SigmaGrid::Native,
            ..request()
        },
        GenerateRequest {
            prompt: "red ".repeat(99),
            guidance: 0.0,
            ..request()
        },
    ];
    for request in cases {
        let clip = pipeline
            .generate(&request, &mut Recorder::default())
            .unwrap();
        let bytes = request.width * request.height * request.frames * 3;
        assert_eq!(clip.rgb.len(), usize::try_from(bytes).unwrap());
    }
}

#[test]
fn an_encoded_clip_has_the_size_of_its_latents() {
    let mut pipeline = pipeline();
    let clip = pipeline
        .generate(&request(), &mut Recorder::default())
        .unwrap();
    let latents = pipeline.encode_video(&clip, &Recorder::default()).unwrap();
    assert_eq!(latents.size(), [1, 16, 3, 4, 4]);
}

#[test]
fn digests_cover_all_parts() {
    let pipeline = pipeline();
    let names: Vec<&str> = pipeline
        .digests()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    for part in [
        "kinora.json",
        "tokenizer/tokenizer.json",
        "text_encoder/model.safetensors",
    ] {
        assert!(names.contains(&part), "{part} is not among {names:?}");
    }
    assert!(
        pipeline
            .digests()
            .iter()
            .all(|(_, digest)| digest.len() == 64)
    );
}

#[test]
fn failures_of_the_engine_are_errors_and_leave_it_usable() {
    let mut pipeline = pipeline();
    let expected = pipeline
        .generate(&request(), &mut Recorder::default())
        .unwrap();
    let misshaped = tch::Tensor::zeros([3, 5], (tch::Kind::Float, tch::Device::Cpu));
    let plan = DenoisePlan {
        guidance: 1.0,
        ..pipeline.plan(&request(), &misshaped, None, None)
    };
    let noise = pipeline.initial_noise(32, 32, 9, 0).unwrap();
    match pipeline.denoise(&plan, &noise, &mut Recorder::default()) {
        Err(GenerateError::Engine(reason)) => assert!(!reason.contains("frame #"), "{reason}"),
        other => panic!("{other:?}"),
    }
    // 64 TiB of noise.
    let endless = pipeline.initial_noise(8 << 20, 8 << 20, 1, 0);
    assert!(
        matches!(endless, Err(GenerateError::OutOfMemory)),
        "{endless:?}"
    );
    let again = pipeline.generate(&request(), &mut Recorder::default());
    assert_eq!(again.unwrap(), expected);
}

#[test]
fn a_pipeline_can_move_to_its_thread() {
    let mut pipeline = pipeline();
    let clip = std::thread::spawn(move || {
        pipeline
            .generate(&request(), &mut Recorder::default())
            .unwrap()
    });
    assert_eq!(clip.join().unwrap().frames, 9);
}
