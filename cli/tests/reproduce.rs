//! `kinora reproduce` as a person uses it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use kinora_media::{StillFormat, decode_still, probe_still, thumbnail_webp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

struct Bench {
    folder: tempfile::TempDir,
    models: PathBuf,
}

impl Bench {
    fn new(models: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            models: repository().join(models),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn kinora(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinora"));
        command.args(arguments).env_remove("KINORA_SERVER");
        command
            .env("KINORA_DATA_DIR", self.path("data"))
            .env("KINORA_MODELS", &self.models)
            .stdin(Stdio::null())
            .current_dir(self.folder.path());
        command
    }

    /// A mesh of its own makes `clip.mp4` and `clip.json`.
    #[track_caller]
    fn generate(&self, prompt: &str, more: &[&str]) {
        let line = ["generate", prompt, "--seed", "4", "--steps", "2"];
        let files = ["-o", "clip.mp4", "--manifest", "clip.json"];
        ended_with(&self.kinora(&[&line[..], &files, more].concat()), 0);
    }

    /// Writes the manifest anew with one field changed.
    fn edit(&self, name: &str, pointer: &str, value: Value) {
        let text = std::fs::read(self.path("clip.json")).unwrap();
        let mut manifest: Value = serde_json::from_slice(&text).unwrap();
        *manifest.pointer_mut(pointer).unwrap() = value;
        std::fs::write(self.path(name), manifest.to_string()).unwrap();
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], culprit: &str) {
        let ended = self.kinora(&[&["reproduce"], arguments].concat());
        ended_with(&ended, 2);
        assert!(log(&ended).contains(culprit), "{}", log(&ended));
    }
}

fn output(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn ended_with(ended: &Output, status: i32) {
    let text = format!("{}\n{}", output(ended), log(ended));
    assert_eq!(ended.status.code(), Some(status), "{text}");
}

const PROMPT: &str = "a red star spins on a gray background";

#[test]
fn a_clip_is_drawn_again_to_the_byte_and_another_seed_differs() {
    let bench = Bench::new("models");
    bench.generate(PROMPT, &[]);
    let again = bench.kinora(&["reproduce", "clip.json", "-o", "again.mp4"]);
    ended_with(&again, 0);
    let table = output(&again);
    for what in ["request", "latents", "frames", "video"] {
        let line = table.lines().find(|line| line.starts_with(what)).unwrap();
        assert!(line.ends_with("same"), "{table}");
    }
    let bytes = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert!(bytes("clip.mp4") == bytes("again.mp4"));

    bench.edit("other.json", "/seed", json!(5));
    let other = bench.kinora(&["reproduce", "other.json", "--json"]);
    ended_with(&other, 1);
    let report: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(report["same"], false);
    let comparisons = report["comparisons"].as_array().unwrap();
    assert!(
        comparisons
            .iter()
            .all(|one| one["same"] == (one["what"] == "memory plan")),
        "{report}"
    );
    let manifest: Value = serde_json::from_slice(&bytes("clip.json")).unwrap();
    assert_eq!(comparisons[1]["expected"], manifest["latents_sha256"]);
}

#[test]
fn another_model_is_refused_before_it_draws() {
    let bench = Bench::new("models");
    bench.generate(PROMPT, &[]);
    let text = std::fs::read(bench.path("clip.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    let weights = manifest["weights"].as_array().unwrap();
    let is_network = |entry: &&Value| entry["file"].as_str().unwrap().starts_with("transformer/");
    let entry = weights.iter().rfind(is_network).unwrap();
    let place = weights.iter().position(|other| other == entry).unwrap();
    let pointer = format!("/weights/{place}/sha256");
    bench.edit("weights.json", &pointer, json!("0".repeat(64)));
    let file = entry["file"].as_str().unwrap();
    bench.refused(&["weights.json"], file);
    bench.edit("model.json", "/model", json!("some-other-model"));
    bench.refused(&["model.json"], "some-other-model");
    let other = repository().join("libs/models/tests/goldens/pipeline");
    let other = ["clip.json", "--model", other.to_str().unwrap()];
    bench.refused(&other, "kinora.json");
    bench.refused(&["clip.json", "--model", "nowhere"], "nowhere");
    bench.refused(&["clip.json", "--image", "clip.mp4"], "leave it out");
}

#[test]
fn a_manifest_that_cannot_be_read_is_refused() {
    let bench = Bench::new("models");
    bench.generate(PROMPT, &[]);
    for (name, text) in [
        ("garbage.json", "{\"schema\": "),
        ("empty.json", ""),
        ("list.json", "[1, 2]"),
        ("lacking.json", "{\"schema\": \"kinora.manifest.v1\"}"),
    ] {
        std::fs::write(bench.path(name), text).unwrap();
        bench.refused(&[name], name);
    }
    bench.refused(&["nowhere.json"], "nowhere.json");
    for (pointer, value, culprit) in [
        ("/schema", json!("kinora.manifest.v9"), "kinora.manifest.v9"),
        ("/surroundings/precision", json!("f7"), "precision `f7`"),
        ("/surroundings/weights", json!("int3"), "weights `int3`"),
        ("/surroundings/threads", json!(1_000_000), "threads"),
        ("/surroundings/step_cache", json!(-1.0), "step_cache"),
        ("/frames", json!(16), "frames"),
        ("/width", json!(1 << 30), "width"),
        ("/seed", json!(-1), "edited.json"),
    ] {
        bench.edit("edited.json", pointer, value);
        bench.refused(&["edited.json"], culprit);
    }
}

#[test]
fn surroundings_of_another_machine_are_worth_a_warning() {
    let bench = Bench::new("models");
    bench.generate(PROMPT, &[]);
    bench.edit("other.json", "/surroundings/device_class", json!("abacus"));
    let ended = bench.kinora(&["reproduce", "other.json"]);
    ended_with(&ended, 0);
    assert!(log(&ended).contains("abacus"), "{}", log(&ended));
    let table = output(&ended);
    let request = table.lines().find(|line| line.starts_with("request"));
    assert!(request.unwrap().ends_with("same"), "{table}");
}

#[test]
fn a_clip_from_a_picture_needs_the_very_file() {
    let bench = Bench::new("libs/models/tests/goldens/pipeline-i2v");
    for (name, colour) in [("red.webp", [200, 20, 20]), ("blue.webp", [20, 20, 200])] {
        let picture = thumbnail_webp(&colour.repeat(32 * 32), 32, 32).unwrap();
        std::fs::write(bench.path(name), picture).unwrap();
    }
    bench.generate("a red circle", &["--image", "red.webp"]);
    bench.refused(&["clip.json"], "--image");
    bench.refused(&["clip.json", "--image", "blue.webp"], "blue.webp");
    bench.refused(&["clip.json", "--image", "nowhere.webp"], "nowhere.webp");
    ended_with(
        &bench.kinora(&["reproduce", "clip.json", "--image", "red.webp"]),
        0,
    );
}

#[test]
fn one_frame_is_saved_as_a_picture_without_loss() {
    let bench = Bench::new("models");
    let line = ["generate", PROMPT, "--seed", "4", "--steps", "2"];
    for (name, more) in [("star.png", &[][..]), ("star.webp", &["--frames", "1"])] {
        let files = ["-o", name, "--manifest", "clip.json"];
        ended_with(&bench.kinora(&[&line[..], &files, more].concat()), 0);
    }
    let bytes = |name: &str| std::fs::read(bench.path(name)).unwrap();
    let picture = decode_still(&bytes("star.png")).unwrap();
    assert_eq!((picture.width, picture.height), (64, 64));
    assert_eq!(
        probe_still(&bytes("star.webp")).unwrap().format,
        StillFormat::WebP
    );
    let manifest: Value = serde_json::from_slice(&bytes("clip.json")).unwrap();
    let sum = hex::encode(Sha256::digest(&picture.rgb));
    assert_eq!(manifest["frames_sha256"], sum, "no loss");
    assert_eq!(decode_still(&bytes("star.webp")).unwrap().rgb, picture.rgb);
    ended_with(
        &bench.kinora(&["reproduce", "clip.json", "-o", "again.png"]),
        0,
    );
    assert_eq!(bytes("again.png"), bytes("star.png"));

    let moving = ["-o", "moving.jpg", "--frames", "5"];
    let ended = bench.kinora(&[&line[..], &moving].concat());
    ended_with(&ended, 2);
    assert!(log(&ended).contains("moving.jpg"), "{}", log(&ended));
    bench.edit("moving.json", "/frames", json!(5));
    bench.refused(&["moving.json", "-o", "moving.png"], "5 frames");
}

/// Ends a program when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_job_of_the_mesh_may_be_named_instead_of_a_file() {
    let bench = Bench::new("models");
    let mut up = bench.command(&["up", "--listen", "127.0.0.1:0"]);
    up.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut mesh = Running(up.spawn().unwrap());
    // Before it has the folder, the next command would start a mesh of its own and end it again.
    let mut banner = BufReader::new(mesh.0.stdout.take().unwrap());
    let mut line = String::new();
    banner.read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    let line = ["generate", PROMPT, "--seed", "4", "--steps", "2", "--json"];
    let made = bench.kinora(&line);
    ended_with(&made, 0);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let id = made["video"]["id"].as_str().unwrap();
    let again = bench.kinora(&["reproduce", id, "-o", "again.mp4"]);
    ended_with(&again, 0);
    let bytes = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert!(bytes("clip.mp4") == bytes("again.mp4"));
    let unknown = bench.kinora(&["reproduce", "01890000-0000-7000-8000-000000000000"]);
    ended_with(&unknown, 2);
}
