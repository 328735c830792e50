//! What makes a model fit: policies that change no byte, formats and tiles whose cost is bounded.

use std::path::{Path, PathBuf};

use kinora_models::config::{
    TextEncoderConfig, TransformerConfig, VaeConfig, read_checked, read_json,
};
use kinora_models::sampler::{Schedule, Stepper};
use kinora_models::t5::T5Encoder;
use kinora_models::wan::vae::Tiling;
use kinora_models::wan::{Timestep, WanTransformer, WanVae};
use kinora_models::{
    Clip, GenerateError, GenerateRequest, LoadOptions, Network, Placed, Residency, Sampler,
    SigmaGrid, Uncontrolled, WanPipeline,
};
use kinora_nn::WeightFormat;
use tch::{Device, Kind, Tensor};

use crate::support::{goldens, never, one_thread, relative_difference, values, weights};

const DIFFUSERS: &str = "diffusion_pytorch_model";
const FORMATS: [WeightFormat; 3] = [WeightFormat::Native, WeightFormat::Int8, WeightFormat::Fp8];

fn trained() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/kinora-tiny-t2v")
}

fn transformer(folder: &Path, format: WeightFormat) -> WanTransformer {
    let config: TransformerConfig = read_checked(&folder.join("config.json")).unwrap();
    WanTransformer::load_as(&weights(folder, DIFFUSERS), &config, format).unwrap()
}

fn vae(folder: &Path) -> WanVae {
    let config: VaeConfig = read_checked(&folder.join("config.json")).unwrap();
    WanVae::load(&weights(folder, DIFFUSERS), &config).unwrap()
}

fn text_encoder(format: WeightFormat) -> T5Encoder {
    let folder = goldens().join("umt5");
    let config: TextEncoderConfig = read_checked(&folder.join("config.json")).unwrap();
    T5Encoder::load_as(&weights(&folder, "model"), &config, format).unwrap()
}

/// Runs a stage under every policy, twice each, and compares the bytes with those of the network
/// where it was loaded.
#[track_caller]
fn check_policies<N: Network>(load: impl Fn() -> N, stage: impl Fn(&N) -> Tensor) {
    let expected = stage(&load());
    for residency in Residency::ALL {
        let placed = Placed::new(load(), residency, Device::Cpu).unwrap();
        for round in 1..=2 {
            let found = stage(&placed.enter().unwrap());
            assert_eq!(found, expected, "{residency}, round {round}");
        }
    }
}

#[test]
fn the_transformer_computes_the_same_under_every_policy() {
    for (name, format) in ["2x12", "1x128", "4x32"].into_iter().zip(FORMATS) {
        let folder = goldens().join(format!("transformer-{name}"));
        let values = values(&folder);
        let (latents, texts) = (&values["latents"], [&values["prompt"], &values["negative"]]);
        let size = [latents.size()[2], latents.size()[3], latents.size()[4]];
        check_policies(
            || transformer(&folder, format),
            |network| {
                let conditioning = network.condition(&texts, None, size).unwrap();
                network
                    .forward(
                        latents,
                        Timestep::Uniform(431.0),
                        &conditioning,
                        None,
                        &never,
                    )
                    .unwrap()
            },
        );
    }
}

#[test]
fn the_text_encoder_computes_the_same_under_every_policy() {
    let ids = Vec::<i64>::try_from(&values(&goldens().join("umt5"))["ids"]).unwrap();
    for format in FORMATS {
        check_policies(|| text_encoder(format), |network| network.forward(&ids));
    }
}

#[test]
fn the_autoencoder_computes_the_same_under_every_policy() {
    let folder = goldens().join("vae-3");
    let latents = &values(&folder)["latents"];
    check_policies(
        || vae(&folder),
        |network| {
            let frames = network.decode(latents, &never).unwrap();
            let encoded = network.encode(&frames, &never).unwrap();
            Tensor::cat(&[frames.flatten(0, -1), encoded.flatten(0, -1)], 0)
        },
    );
}

#[test]
fn a_cancelled_stage_leaves_the_network_usable() {
    let folder = goldens().join("transformer-2x12");
    let values = values(&folder);
    let latents = &values["latents"];
    let size = [latents.size()[2], latents.size()[3], latents.size()[4]];
    let network = transformer(&folder, WeightFormat::Native);
    let placed = Placed::new(network, Residency::BlockSwap, Device::Cpu).unwrap();
    let run = |cancel: &dyn Fn() -> bool| {
        let network = placed.enter().unwrap();
        let conditioning = network.condition(&[&values["prompt"]], None, size).unwrap();
        network.forward(
            latents,
            Timestep::Uniform(999.0),
            &conditioning,
            None,
            cancel,
        )
    };
    let expected = run(&never).unwrap();
    assert!(run(&|| true).is_err());
    assert_eq!(run(&never).unwrap(), expected);
}

/// A clip of the trained model with its defaults: the first velocity, and the frames.
struct Rendering {
    velocity: Tensor,
    frames: Tensor,
}

/// Generates with the transformer's matrices in `format` and the prompts' embeddings given.
fn render(format: WeightFormat, prompts: &[Tensor; 2], noise: &Tensor) -> Rendering {
    let network = transformer(&trained().join("transformer"), format);
    let size = [noise.size()[2], noise.size()[3], noise.size()[4]];
    let conditioning = network
        .condition(&[&prompts[0], &prompts[1]], None, size)
        .unwrap();
    let schedule = Schedule::new(SigmaGrid::Diffusers, 20, 3.0, 1000);
    let mut stepper = Stepper::new(Sampler::UniPc, schedule);
    let mut latents = noise.shallow_clone();
    let mut first = None;
    while let Some(timestep) = stepper.timestep() {
        let pair = network
            .forward(
                &latents,
                Timestep::Uniform(timestep),
                &conditioning,
                None,
                &never,
            )
            .unwrap();
        let (prompted, plain) = (pair.narrow(0, 0, 1), pair.narrow(0, 1, 1));
        let velocity = &plain + (prompted - &plain) * 2.0;
        latents = stepper.step(&velocity, &latents);
        first.get_or_insert(velocity);
    }
    let frames = vae(&trained().join("vae")).decode(&latents, &never);
    Rendering {
        velocity: first.unwrap(),
        frames: frames.unwrap(),
    }
}

/// Root of the mean square of the difference, relative to that of the reference.
fn relative_error(found: &Tensor, expected: &Tensor) -> f64 {
    let square = |tensor: &Tensor| tensor.square().mean(Kind::Double).double_value(&[]);
    (square(&(found - expected)) / square(expected)).sqrt()
}

/// Peak signal-to-noise ratio of frames from -1 to 1, in dB.
fn psnr(found: &Tensor, expected: &Tensor) -> f64 {
    let square = (found - expected).square().mean(Kind::Double);
    10.0 * (4.0 / square.double_value(&[])).log10()
}

#[test]
fn eight_bit_weights_cost_little_quality() {
    let mut pipeline = WanPipeline::load(&trained(), &one_thread()).unwrap();
    let prompts = ["a red circle moves right", ""];
    let prompts = prompts.map(|prompt| pipeline.encode_prompt(prompt).unwrap());
    let noise = pipeline.initial_noise(64, 64, 17, 7).unwrap();
    let native = render(WeightFormat::Native, &prompts, &noise);
    for (format, worst_velocity, least_psnr) in [
        (WeightFormat::Int8, 0.02, 45.0),
        (WeightFormat::Fp8, 0.06, 36.0),
    ] {
        let found = render(format, &prompts, &noise);
        let error = relative_error(&found.velocity, &native.velocity);
        let ratio = psnr(&found.frames, &native.frames);
        println!("{format}: velocity off by {error:.2e}, clip {ratio:.1} dB");
        assert!(error > 0.0 && error < worst_velocity, "{format}: {error}");
        assert!(ratio > least_psnr, "{format}: {ratio} dB");
    }
}

#[test]
fn eight_bit_text_encoders_stay_near_the_reference() {
    let values = values(&goldens().join("umt5"));
    let ids = Vec::<i64>::try_from(&values["ids"]).unwrap();
    for (format, worst) in [(WeightFormat::Int8, 0.02), (WeightFormat::Fp8, 0.08)] {
        let found = text_encoder(format).forward(&ids);
        let error = relative_error(&found, &values["embeddings"]);
        println!("text encoder in {format}: off by {error:.2e}");
        assert!(error > 0.0 && error < worst, "{format}: {error}");
    }
}

/// Frames `[f, 3, h, w]` of the trained model's own clip, enlarged to `side` pixels.
fn natural_frames(side: i64) -> Tensor {
    #[derive(serde::Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }
    #[derive(serde::Deserialize)]
    struct Case {
        tensor: String,
    }
    let golden: Golden = read_json(&trained().join("golden/frames.json")).unwrap();
    let tensors = Tensor::read_safetensors(trained().join("golden/frames.safetensors")).unwrap();
    let (_, clip) = tensors
        .into_iter()
        .find(|(name, _)| *name == golden.cases[0].tensor)
        .unwrap();
    let frames = clip.permute([0, 3, 1, 2]).to_kind(Kind::Float) / 127.5 - 1.0;
    frames.upsample_bilinear2d([side, side], false, None, None)
}

/// Largest and mean difference.
fn differences(found: &Tensor, expected: &Tensor) -> (f64, f64) {
    assert_eq!(found.size(), expected.size());
    let difference = (found - expected).abs();
    let mean = difference.mean(Kind::Double).double_value(&[]);
    (difference.max().double_value(&[]), mean)
}

#[test]
fn one_tile_over_everything_is_the_whole_to_the_byte() {
    let (network, frames) = (vae(&trained().join("vae")), natural_frames(64));
    let latents = network.encode(&frames, &never).unwrap();
    let whole = network.decode(&latents, &never).unwrap();
    for tile in [8, 9, 32] {
        let tiling = Tiling::new(tile, 2).unwrap();
        let decoded = network.decode_tiled(&latents, tiling, &never).unwrap();
        assert_eq!(decoded, whole);
        let encoded = network.encode_tiled(&frames, tiling, &never).unwrap();
        assert_eq!(encoded, latents);
    }
}

#[test]
fn tiles_of_a_trained_autoencoder_blend_into_the_whole() {
    let (network, frames) = (vae(&trained().join("vae")), natural_frames(96));
    let latents = network.encode(&frames, &never).unwrap();
    let whole = network.decode(&latents, &never).unwrap();
    for (tile, overlap, worst, worst_mean) in [(8, 2, 0.5, 0.005), (9, 3, 0.5, 0.005)] {
        let tiling = Tiling::new(tile, overlap).unwrap();
        let decoded = network.decode_tiled(&latents, tiling, &never).unwrap();
        let (largest, mean) = differences(&decoded, &whole);
        let ratio = psnr(&decoded, &whole);
        println!("decoded in tiles of {tile}: max {largest:.3}, mean {mean:.4}, {ratio:.1} dB");
        assert!(largest < worst && mean < worst_mean, "{largest} {mean}");
        let encoded = network.encode_tiled(&frames, tiling, &never).unwrap();
        let (largest, mean) = differences(&encoded, &latents);
        let error = relative_error(&encoded, &latents);
        println!("encoded in tiles of {tile}: max {largest:.3}, mean {mean:.4}, rms {error:.3}");
        assert!(error < 0.1, "{error}");
    }
}

#[test]
fn tiles_of_a_random_autoencoder_keep_shape_and_range() {
    for name in ["vae-3", "vae-8"] {
        let folder = goldens().join(name);
        let (network, values) = (vae(&folder), values(&folder));
        let latents = &values["latents"];
        let whole = network.decode(latents, &never).unwrap();
        let tiling = Tiling::new(3, 1).unwrap();
        let decoded = network.decode_tiled(latents, tiling, &never).unwrap();
        let (largest, mean) = differences(&decoded, &whole);
        println!("{name}: max {largest:.3}, mean {mean:.4}");
        assert!(mean < 0.15, "{name}: {mean}");
        assert!(decoded.abs().max().double_value(&[]) <= 1.0 + 1e-6);
        let in_one = Tiling::new(64, 8).unwrap();
        let decoded = network.decode_tiled(latents, in_one, &never).unwrap();
        assert!(relative_difference(&decoded, &whole) == 0.0);
    }
}

#[test]
fn a_cancelled_tiled_decode_stops_at_the_next_chunk() {
    let network = vae(&trained().join("vae"));
    let latents = network.encode(&natural_frames(96), &never).unwrap();
    let polls = std::cell::Cell::new(0);
    let cancel = || {
        polls.set(polls.get() + 1);
        polls.get() > 3
    };
    let tiling = Tiling::new(8, 2).unwrap();
    assert!(network.decode_tiled(&latents, tiling, &cancel).is_err());
    assert_eq!(polls.get(), 4);
}

fn short_request() -> GenerateRequest {
    GenerateRequest {
        prompt: "a red circle moves right".to_owned(),
        negative_prompt: String::new(),
        width: 64,
        height: 64,
        frames: 9,
        steps: 3,
        guidance: 2.0,
        seed: 11,
        sampler: Sampler::UniPc,
        grid: SigmaGrid::Diffusers,
        image: None,
        last_image: None,
    }
}

fn generate(options: &LoadOptions) -> Result<Clip, GenerateError> {
    let mut pipeline = WanPipeline::load(&trained(), options).unwrap();
    pipeline.generate(&short_request(), &mut Uncontrolled)
}

#[test]
fn a_pipeline_gives_the_same_clip_under_every_policy() {
    let expected = generate(&one_thread()).unwrap();
    for residency in Residency::ALL {
        let options = LoadOptions {
            residency: Some(residency),
            ..one_thread()
        };
        assert_eq!(generate(&options).unwrap(), expected, "{residency}");
    }
}

#[test]
fn a_pipeline_with_eight_bit_weights_gives_another_clip() {
    let expected = generate(&one_thread()).unwrap();
    for weights in [WeightFormat::Int8, WeightFormat::Fp8] {
        let options = LoadOptions {
            weights,
            ..one_thread()
        };
        assert_ne!(generate(&options).unwrap(), expected, "{weights}");
    }
}

#[test]
fn a_request_that_does_not_fit_is_refused_before_any_work() {
    let options = LoadOptions {
        memory_limit_bytes: Some(1 << 20),
        ..one_thread()
    };
    match generate(&options) {
        Err(GenerateError::DoesNotFit(refusal)) => {
            assert_eq!(refusal.available_bytes, 1 << 20);
            assert!(refusal.needed_bytes > 1 << 20);
        }
        other => panic!("{other:?}"),
    }
}
