//! Every network and solver against the reference implementations, at tiny random configurations.
//!
//! `tools/goldens` made the files. Tolerance: `support::TOLERANCE`, in 32-bit floats.

use std::path::Path;

use crate::support::{check_close, goldens, never, relative_difference, values, weights};
use kinora_models::config::{
    TextEncoderConfig, TransformerConfig, VaeConfig, read_checked, read_json,
};
use kinora_models::sampler::{Schedule, Stepper};
use kinora_models::t5::T5Encoder;
use kinora_models::wan::{Timestep, WanTransformer, WanVae};
use kinora_models::{GenerateError, Sampler, SigmaGrid};
use kinora_nn::Weights;
use tch::{Device, Kind, Tensor};

const DIFFUSERS: &str = "diffusion_pytorch_model";
/// As `support::TOLERANCE`, for products of bfloat16 numbers, which have 8 significant bits.
const BF16_TOLERANCE: f64 = 0.015;

pub fn transformer(folder: &Path) -> WanTransformer {
    let config: TransformerConfig = read_checked(&folder.join("config.json")).unwrap();
    let weights = weights(folder, DIFFUSERS);
    let network = WanTransformer::load(&weights, &config).unwrap();
    weights.finish().unwrap();
    network
}

pub fn vae(folder: &Path) -> WanVae {
    let config: VaeConfig = read_checked(&folder.join("config.json")).unwrap();
    let weights = weights(folder, DIFFUSERS);
    let network = WanVae::load(&weights, &config).unwrap();
    weights.finish().unwrap();
    network
}

fn check_transformer(name: &str, kind: impl Fn(f64) -> Timestep) {
    let folder = goldens().join(format!("transformer-{name}"));
    let (network, values) = (transformer(&folder), values(&folder));
    let latents = &values["latents"];
    let size = [latents.size()[2], latents.size()[3], latents.size()[4]];
    let texts = [&values["prompt"], &values["negative"]];
    let image = values.get("image");
    let both = network.condition(&texts, image, size).unwrap();
    for timestep in [999_u32, 431] {
        let input = kind(f64::from(timestep));
        let pair = network
            .forward(latents, input, &both, None, &never)
            .unwrap();
        for (index, which) in ["prompt", "negative"].into_iter().enumerate() {
            let expected = &values[&format!("{which}_velocity_{timestep}")];
            let text = &texts[index..=index];
            let alone = network.condition(text, image, size).unwrap();
            let single = network
                .forward(latents, input, &alone, None, &never)
                .unwrap();
            check_close(
                &format!("{name} {which} {timestep} alone"),
                &single,
                expected,
            );
            let member = pair.narrow(0, i64::try_from(index).unwrap(), 1);
            check_close(
                &format!("{name} {which} {timestep} of two"),
                &member,
                expected,
            );
        }
    }
}

#[test]
fn transformer_with_two_heads_of_12() {
    check_transformer("2x12", Timestep::Uniform);
}

#[test]
fn transformer_with_a_head_of_128() {
    check_transformer("1x128", Timestep::Uniform);
}

#[test]
fn transformer_with_four_heads_of_32() {
    check_transformer("4x32", Timestep::Uniform);
}

#[test]
fn transformer_with_an_image_branch() {
    check_transformer("i2v", Timestep::Uniform);
}

#[test]
fn transformer_with_first_and_last_frame() {
    check_transformer("flf", Timestep::Uniform);
}

#[test]
fn transformer_with_a_clean_first_frame() {
    check_transformer("ti2v", Timestep::CleanFirstFrame);
}

#[test]
fn a_batch_of_two_is_two_singles_that_see_the_same_picture() {
    for name in ["i2v", "flf"] {
        let folder = goldens().join(format!("transformer-{name}"));
        let (network, values) = (transformer(&folder), values(&folder));
        let (latents, image) = (&values["latents"], values.get("image"));
        let size = [latents.size()[2], latents.size()[3], latents.size()[4]];
        let velocity = |texts: &[&Tensor], image: &Tensor| {
            let conditioning = network.condition(texts, Some(image), size).unwrap();
            let time = Timestep::Uniform(431.0);
            network.forward(latents, time, &conditioning, None, &never)
        };
        let (texts, image) = ([&values["prompt"], &values["negative"]], image.unwrap());
        let pair = velocity(&texts, image).unwrap();
        let singles = texts.map(|text| velocity(&[text], image).unwrap());
        let difference = relative_difference(&pair, &Tensor::cat(&singles, 0));
        println!("{name}: {difference:.1e}");
        assert!(difference < 1e-5, "{name}: {difference:e}");
        let other = velocity(&texts, &(image * -1.0)).unwrap();
        assert!(relative_difference(&other, &pair) > 1e-3, "{name} is blind");
    }
}

#[test]
fn every_family_computes_in_16_bits() {
    for (name, kind) in [
        ("i2v", Timestep::Uniform as fn(f64) -> Timestep),
        ("flf", Timestep::Uniform),
        ("ti2v", Timestep::CleanFirstFrame),
    ] {
        let folder = goldens().join(format!("transformer-{name}"));
        let config: TransformerConfig = read_checked(&folder.join("config.json")).unwrap();
        let weights = Weights::open(&folder, DIFFUSERS, Device::Cpu, Kind::BFloat16).unwrap();
        let (network, values) = (
            WanTransformer::load(&weights, &config).unwrap(),
            values(&folder),
        );
        let image = values.get("image");
        let text = [&values["prompt"]];
        let conditioning = network.condition(&text, image, [3, 4, 6]).unwrap();
        let velocity = network
            .forward(&values["latents"], kind(431.0), &conditioning, None, &never)
            .unwrap();
        let difference = relative_difference(&velocity, &values["prompt_velocity_431"]);
        println!("{name}: {difference:.1e}");
        assert_eq!(velocity.kind(), Kind::Float);
        assert!(
            difference < BF16_TOLERANCE,
            "{name} differs by {difference:e}"
        );
    }
}

#[test]
fn an_image_is_taken_where_there_is_a_branch_for_it_and_only_there() {
    let (with, without) = (
        goldens().join("transformer-flf"),
        goldens().join("transformer-ti2v"),
    );
    let (values, size) = (values(&with), [3, 4, 6]);
    let (text, image) = ([&values["prompt"]], &values["image"]);
    let (with, without) = (transformer(&with), transformer(&without));
    let one_frame = image.narrow(0, 0, 5);
    let narrow = image.narrow(1, 0, 15);
    let refused = [
        (&with, None),
        (&with, Some(&one_frame)),
        (&with, Some(&narrow)),
        (&without, Some(image)),
    ];
    for (network, image) in refused {
        let error = network.condition(&text, image, size).unwrap_err();
        let is_about_image = matches!(error, GenerateError::Invalid { field: "image", .. });
        assert!(is_about_image, "{error}");
    }
    assert!(with.condition(&text, Some(image), size).is_ok());
    assert!(without.condition(&text, None, size).is_ok());
}

fn check_vae(name: &str) {
    let folder = goldens().join(format!("vae-{name}"));
    let (network, values) = (vae(&folder), values(&folder));
    let to_images = |clip: &Tensor| clip.squeeze_dim(0).transpose(0, 1).contiguous();
    let encoded = network
        .encode(&to_images(&values["frames"]), &never)
        .unwrap();
    check_close("encode", &encoded, &values["encoded"]);
    for chunk in [1, 2, 3, 16] {
        let decoded = network
            .decode_in_chunks(&values["latents"], chunk, &never)
            .unwrap();
        let expected = to_images(&values["decoded"]);
        check_close(&format!("decode in chunks of {chunk}"), &decoded, &expected);
    }
    let decoded = network.decode(&values["latents"], &never).unwrap();
    check_close("decode", &decoded, &to_images(&values["decoded"]));
}

#[test]
fn autoencoder_with_equal_levels() {
    check_vae("3");
}

#[test]
fn autoencoder_with_growing_levels() {
    check_vae("8");
}

fn check_residual_vae(name: &str) {
    let folder = goldens().join(format!("vae22-{name}"));
    let (network, values) = (vae(&folder), values(&folder));
    // Stored as 16-bit integers: half a step is 1.5e-5.
    let frames = values["decoded"].to_kind(Kind::Float) / 32767.0;
    let frames = frames.squeeze_dim(0).transpose(0, 1).contiguous();
    let encoded = network.encode(&frames, &never).unwrap();
    check_close("encode", &encoded, &values["encoded"]);
    for chunk in [1, 2, 3, 16] {
        let decoded = network
            .decode_in_chunks(&values["latents"], chunk, &never)
            .unwrap();
        check_close(&format!("decode in chunks of {chunk}"), &decoded, &frames);
    }
    let decoded = network.decode(&values["latents"], &never).unwrap();
    check_close("decode", &decoded, &frames);
}

#[test]
fn residual_autoencoder_with_equal_levels() {
    check_residual_vae("equal");
}

#[test]
fn residual_autoencoder_with_growing_levels() {
    check_residual_vae("growing");
}

#[test]
fn text_encoder() {
    let folder = goldens().join("umt5");
    let config: TextEncoderConfig = read_checked(&folder.join("config.json")).unwrap();
    let (weights, values) = (weights(&folder, "model"), values(&folder));
    let network = T5Encoder::load(&weights, &config).unwrap();
    weights.finish().unwrap();
    let ids = Vec::<i64>::try_from(&values["ids"]).unwrap();
    check_close("embeddings", &network.forward(&ids), &values["embeddings"]);
}

#[derive(serde::Deserialize)]
struct Table {
    grid: SigmaGrid,
    steps: u32,
    shift: f64,
    sigmas: Vec<f64>,
    timesteps: Vec<f64>,
}

fn tables(folder: &str) -> Vec<Table> {
    read_json(&goldens().join(folder).join("tables.json")).unwrap()
}

fn schedule(table: &Table) -> Schedule {
    Schedule::new(table.grid, table.steps, table.shift, 1000)
}

#[test]
fn noise_levels_equal_the_reference() {
    for table in tables("samplers")
        .into_iter()
        .chain(tables("samplers-dpmpp"))
    {
        let schedule = schedule(&table);
        assert_eq!(
            schedule.timesteps, table.timesteps,
            "{:?} {}",
            table.grid, table.steps
        );
        for (found, expected) in schedule.sigmas.iter().zip(&table.sigmas) {
            // One unit in the last place of a 32-bit float near 1.
            assert!(
                (found - expected).abs() <= 6e-8,
                "{found} is not {expected}"
            );
        }
    }
}

#[test]
fn solvers_follow_the_reference() {
    check_solvers(
        "samplers",
        &[(Sampler::UniPc, "unipc"), (Sampler::Euler, "euler")],
    );
    check_solvers("samplers-dpmpp", &[(Sampler::DpmPp, "dpmpp")]);
}

fn check_solvers(folder: &str, samplers: &[(Sampler, &str)]) {
    let values_of = |folder: &str| values(&goldens().join(folder));
    let (inputs, values) = (values_of("samplers"), values_of(folder));
    for table in tables(folder) {
        let steps = table.steps;
        let velocities = &inputs[&format!("{steps}.velocities")];
        for &(sampler, name) in samplers {
            let grid = serde_json::to_value(table.grid).unwrap();
            let name = format!("{steps}.{}.{name}", grid.as_str().unwrap());
            let mut stepper = Stepper::new(sampler, schedule(&table));
            let mut sample = inputs[&format!("{steps}.start")].shallow_clone();
            let mut samples = Vec::new();
            for step in 0..i64::from(steps) {
                assert!(stepper.timestep().is_some());
                sample = stepper.step(&velocities.get(step), &sample);
                samples.push(sample.shallow_clone());
            }
            assert!(stepper.timestep().is_none());
            check_close(&name, &Tensor::stack(&samples, 0), &values[&name]);
        }
    }
}

#[test]
fn resumed_solvers_continue_exactly() {
    let values = values(&goldens().join("samplers"));
    for (sampler, grid) in [
        (Sampler::UniPc, SigmaGrid::Diffusers),
        (Sampler::UniPc, SigmaGrid::Full),
        (Sampler::Euler, SigmaGrid::Diffusers),
        (Sampler::DpmPp, SigmaGrid::Diffusers),
        (Sampler::DpmPp, SigmaGrid::Full),
    ] {
        for stop in 0..6 {
            let schedule = Schedule::new(grid, 6, 3.0, 1000);
            let mut whole = Stepper::new(sampler, schedule.clone());
            let mut parts = Stepper::new(sampler, schedule.clone());
            let start = values["6.start"].get(0);
            let (mut expected, mut found) = (start.copy(), start.copy());
            for step in 0..6 {
                if step == stop {
                    parts = Stepper::resume(sampler, schedule.clone(), parts.state());
                }
                let velocity = values["6.velocities"].get(step).get(0);
                expected = whole.step(&velocity, &expected);
                found = parts.step(&velocity, &found);
            }
            assert!(expected.isfinite().all().int64_value(&[]) == 1);
            assert_eq!(found, expected, "{sampler:?} resumed after {stop}");
        }
    }
}
