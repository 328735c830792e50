//! A worker that computes nothing: the real agent, stream, checkpoints, encoder and uploads around a model whose steps
//! take a fixed time. Thousands of its jobs are cheap, and it can be killed several times a second.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Parser;
use kinora_inference::InferenceOptions;
use kinora_inference::backend::{Backend, BackendError, LoadObserver};
use kinora_inference::engine::{Generated, Order};
use kinora_mesh::identity::{Identity, IdentityOptions};
use kinora_mesh::telemetry::TelemetryOptions;
use kinora_models::wan::pipeline::{Rendering, Surroundings};
use kinora_models::{Checkpoint, Clip, GenerateError, ModelCard, Progress, Signal, Stage};

/// Attaches to a scheduler and makes gray clips.
#[derive(Parser)]
#[command(name = "kinora-chaos-worker")]
struct Arguments {
    /// How long a step takes.
    #[arg(long, default_value = "20ms", value_parser = humantime::parse_duration)]
    step_time: Duration,
    /// Folder for the log of steps; its file is named like the worker.
    #[arg(long)]
    steps_log: PathBuf,
    #[command(flatten)]
    telemetry: TelemetryOptions,
    #[command(flatten)]
    identity: IdentityOptions,
    #[command(flatten)]
    inference: InferenceOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Another provider cannot be installed before the first line of main.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _telemetry = kinora_mesh::telemetry::init("kinora-chaos-worker", &arguments.telemetry)?;
    let shutdown = kinora_mesh::shutdown::on_signals();
    let backend = GrayBackend {
        step_time: arguments.step_time,
        log: open_log(&arguments.steps_log, &arguments.inference.worker_id)?,
        surroundings: Surroundings::of(&kinora_models::LoadOptions::default()),
    };
    Box::pin(kinora_inference::serve(
        Box::new(backend),
        arguments.inference,
        Identity::load(&arguments.identity)?,
        shutdown,
    ))
    .await
    .context("worker stopped")
}

fn open_log(folder: &Path, worker: &str) -> anyhow::Result<File> {
    std::fs::create_dir_all(folder)?;
    let mut options = OpenOptions::new();
    Ok(options
        .create(true)
        .append(true)
        .open(folder.join(worker))?)
}

struct GrayBackend {
    step_time: Duration,
    log: File,
    surroundings: Surroundings,
}

impl Backend for GrayBackend {
    fn cards(&self) -> Vec<ModelCard> {
        let card = serde_json::from_value::<ModelCard>(serde_json::json!({
            "id": "gray", "family": "wan-t2v", "title": "Gray", "licence": "Apache-2.0",
            "defaults": {
                "width": 16, "height": 16, "frames": 5, "fps": 8, "steps": 8, "guidance": 1.0,
                "sampler": "unipc", "grid": "diffusers"
            },
            "limits": {
                "min_width": 16, "max_width": 64, "min_height": 16, "max_height": 64,
                "max_frames": 17, "max_steps": 1000, "max_prompt_chars": 200, "max_guidance": 10.0
            }
        }));
        // The constant can be read, or no test that has this worker passes.
        let derived = card.map(|card| ModelCard {
            size_multiple: 16,
            frame_stride: 4,
            ..card
        });
        derived.into_iter().collect()
    }

    fn generate(
        &mut self,
        order: &Order,
        control: &mut dyn LoadObserver,
    ) -> Result<Generated, BackendError> {
        let request = &order.request;
        // A checkpoint of this model is the number of its step.
        let resumed_step = order.checkpoint.as_ref().map_or(0, |bytes| {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            text.parse().unwrap_or_default()
        });
        self.denoise(request.seed, request.steps, resumed_step, control)?;
        let pixels = u64::from(request.width) * u64::from(request.height);
        let bytes = pixels * u64::from(request.frames) * 3;
        Ok(Generated {
            rendering: Rendering {
                clip: Clip {
                    width: request.width,
                    height: request.height,
                    frames: request.frames,
                    rgb: vec![128; usize::try_from(bytes).unwrap_or_default()],
                },
                latents_sha256: "01".to_owned(),
                fingerprint: "02".to_owned(),
                pairs: true,
                tiles: None,
                resumed_step,
            },
            digests: vec![("weights".to_owned(), "00".to_owned())],
            surroundings: self.surroundings.clone(),
        })
    }
}

impl GrayBackend {
    fn denoise(
        &mut self,
        seed: u64,
        steps: u32,
        resumed_step: u32,
        control: &mut dyn LoadObserver,
    ) -> Result<(), BackendError> {
        let at = |step: u32| Checkpoint {
            step,
            steps,
            bytes: step.to_string().into_bytes(),
        };
        self.note(seed, "begin", resumed_step);
        for step in resumed_step..steps {
            if let Some(asked) = self.work(control) {
                if asked == Signal::Cancel {
                    return Err(BackendError::Generate(GenerateError::Cancelled));
                }
                if step > 0 {
                    control.checkpoint(at(step));
                }
                return Err(BackendError::Generate(GenerateError::Paused));
            }
            self.note(seed, "step", step + 1);
            control.progress(Progress {
                stage: Stage::Denoising,
                step: step + 1,
                steps,
            });
            if control.wants_checkpoint() {
                control.checkpoint(at(step + 1));
            }
        }
        Ok(())
    }

    /// Takes a step's time, unless it is to stop.
    fn work(&self, control: &mut dyn LoadObserver) -> Option<Signal> {
        let until = Instant::now() + self.step_time;
        loop {
            let asked = control.signal();
            if asked != Signal::GoOn {
                return Some(asked);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            // It may wake early, which the loop sees to.
            std::thread::park_timeout(left.min(Duration::from_millis(5)));
        }
    }

    /// One write an entry, so that a kill cuts at most the last one short.
    fn note(&mut self, seed: u64, what: &str, step: u32) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let at = now.map_or(0, |now| now.as_micros());
        let line = format!("{at} {seed} {what} {step} .\n");
        if let Err(error) = self.log.write_all(line.as_bytes()) {
            tracing::error!(%error, "a step was not written down");
        }
    }
}
