use kinora_nn::WeightFormat;
use serde_json::{Value, json};

use super::*;
use crate::request::Precision;
use crate::residency::Residency;

fn wan(layers: u32, width_of_heads: [u32; 2], with_picture: bool) -> WanConfig {
    let [heads, head] = width_of_heads;
    let mut transformer = json!({
        "patch_size": [1, 2, 2], "num_attention_heads": heads, "attention_head_dim": head,
        "in_channels": 16, "out_channels": 16, "text_dim": 4096, "freq_dim": 256,
        "ffn_dim": heads * head * 3, "num_layers": layers, "qk_norm": "rms_norm_across_heads"
    });
    let vae = json!({
        "base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2,
        "temperal_downsample": [false, true, true],
        "latents_mean": vec![0.0; 16], "latents_std": vec![1.0; 16]
    });
    let text = json!({
        "vocab_size": 256_384, "d_model": 4096, "d_kv": 64, "d_ff": 10_240, "num_layers": 24,
        "num_heads": 64
    });
    let encoder = json!({
        "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
        "num_attention_heads": 16, "image_size": 224, "patch_size": 14, "hidden_act": "gelu"
    });
    if with_picture {
        transformer["in_channels"] = 36.into();
        transformer["image_dim"] = 1280.into();
        transformer["added_kv_proj_dim"] = (heads * head).into();
    }
    let read = |value: Value| serde_json::from_value(value).unwrap();
    WanConfig {
        transformer: serde_json::from_value(transformer).unwrap(),
        vae: serde_json::from_value(vae).unwrap(),
        image_encoder: with_picture.then(|| read(encoder)),
        text_encoder: serde_json::from_value(text).unwrap(),
        scheduler: serde_json::from_value(json!({"flow_shift": 3.0})).unwrap(),
    }
}

fn card(max_side: u32, max_frames: u32) -> ModelCard {
    let mut card: ModelCard = serde_json::from_value(json!({
        "id": "wan", "family": "wan-t2v", "title": "Wan", "licence": "Apache-2.0",
        "defaults": {
            "width": 832, "height": 480, "frames": 81, "fps": 16, "steps": 50, "guidance": 5.0,
            "sampler": "unipc", "grid": "diffusers"
        },
        "limits": {
            "min_width": 64, "max_width": max_side, "min_height": 64, "max_height": max_side,
            "max_frames": max_frames, "max_steps": 100, "max_prompt_chars": 2000,
            "max_guidance": 20.0
        }
    }))
    .unwrap();
    (card.size_multiple, card.frame_stride) = (16, 4);
    card
}

fn options(residency: Option<Residency>, is_cpu: bool) -> MemoryOptions {
    MemoryOptions {
        precision: if is_cpu {
            Precision::F32
        } else {
            Precision::Bf16
        },
        weights: WeightFormat::Native,
        residency,
        is_cpu,
        is_guided: true,
        has_step_cache: false,
    }
}

/// Compares the line with the estimates of clips that it was not made from. Returns the largest share by which it is
/// above one.
fn check(config: &WanConfig, card: &ModelCard, options: &MemoryOptions) -> f64 {
    let need = MemoryNeed::above(config, card, options);
    let limits = &card.limits;
    let sides = |least, most| {
        let legal = (least..=most).filter(|side: &u32| side.is_multiple_of(16));
        legal.step_by(7)
    };
    let mut worst: f64 = 0.0;
    for width in sides(limits.min_width, limits.max_width) {
        for height in sides(limits.min_height, limits.max_height) {
            for frames in (1..=limits.max_frames).step_by(12) {
                let clip = ClipSize {
                    width,
                    height,
                    frames,
                };
                let estimate = least_bytes(config, clip, options) as f64;
                let bound = need.bytes(clip);
                assert!(bound >= estimate, "{clip:?}: {bound} and not {estimate}");
                worst = worst.max(bound / estimate - 1.0);
            }
        }
    }
    worst
}

#[test]
fn no_clip_is_estimated_above_the_line_and_the_line_is_close() {
    let (small, large) = (wan(30, [12, 128], false), wan(40, [40, 128], true));
    let (sd, hd) = (card(832, 81), card(1280, 121));
    for (config, card, options, slack) in [
        (&small, &sd, options(Some(Residency::Resident), false), 0.25),
        (&small, &sd, options(Some(Residency::Resident), true), 0.5),
        (&large, &hd, options(Some(Residency::Resident), false), 0.25),
        (
            &large,
            &hd,
            options(Some(Residency::StageOffload), false),
            0.5,
        ),
        (&large, &hd, options(Some(Residency::BlockSwap), false), 1.0),
        (&large, &hd, options(None, false), 1.0),
    ] {
        let worst = check(config, card, &options);
        assert!(worst <= slack, "{worst} over {options:?}");
    }
}

#[test]
fn a_card_of_one_size_has_a_bound_too() {
    let config = wan(2, [2, 16], false);
    let mut one = card(64, 1);
    let options = options(Some(Residency::Resident), true);
    assert!(check(&config, &one, &options) < 0.04);
    one.limits.max_frames = 0;
    assert!(MemoryNeed::above(&config, &one, &options).base_bytes > 0);
}

#[test]
fn the_hull_is_above_all_points_and_no_edge_falls() {
    let line = tightest_line(vec![(1.0, 10.0), (2.0, 30.0), (2.0, 5.0), (4.0, 40.0)]);
    assert_eq!(line, (20.0, 5.0));
    assert_eq!(tightest_line(vec![(1.0, 9.0), (2.0, 3.0)]), (9.0, 0.0));
    assert_eq!(tightest_line(vec![(1.0, 1.0), (2.0, 20.0)]), (0.0, 19.0));
    assert_eq!(tightest_line(vec![(3.0, 7.0)]), (7.0, 0.0));
}

#[test]
fn grids_keep_to_legal_values() {
    assert_eq!(axis(60, 130, 16, 0), [64, 80, 96, 112, 128]);
    assert_eq!(axis(1, 17, 4, 1), [1, 5, 9, 13, 17]);
    assert_eq!(axis(1, 1, 4, 1), [1]);
    let many = axis(64, 1280, 16, 0);
    assert_eq!((many.len(), many[0], many[8]), (9, 64, 1280));
}
