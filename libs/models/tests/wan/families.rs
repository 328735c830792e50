//! Whole clips of the families that start from pictures, against diffusers.

use std::path::{Path, PathBuf};

use kinora_models::config::read_json;
use kinora_models::wan::Family;
use kinora_models::{
    GenerateError, GenerateRequest, Layout, LoadError, LoadOptions, ModelFolder, Part, Picture,
    Residency, WanPipeline,
};
use tch::{Kind, Tensor};
use tempfile::TempDir;

use crate::loading::{copy_folder, edit_json, error};
use crate::support::{Recorder, check_close, goldens, one_thread, values};

#[derive(serde::Deserialize)]
struct Run {
    prompt: String,
    negative_prompt: String,
    seed: u64,
    steps: u32,
    guidance: f64,
    frames: u32,
}

fn folder(family: &str) -> PathBuf {
    goldens().join(format!("pipeline-{family}"))
}

fn picture(pixels: &Tensor) -> Picture {
    let size = pixels.size();
    Picture {
        width: u32::try_from(size[1]).unwrap(),
        height: u32::try_from(size[0]).unwrap(),
        rgb: Vec::<u8>::try_from(pixels.to_kind(Kind::Uint8).flatten(0, -1)).unwrap(),
    }
}

const CLIP: &str = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth";

/// The same model in the native layout. What several families have alike is stored once.
fn native(family: &str) -> TempDir {
    let made = TempDir::new().unwrap();
    let copy = |from: &str, file: &str| {
        let to = made.path().join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(goldens().join(from).join(file), to).unwrap();
    };
    copy_folder(&goldens().join(format!("native-{family}")), made.path());
    copy(&format!("pipeline-{family}"), "kinora.json");
    copy("native", "models_t5_umt5-xxl-enc-bf16.pth");
    copy("native", "google/umt5-xxl/tokenizer.json");
    if family != "ti2v" {
        copy("native", "Wan2.1_VAE.pth");
        copy("native-i2v", CLIP);
    }
    made
}

/// The pipeline and the request that the reference ran.
fn case(family: &str) -> (WanPipeline, GenerateRequest) {
    case_in(&folder(family), family)
}

/// That request, and the pipeline from another folder.
fn case_in(model: &Path, family: &str) -> (WanPipeline, GenerateRequest) {
    let folder = folder(family);
    let pipeline = WanPipeline::load(model, &one_thread()).unwrap();
    let run: Run = read_json(&folder.join("run.json")).unwrap();
    let values = values(&folder);
    let request = GenerateRequest {
        negative_prompt: run.negative_prompt,
        steps: run.steps,
        guidance: run.guidance,
        frames: run.frames,
        image: values.get("image_0").map(picture),
        last_image: values.get("image_1").map(picture),
        ..GenerateRequest::with_defaults(pipeline.card(), &run.prompt, run.seed)
    };
    (pipeline, request)
}

fn check(family: &str) {
    let (mut pipeline, request) = case(family);
    let clip = pipeline
        .generate(&request, &mut Recorder::default())
        .unwrap();
    let values = values(&folder(family));
    let expected = (&values["frames"] * 255.0).to_kind(Kind::Float);
    let found = Tensor::from_slice(&clip.rgb)
        .to_kind(Kind::Float)
        .view(expected.size().as_slice());
    let worst = (&found - &expected).abs().max().double_value(&[]);
    println!("{family}: a byte is off by {worst:.3}");
    // Bytes are rounded, and numbers near a half may go either way.
    assert!(worst < 0.6, "{family}: a byte is off by {worst}");
    let noise = pipeline.initial_noise(request.width, request.height, request.frames, request.seed);
    check_close("noise", &noise.unwrap(), &values["noise"]);
}

#[test]
fn image_to_video_equals_the_reference() {
    check("i2v");
}

#[test]
fn first_and_last_frame_to_video_equals_the_reference() {
    check("flf2v");
}

#[test]
fn text_and_image_to_video_equals_the_reference() {
    check("ti2v");
}

#[test]
fn both_layouts_of_every_family_give_the_same_bytes() {
    for (name, family) in [
        ("i2v", Family::ImageToVideo),
        ("flf2v", Family::FirstLastToVideo),
        ("ti2v", Family::TextImageToVideo),
    ] {
        let native = native(name);
        let layout = ModelFolder::open(native.path()).unwrap().layout();
        assert_eq!(layout, Layout::Native, "{name}");
        let (mut diffusers, request) = case(name);
        let (mut native, same) = case_in(native.path(), name);
        assert_eq!((native.family(), &same), (family, &request), "{name}");
        let clip =
            |pipeline: &mut WanPipeline| pipeline.generate(&request, &mut Recorder::default());
        assert!(
            clip(&mut native).unwrap() == clip(&mut diffusers).unwrap(),
            "{name}: the clips differ"
        );
    }
}

#[test]
fn clips_from_pictures_are_the_same_under_every_policy() {
    for family in ["i2v", "flf2v", "ti2v"] {
        let (mut pipeline, request) = case(family);
        let expected = pipeline.generate(&request, &mut Recorder::default());
        let expected = expected.unwrap();
        for residency in Residency::ALL {
            let options = LoadOptions {
                residency: Some(residency),
                ..one_thread()
            };
            let mut pipeline = WanPipeline::load(&folder(family), &options).unwrap();
            for round in 1..=2 {
                let clip = pipeline.generate(&request, &mut Recorder::default());
                assert_eq!(
                    clip.unwrap(),
                    expected,
                    "{family}, {residency}, round {round}"
                );
            }
        }
    }
}

#[test]
fn the_native_folder_of_a_picture_model_names_what_it_lacks() {
    let folder = native("i2v");
    let opened = ModelFolder::open(folder.path()).unwrap();
    assert!(opened.has(Part::ImageEncoder));
    assert!(opened.files().contains(&folder.path().join(CLIP)));
    std::fs::remove_file(folder.path().join(CLIP)).unwrap();
    let missing = error(folder.path());
    assert!(missing.contains("image_encoder"), "{missing}");
}

#[test]
fn an_image_encoder_of_another_width_is_refused() {
    let copy = TempDir::new().unwrap();
    copy_folder(&folder("i2v"), copy.path());
    edit_json(
        &copy.path().join("image_encoder/config.json"),
        "/hidden_size",
        48.into(),
    );
    let misfit = error(copy.path());
    assert!(
        misfit.contains("image_dim is 32") && misfit.contains("48"),
        "{misfit}"
    );
}

#[test]
fn a_text_and_image_model_needs_no_image() {
    let (mut pipeline, request) = case("ti2v");
    let with = pipeline.generate(&request, &mut Recorder::default());
    let request = GenerateRequest {
        image: None,
        ..request
    };
    let without = pipeline.generate(&request, &mut Recorder::default());
    assert_ne!(with.unwrap(), without.unwrap());
}

#[test]
fn one_frame_is_a_picture() {
    for family in ["i2v", "ti2v"] {
        let (mut pipeline, request) = case(family);
        let request = GenerateRequest {
            frames: 1,
            ..request
        };
        let clip = pipeline.generate(&request, &mut Recorder::default());
        assert_eq!(clip.unwrap().frames, 1);
    }
}

#[test]
fn pictures_of_other_sizes_are_scaled_to_cover_the_clip() {
    let (mut pipeline, request) = case("i2v");
    let request = GenerateRequest {
        image: Some(Picture {
            width: 9,
            height: 70,
            rgb: vec![200; 9 * 70 * 3],
        }),
        ..request
    };
    let clip = pipeline.generate(&request, &mut Recorder::default());
    assert_eq!(clip.unwrap().width, request.width);
}

#[test]
fn pictures_that_do_not_belong_are_refused_by_name() {
    let (mut i2v, with_image) = case("i2v");
    let (mut flf2v, with_both) = case("flf2v");
    let mut t2v = WanPipeline::load(&goldens().join("pipeline"), &one_thread()).unwrap();
    let bytes_missing = Picture {
        width: 32,
        height: 32,
        rgb: vec![0; 32 * 32 * 3 - 1],
    };
    let enormous = Picture {
        width: 1 << 16,
        height: 1 << 16,
        rgb: Vec::new(),
    };
    let plain = GenerateRequest::with_defaults(t2v.card(), "a red circle", 1);
    let without = GenerateRequest {
        image: None,
        ..with_image.clone()
    };
    let with = |image: &Picture| GenerateRequest {
        image: Some(image.clone()),
        ..with_image.clone()
    };
    let first_only = GenerateRequest {
        last_image: None,
        ..with_both.clone()
    };
    let too_short = GenerateRequest {
        frames: 1,
        ..with_both
    };
    let surplus = GenerateRequest {
        image: with_image.image.clone(),
        ..plain
    };
    let last = GenerateRequest {
        last_image: with_image.image.clone(),
        ..with_image.clone()
    };
    refused(&mut i2v, &without, "image");
    refused(&mut i2v, &with(&bytes_missing), "image");
    refused(&mut i2v, &with(&enormous), "image");
    refused(&mut i2v, &last, "last_image");
    refused(&mut flf2v, &first_only, "last_image");
    refused(&mut flf2v, &too_short, "frames");
    refused(&mut t2v, &surplus, "image");
}

#[track_caller]
fn refused(pipeline: &mut WanPipeline, request: &GenerateRequest, expected: &str) {
    match pipeline.generate(request, &mut Recorder::default()) {
        Err(GenerateError::Invalid { field, .. }) => assert_eq!(field, expected),
        other => panic!("{expected}: {other:?}"),
    }
}

#[test]
fn a_card_of_another_family_is_refused() {
    let copy = TempDir::new().unwrap();
    copy_folder(&folder("i2v"), copy.path());
    let card = copy.path().join("kinora.json");
    let text = std::fs::read_to_string(&card).unwrap();
    std::fs::write(&card, text.replace("wan-i2v", "wan-t2v")).unwrap();
    let error = WanPipeline::load(copy.path(), &LoadOptions::default()).err();
    match error {
        Some(LoadError::Config { reason, .. }) => assert!(reason.contains("wan-i2v"), "{reason}"),
        other => panic!("{other:?}"),
    }
}
