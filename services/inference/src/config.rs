//! The worker's options.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use kinora_blobs::BlobOptions;
use kinora_mesh::lifecycle::ProbeOptions;
use kinora_models::{DeviceChoice, LoadOptions, Precision, Residency, WeightFormat};

use crate::engine::Rhythm;
use crate::frames::options::FrameOptions;

/// One thread is the fastest for a small model (BENCHMARKS.md), and gives the same bytes on machines
/// with different numbers of cores.
pub const DEFAULT_THREADS: usize = 1;

/// How a worker runs.
#[derive(Args, Clone, Debug)]
pub struct InferenceOptions {
    /// The scheduler to attach to, always by mutual TLS. Several, separated by commas, and all addresses of a name are tried in turn.
    #[arg(
        long = "scheduler",
        visible_alias = "scheduler-endpoint",
        env = "KINORA_SCHEDULER_ENDPOINT",
        value_delimiter = ',',
        default_value = "https://127.0.0.1:7001"
    )]
    pub scheduler_endpoints: Vec<String>,
    /// Stable name of this worker, unlike that of any other: two with one name would take each other's place.
    #[arg(long, env = "KINORA_WORKER_ID")]
    pub worker_id: String,
    /// Kind of machine, for people and metrics, for example h100 [default: the device].
    #[arg(long, env = "KINORA_POOL")]
    pub pool: Option<String>,
    /// Folder of a model (with a kinora.json). Repeat it for several; the first is loaded at start.
    #[arg(
        long = "model",
        env = "KINORA_MODEL_FOLDERS",
        value_delimiter = ':',
        required = true
    )]
    pub model_folders: Vec<PathBuf>,
    /// The ffmpeg program.
    #[arg(long, env = "KINORA_FFMPEG", default_value = "ffmpeg")]
    pub ffmpeg: PathBuf,
    /// Folder for files until they are stored; the system's temporary folder when absent.
    #[arg(long, env = "KINORA_SCRATCH")]
    pub scratch: Option<PathBuf>,
    /// How models are computed.
    #[command(flatten)]
    pub engine: EngineOptions,
    /// Whether and how frames are checked.
    #[command(flatten)]
    pub frames: FrameOptions,
    /// How long running attempts may go on after a stop was asked for.
    #[arg(long, env = "KINORA_DRAIN_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,
    /// Where the worker says how it is.
    #[command(flatten)]
    pub probes: ProbeOptions,
    /// Where outputs are stored.
    #[command(flatten)]
    pub blobs: BlobOptions,
}

/// How models are computed, here and in `kinora up`.
#[derive(Args, Clone, Debug)]
pub struct EngineOptions {
    /// Index of the CUDA device; the CPU when absent.
    #[arg(long, env = "KINORA_CUDA_DEVICE")]
    pub cuda_device: Option<usize>,
    /// Compute large products in bfloat16 instead of 32-bit floats.
    #[arg(long, env = "KINORA_BF16")]
    pub bf16: bool,
    /// Threads of CPU operators. A clip's bytes may differ between numbers of threads.
    #[arg(long, env = "KINORA_THREADS", default_value_t = DEFAULT_THREADS)]
    pub threads: usize,
    /// How large matrices are stored: native, int8 or fp8. Fewer bits take less memory and make slightly other clips.
    #[arg(long, env = "KINORA_WEIGHTS", default_value_t = WeightFormat::Native)]
    pub weights: WeightFormat,
    /// Where weights rest: resident (on the device), stage-offload or block-swap (in the machine's memory until they
    /// are needed) [default: the first that fits the device].
    #[arg(long, env = "KINORA_RESIDENCY")]
    pub residency: Option<Residency>,
    /// Memory of the device that model and clip may take, for example 24GiB [default: what is free at the start].
    #[arg(long, env = "KINORA_MEMORY_LIMIT")]
    pub memory_limit: Option<ByteSize>,
    /// Skip most of the model on steps that change less than this; 0.05 to 0.2 are usual, 0 is off. Faster, and makes
    /// other clips.
    #[arg(long, env = "KINORA_STEP_CACHE", default_value_t = 0.0, value_parser = parse_threshold)]
    pub step_cache: f64,
    /// How often a running job's state is stored, so that another worker can go on from there; 0s for after every
    /// step.
    #[arg(long, env = "KINORA_CHECKPOINT_INTERVAL", default_value = "5s", value_parser = humantime::parse_duration)]
    pub checkpoint_interval: Duration,
    /// How often watchers of a running job are shown what the clip begins to look like; 0s for never.
    #[arg(long, env = "KINORA_PREVIEW_INTERVAL", default_value = "2s", value_parser = humantime::parse_duration)]
    pub preview_interval: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cuda_device: None,
            bf16: false,
            threads: DEFAULT_THREADS,
            weights: WeightFormat::Native,
            residency: None,
            memory_limit: None,
            step_cache: 0.0,
            checkpoint_interval: Duration::from_secs(5),
            preview_interval: Duration::from_secs(2),
        }
    }
}

fn parse_threshold(text: &str) -> Result<f64, String> {
    let threshold = text.parse().ok();
    let threshold = threshold.filter(|threshold| (0.0..=10.0).contains(threshold));
    threshold.ok_or_else(|| "must be a number from 0 to 10".to_owned())
}

impl EngineOptions {
    /// How often the engine hands something over.
    #[must_use]
    pub fn rhythm(&self) -> Rhythm {
        Rhythm {
            checkpoints: self.checkpoint_interval,
            previews: (!self.preview_interval.is_zero()).then_some(self.preview_interval),
        }
    }

    /// How models are loaded.
    #[must_use]
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            device: self
                .cuda_device
                .map_or(DeviceChoice::Cpu, DeviceChoice::Cuda),
            precision: if self.bf16 {
                Precision::Bf16
            } else {
                Precision::F32
            },
            weights: self.weights,
            residency: self.residency,
            memory_limit_bytes: self.memory_limit.map(|limit| limit.as_u64()),
            threads: Some(self.threads.max(1)),
            step_cache: self.step_cache,
        }
    }
}
