//! Generates a clip and prints how long each stage took.
//!
//! ```sh
//! cargo run --release -p kinora-models --example generate -- MODEL_FOLDER [--prompt TEXT]
//!     [--negative-prompt TEXT] [--seed N] [--steps N] [--guidance X] [--threads N] [--repeat N]
//!     [--cuda INDEX] [--bf16] [--raw FILE]
//! ```
//!
//! Every run is one line of JSON on standard output: seconds per stage and in all. The first run
//! includes what is only done once. `--raw` writes the last clip as bare RGB bytes.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kinora_models::{
    Control, DeviceChoice, GenerateRequest, LoadOptions, Precision, Progress, Stage, WanPipeline,
};

type Failure = Box<dyn std::error::Error>;

/// Notes when each stage began and ended.
struct Stopwatch {
    start: Instant,
    finished: HashMap<Stage, f64>,
}

impl Control for Stopwatch {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn progress(&mut self, progress: Progress) {
        if progress.step == progress.steps {
            self.finished
                .insert(progress.stage, self.start.elapsed().as_secs_f64());
        }
    }
}

struct Arguments {
    folder: PathBuf,
    options: HashMap<String, String>,
    bf16: bool,
}

impl Arguments {
    fn parse() -> Result<Self, Failure> {
        let mut arguments = std::env::args().skip(1);
        let folder = arguments
            .next()
            .ok_or("usage: generate MODEL_FOLDER [--option value]..")?;
        let (mut options, mut bf16) = (HashMap::new(), false);
        while let Some(option) = arguments.next() {
            if option == "--bf16" {
                bf16 = true;
                continue;
            }
            let name = option
                .strip_prefix("--")
                .ok_or(format!("{option} is no option"))?;
            let value = arguments.next().ok_or(format!("{option} needs a value"))?;
            options.insert(name.to_owned(), value);
        }
        Ok(Self {
            folder: folder.into(),
            options,
            bf16,
        })
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.options.get(name) else {
            return Ok(None);
        };
        let value = text
            .parse()
            .map_err(|_| format!("--{name} {text} is no number"))?;
        Ok(Some(value))
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.options
            .get(name)
            .map_or(default, String::as_str)
            .to_owned()
    }
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse()?;
    let options = LoadOptions {
        device: arguments
            .number("cuda")?
            .map_or(DeviceChoice::Cpu, DeviceChoice::Cuda),
        precision: if arguments.bf16 {
            Precision::Bf16
        } else {
            Precision::F32
        },
        threads: arguments.number("threads")?,
        ..LoadOptions::default()
    };
    let start = Instant::now();
    let mut pipeline = WanPipeline::load(&arguments.folder, &options)?;
    eprintln!("loaded in {:.2} s", start.elapsed().as_secs_f64());
    let request = request(&pipeline, &arguments)?;
    for _ in 0..arguments.number("repeat")?.unwrap_or(1) {
        let rgb = run(&mut pipeline, &request)?;
        if let Some(file) = arguments.options.get("raw") {
            std::fs::write(Path::new(file), rgb)?;
        }
    }
    Ok(())
}

fn request(pipeline: &WanPipeline, arguments: &Arguments) -> Result<GenerateRequest, Failure> {
    let defaults = &pipeline.card().defaults;
    Ok(GenerateRequest {
        prompt: arguments.text("prompt", "a red circle moves right"),
        negative_prompt: arguments.text("negative-prompt", &defaults.negative_prompt),
        width: arguments.number("width")?.unwrap_or(defaults.width),
        height: arguments.number("height")?.unwrap_or(defaults.height),
        frames: arguments.number("frames")?.unwrap_or(defaults.frames),
        steps: arguments.number("steps")?.unwrap_or(defaults.steps),
        guidance: arguments.number("guidance")?.unwrap_or(defaults.guidance),
        seed: arguments.number("seed")?.unwrap_or_default(),
        sampler: defaults.sampler,
        grid: defaults.grid,
    })
}

/// Generates once, prints the times and returns the pixels.
fn run(pipeline: &mut WanPipeline, request: &GenerateRequest) -> Result<Vec<u8>, Failure> {
    let mut stopwatch = Stopwatch {
        start: Instant::now(),
        finished: HashMap::new(),
    };
    let clip = pipeline.generate(request, &mut stopwatch)?;
    let total = stopwatch.start.elapsed().as_secs_f64();
    let at = |stage| stopwatch.finished.get(&stage).copied().unwrap_or_default();
    let (encoded, denoised) = (at(Stage::Encoding), at(Stage::Denoising));
    writeln!(
        std::io::stdout(),
        "{{\"encoding_s\": {encoded:.4}, \"denoising_s\": {:.4}, \"decoding_s\": {:.4}, \
         \"total_s\": {total:.4}}}",
        denoised - encoded,
        total - denoised,
    )?;
    Ok(clip.rgb)
}
