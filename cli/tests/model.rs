//! `kinora model` as a person uses it, against the values of the reference.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize_to_file};

const TOLERANCE: f32 = 1e-4;
const PROMPT: &str = "A red   circle moves to the right, on black &amp; white.";
const NEGATIVE: &str = "blurry dark";

/// Shape and values.
type Values = (Vec<usize>, Vec<f32>);

/// The tiny model whose values the reference has computed.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../libs/models/tests/goldens/pipeline")
}

fn read(path: &Path) -> HashMap<String, Values> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let values = view.data().chunks_exact(4);
        let values = values.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        (name, (view.shape().to_vec(), values.collect()))
    });
    tensors.collect()
}

fn write(path: &Path, tensors: &[(&str, &Values)]) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, (_, values))| {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, (shape, _)), bytes)| {
            (
                *name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
    serialize_to_file(views, None, path).unwrap();
}

/// Row `index` of the first axis, as a batch of one.
fn row((shape, values): &Values, index: usize) -> Values {
    let size: usize = shape[1..].iter().product();
    let mut shape = shape.clone();
    shape[0] = 1;
    (shape, values[index * size..(index + 1) * size].to_vec())
}

#[track_caller]
fn close(what: &str, found: &Values, expected: &Values) {
    assert_eq!(found.0, expected.0, "{what}");
    let differences = found.1.iter().zip(&expected.1);
    let largest = differences.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let is_close = largest <= TOLERANCE && found.1.iter().all(|value| value.is_finite());
    assert!(is_close, "{what} is off by {largest}");
}

struct Bench {
    folder: tempfile::TempDir,
    model: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = golden();
        Self { folder, model }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a stage on the tiny model with one thread, as the goldens were made.
    fn stage(&self, stage: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinora"));
        command.args(["model", stage, "--threads", "1", "--model"]);
        command.arg(&self.model).args(arguments);
        command.current_dir(self.folder.path()).output().unwrap()
    }

    /// Runs a stage from `in` to `out`, with `tensors` in `in`.
    fn run(&self, stage: &str, tensors: &[(&str, &Values)], more: &[&str]) -> Output {
        write(&self.path("in"), tensors);
        let files = ["--inputs", "in", "--out", "out"];
        self.stage(stage, &[files.as_slice(), more].concat())
    }

    #[track_caller]
    fn finished(&self, ended: &Output) -> HashMap<String, Values> {
        assert!(ended.status.success(), "{}", log(ended));
        read(&self.path("out"))
    }

    /// The stage ended as a wrong call does, named `culprit` and left nothing.
    #[track_caller]
    fn refused(&self, ended: &Output, culprit: &str) {
        assert_eq!(ended.status.code(), Some(2), "{}", log(ended));
        assert!(log(ended).contains(culprit), "{}", log(ended));
        assert!(!self.path("out").exists());
    }
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn texts_noise_latents_and_frames_are_those_of_the_reference() {
    let bench = Bench::new();
    let golden = read(&golden().join("io.safetensors"));
    let texts = ["--prompt", PROMPT, "--prompt", NEGATIVE, "--out", "out"];
    let text = bench.finished(&bench.stage("encode-text", &texts));
    assert_eq!(text["embeds"].0, [2, 512, 32]);
    assert_eq!(text["lengths"].1, [15.0, 3.0]);
    let (prompt, negative) = (row(&text["embeds"], 0), row(&text["embeds"], 1));
    let words = (vec![15, 32], prompt.1[..15 * 32].to_vec());
    close("prompt", &words, &golden["prompt"]);

    let inputs = [
        ("noise", &golden["noise"]),
        ("prompt_embeds", &prompt),
        ("negative_prompt_embeds", &negative),
    ];
    let settings = ["--steps", "6", "--guidance", "4", "--sampler", "unipc"];
    let denoised = bench.finished(&bench.run("denoise", &inputs, &settings));
    close("latents", &denoised["latents"], &golden["latents"]);
    close("frames", &denoised["frames"], &golden["frames"]);

    let (shape, last) = row(&denoised["latents"], 5);
    let last = (shape[1..].to_vec(), last);
    let decoded = bench.finished(&bench.run("decode", &[("latents", &last)], &[]));
    assert_eq!(decoded["frames"], denoised["frames"]);
    let encoded = bench.finished(&bench.run("encode", &[("frames", &decoded["frames"])], &[]));
    assert_eq!(encoded["latents"].0, last.0);
}

#[test]
fn bfloat16_is_near_and_the_solvers_differ() {
    let bench = Bench::new();
    let golden = read(&golden().join("io.safetensors"));
    let batch = |(shape, values): &Values| -> Values {
        ([&[1], shape.as_slice()].concat(), values.clone())
    };
    let (prompt, negative) = (batch(&golden["prompt"]), batch(&golden["negative"]));
    let inputs = [
        ("noise", &golden["noise"]),
        ("prompt_embeds", &prompt),
        ("negative_prompt_embeds", &negative),
    ];
    let last = |more: &[&str]| {
        let steps = ["--steps", "4", "--latents-only", "--quiet"];
        let ended = bench.run("denoise", &inputs, &[steps.as_slice(), more].concat());
        let outputs = bench.finished(&ended);
        assert!(!outputs.contains_key("frames") && log(&ended).is_empty());
        row(&outputs["latents"], 3).1
    };
    let distance = |a: &[f32], b: &[f32]| {
        let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let plain = last(&[]);
    let half = last(&["--dtype", "bf16"]);
    let size = distance(&plain, &vec![0.0; plain.len()]);
    let off = distance(&plain, &half) / size;
    assert!(off > 0.0 && off < 0.05, "bfloat16 is off by {off}");
    for solver in ["unipc-native", "dpmpp", "euler"] {
        let other = last(&["--sampler", solver]);
        assert!(distance(&plain, &other) > 0.0, "{solver} is unipc");
        assert!(other.iter().all(|value| value.is_finite()), "{solver}");
    }
}

#[test]
fn files_that_are_missing_or_no_tensors_are_named() {
    let mut bench = Bench::new();
    let files = ["--inputs", "nowhere", "--out", "out"];
    for stage in ["denoise", "decode", "encode"] {
        bench.refused(&bench.stage(stage, &files), "nowhere");
    }
    std::fs::write(bench.path("text"), "no tensors").unwrap();
    let files = ["--inputs", "text", "--out", "out"];
    bench.refused(&bench.stage("decode", &files), "text");
    let noise = read(&golden().join("io.safetensors"))["noise"].clone();
    let nowhere = bench.run(
        "decode",
        &[("latents", &noise)],
        &["--out", "no/folder/out"],
    );
    assert_eq!(nowhere.status.code(), Some(2), "{}", log(&nowhere));
    bench.model = bench.path("no-model");
    let ended = bench.stage("encode-text", &["--prompt", "x", "--out", "out"]);
    bench.refused(&ended, "no-model");
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let bench = Bench::new();
    let zeros = |shape: &[usize]| (shape.to_vec(), vec![0.0; shape.iter().product()]);
    let (noise, text) = (zeros(&[1, 16, 3, 4, 4]), zeros(&[1, 2, 32]));
    for (stage, name, shape) in [
        ("decode", "latents", zeros(&[1, 15, 3, 4, 4])),
        ("decode", "latents", zeros(&[16, 3, 4, 4])),
        ("decode", "other", zeros(&[1, 16, 3, 4, 4])),
        ("encode", "frames", zeros(&[8, 32, 32, 3])),
        ("encode", "frames", zeros(&[9, 32, 33, 3])),
    ] {
        let culprit = if name == "other" { "latents" } else { name };
        bench.refused(&bench.run(stage, &[(name, &shape)], &[]), culprit);
    }
    let both = [("noise", &noise), ("prompt_embeds", &text)];
    bench.refused(&bench.run("denoise", &both[..1], &[]), "prompt_embeds");
    bench.refused(&bench.run("denoise", &both[1..], &[]), "noise");
    bench.refused(&bench.run("denoise", &both, &[]), "negative_prompt_embeds");
    bench.refused(&bench.run("denoise", &both, &["--steps", "0"]), "steps");
    bench.refused(
        &bench.run("denoise", &both, &["--guidance", "nan"]),
        "guidance",
    );
    bench.refused(
        &bench.run("denoise", &both, &["--sampler", "magic"]),
        "--sampler",
    );
}

#[test]
fn the_help_of_every_stage_names_its_tensors() {
    let bench = Bench::new();
    for (stage, tensors) in [
        (
            "denoise",
            &[
                "noise [1,c,f,h,w]",
                "prompt_embeds [1,s,d]",
                "negative_prompt_embeds",
                "image_latents",
                "image_embeds",
                "frames [f,h,w,3]",
            ][..],
        ),
        ("encode-text", &["embeds [n,512,d]", "lengths [n]"]),
        ("decode", &["[1,c,f,h,w]", "[f,h,w,3]"]),
        ("encode", &["[f,h,w,3]", "[1,c,f,h,w]"]),
    ] {
        let ended = bench.stage(stage, &["--help"]);
        assert!(ended.status.success());
        let help = String::from_utf8_lossy(&ended.stdout).into_owned();
        for tensor in tensors {
            assert!(help.contains(tensor), "{stage}: {tensor}\n{help}");
        }
    }
}
