//! A backend for tests: clips of one colour, steps that wait to be let through.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use kinora_blobs::{BlobOptions, BlobStore, EmbeddedS3, Secret};
use kinora_models::memory::MemoryNeed;
use kinora_models::wan::pipeline::{Forecast, Rendering};
use kinora_models::{
    Checkpoint, Clip, GenerateError, GenerateRequest, ModelCard, Picture, Progress, Signal, Stage,
};
use kinora_testkit::net::loopback_listener;

use crate::attempt::Workbench;
use crate::backend::{Backend, BackendError, LoadObserver};
use crate::engine::{Engine, Generated, Order, Rhythm};
use crate::manifest::Machine;

/// Lets steps through; clones share one count.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<u32>, Condvar)>);

impl Gate {
    /// A gate that is open for good.
    pub fn open() -> Self {
        let gate = Self::default();
        gate.allow(u32::MAX);
        gate
    }

    /// Lets `steps` more steps through.
    pub fn allow(&self, steps: u32) {
        let mut allowed = self.0.0.lock().unwrap();
        *allowed = allowed.saturating_add(steps);
        self.0.1.notify_all();
    }

    /// Takes one step, or gives up when `is_cancelled`.
    fn pass(&self, is_cancelled: impl Fn() -> bool) -> bool {
        let mut allowed = self.0.0.lock().unwrap();
        while *allowed == 0 {
            if is_cancelled() {
                return false;
            }
            let pause = std::time::Duration::from_millis(5);
            allowed = self.0.1.wait_timeout(allowed, pause).unwrap().0;
        }
        if is_cancelled() {
            return false;
        }
        if *allowed != u32::MAX {
            *allowed -= 1;
        }
        true
    }
}

/// Generates gray clips; a prompt that begins with "panic" or "memory" fails that way.
pub struct FakeBackend {
    pub gate: Gate,
}

pub fn card() -> ModelCard {
    serde_json::from_value(serde_json::json!({
        "id": "fake", "family": "wan-t2v", "title": "Fake", "licence": "Apache-2.0",
        "defaults": {
            "width": 16, "height": 16, "frames": 5, "fps": 8, "steps": 2, "guidance": 1.0,
            "sampler": "unipc", "grid": "diffusers"
        },
        "limits": {
            "min_width": 16, "max_width": 64, "min_height": 16, "max_height": 64,
            "max_frames": 17, "max_steps": 50, "max_prompt_chars": 200, "max_guidance": 10.0
        }
    }))
    .unwrap()
}

/// A model that takes a picture: its clips have the colour of the picture's first pixel.
pub const PICTURED: &str = "fake-i2v";

/// A prompt whose clips show a drawn face, 96 by 96 pixels, in every frame; so do its previews.
pub const FACE: &str = "a face";
/// A prompt whose clips show it in the middle frame only.
pub const FACE_ONCE: &str = "a face, once";
/// Width and height of the drawn face.
pub const FACE_SIDE: u32 = 96;

/// The drawn face.
fn face() -> Picture {
    let png = include_bytes!("../../../libs/models/tests/goldens/detector/face.png");
    let still = kinora_media::decode_still(png).unwrap();
    Picture {
        width: still.width,
        height: still.height,
        rgb: still.rgb,
    }
}

/// The frames of a clip: of one colour, or with the face.
fn frames(request: &GenerateRequest) -> Vec<u8> {
    let pixels = usize::try_from(request.width * request.height).unwrap();
    let picture = request.image.as_ref();
    let colour = picture.map_or([128; 3], |it| *it.rgb.first_chunk().unwrap());
    let frame = |index| match request.prompt.as_str() {
        FACE => face().rgb,
        FACE_ONCE if index == request.frames / 2 => face().rgb,
        _ => colour.repeat(pixels),
    };
    (0..request.frames).flat_map(frame).collect()
}

/// What the fake models need and have.
pub const FORECAST: Forecast = Forecast {
    need: MemoryNeed {
        base_bytes: 1 << 20,
        bytes_per_pixel: 2.5,
    },
    limit_bytes: Some(1 << 33),
};

fn cards() -> Vec<ModelCard> {
    let pictured = ModelCard {
        id: PICTURED.to_owned(),
        family: "wan-ti2v".to_owned(),
        ..card()
    };
    vec![card(), pictured]
}

impl Backend for FakeBackend {
    fn cards(&self) -> Vec<ModelCard> {
        cards()
    }

    fn residents(&self) -> Vec<String> {
        vec!["fake".to_owned()]
    }

    fn generate(
        &mut self,
        order: &Order,
        control: &mut dyn LoadObserver,
    ) -> Result<Generated, BackendError> {
        let request = &order.request;
        if !cards().iter().any(|card| card.id == order.model) {
            return Err(BackendError::UnknownModel(order.model.clone()));
        }
        match request.prompt.as_str() {
            "memory" => return Err(BackendError::Generate(GenerateError::OutOfMemory)),
            "engine" => {
                return Err(BackendError::Generate(GenerateError::Engine(
                    "nan".to_owned(),
                )));
            }
            _ => {}
        }
        // A checkpoint of this model is the number of its step.
        let resumed_step = order.checkpoint.as_ref().map_or(0, |text| {
            std::str::from_utf8(text).unwrap().parse().unwrap()
        });
        self.denoise(request, resumed_step, control)?;
        let GenerateRequest {
            width,
            height,
            frames,
            ..
        } = *request;
        let clip = Clip {
            width,
            height,
            frames,
            rgb: self::frames(request),
        };
        let options = kinora_models::LoadOptions::default();
        let surroundings = kinora_models::wan::pipeline::Surroundings::of(&options);
        Ok(Generated {
            rendering: Rendering {
                clip,
                latents_sha256: "01".to_owned(),
                fingerprint: "02".to_owned(),
                pairs: true,
                tiles: None,
                resumed_step,
            },
            digests: vec![("weights".to_owned(), "00".to_owned())],
            surroundings,
        })
    }
}

impl FakeBackend {
    fn denoise(
        &self,
        request: &GenerateRequest,
        resumed_step: u32,
        control: &mut dyn LoadObserver,
    ) -> Result<(), BackendError> {
        let steps = request.steps;
        let report = |control: &mut dyn LoadObserver, step| {
            control.progress(Progress {
                stage: Stage::Denoising,
                step,
                steps,
            });
        };
        report(control, resumed_step);
        for step in resumed_step..steps {
            let checkpoint = |step: u32| Checkpoint {
                step,
                steps,
                bytes: step.to_string().into_bytes(),
            };
            if !self.gate.pass(|| control.signal() != Signal::GoOn) {
                if control.signal() != Signal::Pause {
                    return Err(BackendError::Generate(GenerateError::Cancelled));
                }
                if step > 0 {
                    control.checkpoint(checkpoint(step));
                }
                return Err(BackendError::Generate(GenerateError::Paused));
            }
            report(control, step + 1);
            if control.wants_checkpoint() {
                control.checkpoint(checkpoint(step + 1));
            }
            if step + 1 < steps && control.wants_preview() {
                let gray = Picture {
                    width: 2,
                    height: 2,
                    rgb: vec![200; 12],
                };
                control.preview(if request.prompt == FACE { face() } else { gray });
            }
        }
        Ok(())
    }
}

/// A checkpoint and a preview after every step.
const EVERY_STEP: Rhythm = Rhythm {
    checkpoints: Duration::ZERO,
    previews: Some(Duration::ZERO),
};

/// A store of objects in a folder, for as long as the test runs.
pub async fn serve_store(root: PathBuf) -> BlobOptions {
    let listener = loopback_listener().await;
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let secret = Secret::new("secret");
    let forever = std::future::pending();
    tokio::spawn(EmbeddedS3::serve(
        listener,
        root,
        "access".to_owned(),
        secret,
        forever,
    ));
    store_options(endpoint)
}

/// The options of a store of tests.
pub fn store_options(endpoint: String) -> BlobOptions {
    BlobOptions {
        endpoint,
        public_endpoint: None,
        region: "us-east-1".to_owned(),
        bucket: "kinora".to_owned(),
        access_key: "access".to_owned(),
        secret_key: Secret::new("secret"),
    }
}

/// What attempts of a worker of tests share.
pub fn workbench(gate: Gate, blobs: BlobStore, scratch: &Path) -> Workbench {
    let known = [("fake".to_owned(), FORECAST)].into();
    Workbench {
        forecasts: known,
        ..workbench_of(Box::new(FakeBackend { gate }), blobs, scratch)
    }
}

/// The same with another backend.
pub fn workbench_of(backend: Box<dyn Backend>, blobs: BlobStore, scratch: &Path) -> Workbench {
    let cards = backend.cards().into_iter();
    Workbench {
        cards: cards.map(|it| (it.id.clone(), it)).collect(),
        forecasts: backend.forecasts(),
        engine: Engine::start(backend, EVERY_STEP).unwrap(),
        blobs,
        ffmpeg: kinora_testkit::env::ffmpeg(),
        scratch: scratch.to_owned(),
        memory_total_bytes: 1 << 34,
        machine: Machine {
            kinora: "0".to_owned(),
            device: "cpu".to_owned(),
        },
        costs: parking_lot::Mutex::default(),
        frames: None,
    }
}
