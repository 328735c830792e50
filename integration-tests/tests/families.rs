//! Every family of Wan in both layouts, with random weights, through the whole mesh.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora_integration_tests::{OneProcess, Program, RandomModel, Reply, png, text};
use kinora_media::{Mp4Probe, probe, probe_reader};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A mesh that offers every model, and the folder that it lives in.
struct Mesh {
    mesh: Option<OneProcess>,
    folder: TempDir,
}

impl Mesh {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for model in RandomModel::all() {
            model.write(&folder.path().join("models").join(model.id()));
        }
        let mut mesh = Self { mesh: None, folder };
        mesh.restart().await;
        mesh
    }

    /// Ends the process, if there is one, and starts another one on the same data.
    async fn restart(&mut self) {
        drop(self.mesh.take());
        let models = self.folder.path().join("models");
        let mesh = OneProcess::start_on(&self.data(), &models, &[]).await;
        self.mesh = Some(mesh);
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn api(&self) -> &kinora_integration_tests::Api {
        &self.mesh.as_ref().unwrap().api
    }

    async fn post(&self, request: &Value) -> Reply {
        self.api().post("/v1/videos", request.clone()).await
    }

    /// Generates a clip; returns its job and manifest.
    async fn generate(&self, request: Value) -> (Value, Value) {
        let id = self.api().submit(request).await;
        let job = self.api().wait_status(&id, "completed").await;
        (job, self.api().manifest(&id).await)
    }

    /// What the file of a finished job says of itself.
    async fn probe(&self, job: &Value) -> Mp4Probe {
        let path = format!("/v1/videos/{}/content", job["id"].as_str().unwrap());
        let clip = self.api().get(&path).await;
        assert_eq!(clip.headers["content-type"], "video/mp4");
        let bytes = clip.body.len() as u64;
        probe_reader(&mut Cursor::new(clip.body), bytes).unwrap()
    }
}

/// What must be equal when a clip is made again.
fn digests(manifest: &Value) -> [String; 3] {
    ["latents_sha256", "frames_sha256", "video_sha256"]
        .map(|name| manifest[name].as_str().unwrap().to_owned())
}

fn model(id: &str) -> RandomModel {
    RandomModel::named(id)
}

/// The request with other fields; a `null` leaves a field out.
fn with(mut request: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        request[*name] = value.clone();
    }
    request
}

#[tokio::test]
async fn every_family_in_both_layouts_becomes_a_clip() {
    let mesh = Mesh::start().await;
    let mut jobs = Vec::new();
    for model in RandomModel::all() {
        jobs.push((model, mesh.api().submit(model.request(3)).await));
    }
    let mut seen: BTreeMap<&str, BTreeSet<[String; 3]>> = BTreeMap::new();
    for (model, id) in jobs {
        let job = mesh.api().wait_status(&id, "completed").await;
        let file = mesh.probe(&job).await;
        assert_eq!([file.width, file.height], model.size, "{model:?}");
        assert_eq!((file.frames, file.fps), (9, 8), "{model:?}");
        let manifest = mesh.api().manifest(&id).await;
        assert_eq!(manifest["family"], format!("wan-{}", model.family));
        for (name, is_given) in [
            ("image_sha256", model.takes_image),
            ("last_image_sha256", model.takes_last_image),
        ] {
            assert_eq!(manifest[name].is_string(), is_given, "{name} {manifest}");
        }
        seen.entry(model.family)
            .or_default()
            .insert(digests(&manifest));
    }
    let all: BTreeSet<_> = seen.values().flatten().collect();
    assert_eq!(
        (seen.len(), all.len()),
        (4, 4),
        "alike in both layouts: {seen:?}"
    );
}

#[tokio::test]
async fn pictures_are_optional_or_become_one_frame() {
    let mesh = Mesh::start().await;
    let mut seen = BTreeSet::new();
    for (id, changes, frames) in [
        ("ti2v-native", vec![], 9),
        ("ti2v-native", vec![("image", Value::Null)], 9),
        (
            "ti2v-diffusers",
            vec![("image", Value::Null), ("frames", json!(1))],
            1,
        ),
        ("t2v-native", vec![("frames", json!(1))], 1),
        ("i2v-diffusers", vec![("frames", json!(1))], 1),
    ] {
        let request = with(model(id).request(2), &changes);
        let (job, manifest) = mesh.generate(request).await;
        let file = mesh.probe(&job).await;
        assert_eq!([file.width, file.height], model(id).size, "{id}");
        assert_eq!(file.frames, frames, "{id}");
        seen.insert(digests(&manifest));
    }
    assert_eq!(seen.len(), 5, "all differ: {seen:?}");
}

#[tokio::test]
async fn the_same_request_gives_the_same_bytes_later_and_elsewhere() {
    let mut mesh = Mesh::start().await;
    let models = [
        "i2v-native",
        "flf2v-diffusers",
        "ti2v-native",
        "t2v-diffusers",
    ];
    let mut first = Vec::new();
    for id in models {
        first.push(mesh.generate(model(id).request(4)).await.1);
    }
    // Each now comes after another model's clip than before.
    for (id, before) in models.into_iter().zip(&first).rev() {
        let again = mesh.generate(model(id).request(4)).await.1;
        assert_eq!(&again, before, "{id} in the same process");
    }
    mesh.restart().await;
    for (id, before) in models.into_iter().zip(&first).rev() {
        let again = mesh.generate(model(id).request(4)).await.1;
        assert_eq!(&again, before, "{id} in another process");
    }
    let distinct: BTreeSet<_> = first.iter().map(digests).collect();
    assert_eq!(distinct.len(), models.len());
}

#[tokio::test]
async fn the_command_takes_a_first_and_a_last_picture() {
    let mesh = Mesh::start().await;
    let path = |name: &str| mesh.folder.path().join(name);
    let (first, last, out) = (path("first.png"), path("last.png"), path("clip.mp4"));
    std::fs::write(&first, png(64, 64, 30)).unwrap();
    std::fs::write(&last, png(40, 40, 220)).unwrap();
    let data = mesh.data();
    let generate = async |more: &[&str]| {
        let mut arguments = vec!["generate", "a red circle", "-o", text(&out), "--steps", "2"];
        arguments.extend(["--model", "flf2v-native", "--image", text(&first)]);
        arguments.extend(more);
        let environment = [("KINORA_DATA_DIR", text(&data))];
        Program::start_with("kinora", &path("command"), &arguments, &environment)
            .finish()
            .await
    };
    let refused = generate(&[]).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.log.contains("last"), "{}", refused.log);
    assert!(!out.exists());
    let done = generate(&["--last-image", text(&last)]).await;
    assert!(done.status.success(), "{done:?}");
    let file = probe(&out).unwrap();
    assert_eq!((file.width, file.height, file.frames), (32, 32, 9));
}

/// A model, a field, and what is in it.
type Unfit = (&'static str, &'static str, Option<Vec<u8>>);

/// Requests that are refused, by reason.
fn unfit() -> [(&'static str, Vec<Unfit>); 4] {
    let picture = png(64, 64, 9);
    let cut = picture[..picture.len() / 2].to_vec();
    let missing = vec![
        ("i2v-native", "image", None),
        ("flf2v-native", "last_image", None),
    ];
    let surplus = vec![
        ("i2v-diffusers", "last_image", Some(picture.clone())),
        ("ti2v-native", "last_image", Some(picture.clone())),
        ("t2v-native", "image", Some(picture)),
    ];
    let unreadable = vec![
        ("i2v-native", "image", Some(b"hello".to_vec())),
        ("ti2v-native", "image", Some(cut)),
        ("i2v-diffusers", "image", Some(of_size(0, 5))),
    ];
    let enormous = vec![
        (
            "flf2v-native",
            "last_image",
            Some(of_size(100_000, 100_000)),
        ),
        ("i2v-native", "image", Some(of_size(8000, 8000))),
    ];
    [
        ("IMAGE_REQUIRED", missing),
        ("IMAGE_NOT_SUPPORTED", surplus),
        ("IMAGE_NOT_READABLE", unreadable),
        ("IMAGE_TOO_LARGE", enormous),
    ]
}

#[tokio::test]
async fn pictures_that_do_not_fit_are_named_and_the_mesh_goes_on() {
    let mesh = Mesh::start().await;
    for (reason, cases) in unfit() {
        for (id, field, bytes) in cases {
            let value = bytes.map_or(Value::Null, |bytes| STANDARD.encode(bytes).into());
            let request = with(model(id).request(2), &[(field, value)]);
            let reply = mesh.post(&request).await;
            assert_eq!(reply.reason(), reason, "{id} {field}: {reply:?}");
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{reply:?}");
            assert_eq!(reply.headers["content-type"], "application/problem+json");
            assert_eq!(reply.json()["errors"][0]["field"], field, "{reply:?}");
        }
    }
    let flf2v = model("flf2v-native").request(2);
    let too_short = mesh.post(&with(flf2v, &[("frames", json!(1))])).await;
    assert_eq!(too_short.status, StatusCode::BAD_REQUEST, "{too_short:?}");
    assert_eq!(too_short.json()["errors"][0]["field"], "frames");
    mesh.generate(model("i2v-native").request(2)).await;
}

#[tokio::test]
async fn a_picture_that_lies_of_its_pixels_fails_its_job_alone() {
    let mesh = Mesh::start().await;
    let i2v = model("i2v-native");
    // Whole by its header, but the pixels are another picture's.
    for bytes in [of_size(4000, 4000), of_size(65, 64)] {
        let image = STANDARD.encode(bytes);
        let reply = mesh
            .post(&with(i2v.request(2), &[("image", image.into())]))
            .await;
        assert!(reply.status.is_success(), "{reply:?}");
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        let job = mesh.api().wait_status(&id, "failed").await;
        assert_eq!(job["error"]["code"], "IMAGE_NOT_READABLE", "{job}");
        assert_eq!(
            job["attempt"], 1,
            "nothing is gained by trying again: {job}"
        );
    }
    mesh.generate(i2v.request(2)).await;
}

/// A small PNG whose header says that it has this size.
fn of_size(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png(64, 64, 9);
    // Signature, then length, name and body of the first chunk, and its checksum.
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut rest = u32::MAX;
    for byte in bytes {
        rest ^= u32::from(*byte);
        for _ in 0..8 {
            let is_odd = rest & 1 == 1;
            rest = (rest >> 1) ^ if is_odd { 0xedb8_8320 } else { 0 };
        }
    }
    !rest
}
