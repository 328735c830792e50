//! Single stages from file to file: they say what the pipeline says, and refuse what does not fit.

use std::collections::HashMap;
use std::path::Path;

use kinora_models::stages::{self, DenoiseSettings, StageError};
use kinora_models::{Sampler, SigmaGrid};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use tch::{Kind, Tensor};

use crate::support::{check_close, goldens, one_thread, values};

/// Width of the golden image encoder.
const IMAGE_WIDTH: i64 = 32;

fn settings() -> DenoiseSettings {
    DenoiseSettings {
        steps: 6,
        guidance: 4.0,
        shift: None,
        sampler: Sampler::UniPc,
        grid: SigmaGrid::Diffusers,
        decode: true,
    }
}

fn write(path: &Path, tensors: &[(&str, &Tensor)]) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, tensor)| {
            let values = Vec::<f32>::try_from(tensor.to_kind(Kind::Float).flatten(0, -1)).unwrap();
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        let shape = tensor
            .size()
            .into_iter()
            .map(|side| usize::try_from(side).unwrap())
            .collect();
        (*name, TensorView::new(Dtype::F32, shape, bytes).unwrap())
    });
    serialize_to_file(views, None, path).unwrap();
}

fn read(path: &Path) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(path)
        .unwrap()
        .into_iter()
        .collect()
}

/// Embeddings as the reference makes them: 512 long, zeros after the end.
fn padded(embeddings: &Tensor) -> Tensor {
    let padding = 512 - embeddings.size()[0];
    embeddings.constant_pad_nd([0, 0, 0, padding]).unsqueeze(0)
}

fn denoise(
    family: &str,
    settings: &DenoiseSettings,
    tensors: &[(&str, &Tensor)],
) -> Result<HashMap<String, Tensor>, StageError> {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, outputs) = (folder.path().join("in"), folder.path().join("out"));
    write(&inputs, tensors);
    let mut heard = Vec::new();
    let model = goldens().join(family);
    let files = [inputs.as_path(), outputs.as_path()];
    stages::denoise(&model, &one_thread(), settings, files, &mut |step| {
        heard.push(step);
    })?;
    assert_eq!(heard, (1..=settings.steps).collect::<Vec<_>>());
    Ok(read(&outputs))
}

#[test]
fn denoising_equals_the_reference_after_every_step() {
    let values = values(&goldens().join("pipeline"));
    let (prompt, negative) = (padded(&values["prompt"]), padded(&values["negative"]));
    let inputs = [
        ("noise", &values["noise"]),
        ("prompt_embeds", &prompt),
        ("negative_prompt_embeds", &negative),
    ];
    let outputs = denoise("pipeline", &settings(), &inputs).unwrap();
    check_close("latents", &outputs["latents"], &values["latents"]);
    check_close("frames", &outputs["frames"], &values["frames"]);
}

#[test]
fn one_stage_after_the_other_equals_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let model = goldens().join("pipeline");
    let values = values(&model);
    let texts = ["blurry dark", "a red circle"].map(str::to_owned);
    stages::encode_text(&model, &one_thread(), &texts, &file("text")).unwrap();
    let text = read(&file("text"));
    assert_eq!(text["embeds"].size(), [2, 512, 32]);
    let length = values["negative"].size()[0];
    assert_eq!(text["lengths"].double_value(&[0]), length as f64);
    let found = text["embeds"].get(0).narrow(0, 0, length);
    check_close("negative prompt", &found, &values["negative"]);

    let last = values["latents"].get(5);
    write(&file("latents"), &[("latents", &last)]);
    let files = [file("latents"), file("frames")];
    stages::decode(&model, &one_thread(), [&files[0], &files[1]]).unwrap();
    check_close(
        "frames",
        &read(&file("frames"))["frames"],
        &values["frames"],
    );
    let files = [file("frames"), file("again")];
    stages::encode(&model, &one_thread(), [&files[0], &files[1]]).unwrap();
    assert_eq!(read(&file("again"))["latents"].size(), last.size());
}

#[test]
fn latents_alone_need_no_autoencoder() {
    let values = values(&goldens().join("pipeline"));
    let prompt = padded(&values["prompt"]);
    let settings = DenoiseSettings {
        guidance: 1.0,
        decode: false,
        ..settings()
    };
    let inputs = [("noise", &values["noise"]), ("prompt_embeds", &prompt)];
    let outputs = denoise("pipeline", &settings, &inputs).unwrap();
    assert!(!outputs.contains_key("frames"));
}

#[test]
fn inputs_that_do_not_fit_are_refused_by_name() {
    let values = values(&goldens().join("pipeline"));
    let (noise, prompt) = (&values["noise"], &padded(&values["prompt"]));
    let flat = noise.squeeze_dim(0);
    let odd = noise.narrow(3, 0, 3);
    let narrow = prompt.narrow(2, 0, 31);
    let good = [
        ("noise", noise),
        ("prompt_embeds", prompt),
        ("negative_prompt_embeds", prompt),
    ];
    let with = |index: usize, tensor| {
        let mut inputs = good;
        inputs[index].1 = tensor;
        inputs.to_vec()
    };
    let cases = [
        (good[1..].to_vec(), "noise"),
        (good[..1].to_vec(), "prompt_embeds"),
        (good[..2].to_vec(), "negative_prompt_embeds"),
        (with(0, &flat), "noise"),
        (with(0, &odd), "noise"),
        (with(1, &narrow), "prompt_embeds"),
        (with(2, &narrow), "negative_prompt_embeds"),
    ];
    for (inputs, expected) in cases {
        let error = denoise("pipeline", &settings(), &inputs).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    for (settings, expected) in [
        (
            DenoiseSettings {
                steps: 0,
                ..settings()
            },
            "steps",
        ),
        (
            DenoiseSettings {
                guidance: f64::NAN,
                ..settings()
            },
            "guidance",
        ),
        (
            DenoiseSettings {
                shift: Some(0.0),
                ..settings()
            },
            "shift",
        ),
    ] {
        let error = denoise("pipeline", &settings, &good).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// A copy of some parts of a golden pipeline.
fn parts_of(pipeline: &str, parts: &[&str]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for part in parts {
        crate::loading::copy_folder(
            &goldens().join(pipeline).join(part),
            &copy.path().join(part),
        );
    }
    copy
}

#[test]
fn a_folder_needs_no_parts_but_those_of_the_stage() {
    let values = values(&goldens().join("pipeline"));
    let prompt = padded(&values["prompt"]);
    let model = parts_of("pipeline", &["transformer"]);
    let folder = tempfile::tempdir().unwrap();
    let (inputs, outputs) = (folder.path().join("in"), folder.path().join("out"));
    write(
        &inputs,
        &[("noise", &values["noise"]), ("prompt_embeds", &prompt)],
    );
    let run = |decode| {
        let settings = DenoiseSettings {
            guidance: 1.0,
            shift: Some(3.0),
            decode,
            ..settings()
        };
        let files = [inputs.as_path(), outputs.as_path()];
        stages::denoise(model.path(), &one_thread(), &settings, files, &mut |_| {})
    };
    run(false).unwrap();
    let found = read(&outputs);
    let whole = DenoiseSettings {
        guidance: 1.0,
        ..settings()
    };
    let inputs = [("noise", &values["noise"]), ("prompt_embeds", &prompt)];
    let expected = denoise("pipeline", &whole, &inputs).unwrap();
    assert_eq!(found["latents"], expected["latents"]);
    let error = run(true).unwrap_err().to_string();
    assert!(error.contains("vae"), "{error}");
}

#[test]
fn pictures_may_come_with_their_mask_or_without() {
    let values = values(&goldens().join("pipeline-i2v"));
    let noise = &values["noise"];
    let options = (Kind::Float, tch::Device::Cpu);
    let random = |shape: &[i64]| Tensor::randn(shape, options);
    let size = noise.size();
    let (prompt, tokens) = (random(&[1, 9, 32]), random(&[1, 257, IMAGE_WIDTH]));
    let latents = random(&size);
    let mask = Tensor::zeros([1, 4, size[2], size[3], size[4]], options);
    let _ = mask.narrow(2, 0, 1).fill_(1.0);
    let settings = DenoiseSettings {
        guidance: 1.0,
        steps: 2,
        ..settings()
    };
    let run = |image_latents: &Tensor| {
        let inputs = [
            ("noise", noise),
            ("prompt_embeds", &prompt),
            ("image_latents", image_latents),
            ("image_embeds", &tokens),
        ];
        denoise("pipeline-i2v", &settings, &inputs)
    };
    let with = run(&Tensor::cat(&[&mask, &latents], 1)).unwrap();
    let without = run(&latents).unwrap();
    assert_eq!(with["latents"], without["latents"]);
    for wrong in [latents.narrow(2, 0, 1), latents.narrow(1, 0, 15)] {
        let error = run(&wrong).unwrap_err().to_string();
        assert!(error.contains("image_latents"), "{error}");
    }
}

#[test]
fn a_model_that_takes_pictures_is_refused_without_them() {
    let values = values(&goldens().join("pipeline-i2v"));
    let prompt = Tensor::zeros([1, 512, 32], (Kind::Float, tch::Device::Cpu));
    let inputs = [
        ("noise", &values["noise"]),
        ("prompt_embeds", &prompt),
        ("negative_prompt_embeds", &prompt),
    ];
    let error = denoise("pipeline-i2v", &settings(), &inputs).unwrap_err();
    assert!(error.to_string().contains("image"), "{error}");
}

#[test]
fn files_that_are_no_tensors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, outputs) = (folder.path().join("in"), folder.path().join("out"));
    let model = goldens().join("pipeline");
    for bytes in [&b""[..], b"hello", &[255; 64]] {
        std::fs::write(&inputs, bytes).unwrap();
        let result = stages::decode(&model, &one_thread(), [&inputs, &outputs]);
        assert!(matches!(result, Err(StageError::File { .. })), "{result:?}");
        assert!(!outputs.exists());
    }
}
