//! The image encoder and its preprocessing against transformers, and its weights.

use crate::support::{check_close, goldens, values, weights};
use kinora_models::Picture;
use kinora_models::clip::{ClipVisionEncoder, preprocess};
use kinora_models::config::{ImageEncoderConfig, read_checked};
use kinora_nn::{Weights, WeightsError};
use tch::{Device, Kind, Tensor};

/// One level of a byte, in the units of normalised pixels: 1 / 255 / 0.261.
const LEVEL: f64 = 0.015_02;

fn config(activation: &str) -> ImageEncoderConfig {
    let file = format!("clip/{activation}.json");
    read_checked(&goldens().join(file)).unwrap()
}

/// The bytes that `tools/goldens` makes.
fn test_picture(width: u32, height: u32) -> Picture {
    let pixel = move |row: u32, column: u32| {
        (1..=3).map(move |factor| {
            let value = column * column + 3 * row * row + column * row * factor;
            u8::try_from(value / 16 % 256).unwrap()
        })
    };
    let rgb = (0..height)
        .flat_map(|row| (0..width).flat_map(move |column| pixel(row, column)))
        .collect();
    Picture { width, height, rgb }
}

fn check_encoder(activation: &str) {
    let folder = goldens().join("clip");
    let (weights, values) = (weights(&folder, "model"), values(&folder));
    let network = ClipVisionEncoder::load(&weights, &config(activation)).unwrap();
    weights.finish().unwrap();
    let pixels = &values["300x200.28"];
    check_close(activation, &network.forward(pixels), &values[activation]);
    // The same from bytes, as far as preprocessing agrees.
    let found = network.encode(&test_picture(300, 200)).unwrap();
    assert_eq!(found.size(), [5, 16]);
}

#[test]
fn image_encoder_with_gelu() {
    check_encoder("gelu");
}

#[test]
fn image_encoder_with_quick_gelu() {
    check_encoder("quick_gelu");
}

#[test]
fn pictures_are_scaled_as_the_reference_does_to_one_level_of_a_byte() {
    let values = values(&goldens().join("clip"));
    for (width, height) in [(37, 53), (300, 200)] {
        for (side, step) in [(28, 1), (224, 16)] {
            let found = preprocess(&test_picture(width, height), side).unwrap();
            let side = i64::from(side);
            assert_eq!(found.size(), [1, 3, side, side]);
            let found = found.slice(2, 0, side, step).slice(3, 0, side, step);
            let expected = &values[&format!("{width}x{height}.{side}")];
            let difference = (&found - expected).abs() / LEVEL;
            let largest = difference.max().double_value(&[]);
            let share = difference.gt(0.5).to_kind(Kind::Double).mean(Kind::Double);
            let share = share.double_value(&[]);
            println!("{width}x{height} to {side}: {largest:.3} levels, {share:.1e} differ");
            assert!(largest < 1.05 && share < 0.01);
            let alike = difference.where_self(&difference.le(0.5), &Tensor::from(0.0_f32));
            assert!(
                alike.max().double_value(&[]) < 1e-3,
                "normalisation differs"
            );
        }
    }
}

/// Loads the golden weights with another number of blocks.
fn load_with_blocks(blocks: i64) -> Result<(), WeightsError> {
    let weights = weights(&goldens().join("clip"), "model");
    let config = ImageEncoderConfig {
        num_hidden_layers: blocks,
        ..config("gelu")
    };
    ClipVisionEncoder::load(&weights, &config)?;
    weights.finish()
}

#[test]
fn a_wrong_number_of_blocks_is_told_from_the_weights() {
    let fewer = load_with_blocks(2).unwrap_err().to_string();
    assert!(fewer.contains("encoder.layers.2"), "{fewer}");
    let more = load_with_blocks(4).unwrap_err().to_string();
    assert!(more.contains("encoder.layers.3.layer_norm1"), "{more}");
    load_with_blocks(3).unwrap();
}

#[test]
fn names_without_the_prefix_are_read_too() {
    let golden = goldens().join("clip/model.safetensors");
    let mut tensors: Vec<_> = Tensor::read_safetensors(golden).unwrap();
    for (name, _) in &mut tensors {
        *name = name.trim_start_matches("vision_model.").to_owned();
    }
    let folder = tempfile::TempDir::new().unwrap();
    Tensor::write_safetensors(&tensors, folder.path().join("model.safetensors")).unwrap();
    let weights = weights(folder.path(), "model");
    ClipVisionEncoder::load(&weights, &config("gelu")).unwrap();
    weights.finish().unwrap();
}

#[test]
fn half_precision_stays_near_full_precision() {
    let folder = goldens().join("clip");
    let values = values(&folder);
    let weights = Weights::open(&folder, "model", Device::Cpu, Kind::BFloat16).unwrap();
    let network = ClipVisionEncoder::load(&weights, &config("gelu")).unwrap();
    let found = network.forward(&values["300x200.28"]);
    assert_eq!(found.kind(), Kind::Float);
    let difference = crate::support::relative_difference(&found, &values["gelu"]);
    println!("bfloat16: {difference:.1e}");
    assert!(difference < 0.02, "{difference}");
}
