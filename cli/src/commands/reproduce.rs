//! `kinora reproduce`: a clip again, from its manifest, and whether it is the same.

mod compare;
mod given;
mod repeat;

use std::path::PathBuf;

use kinora_inference::manifest::Manifest;
use kinora_media::StillFormat;
use kinora_models::wan::pipeline::Surroundings;
use kinora_models::{DeviceChoice, LoadOptions, Precision};
use tokio_util::sync::CancellationToken;

use super::connect::any_mesh;
use crate::arguments::{Folders, ReproduceArguments};
use crate::client::download::Target;
use crate::exit::{Failure, Status};
use crate::output;
use crate::picture;

use self::compare::{Comparison, Report};
use self::repeat::Repetition;

/// More threads than any machine has; libtorch would try to start them.
const MAX_THREADS: usize = 1024;
/// As the worker's option has it.
const MAX_STEP_CACHE: f64 = 10.0;

/// Generates the clip of a manifest again and compares.
///
/// # Errors
///
/// [`Failure`]: failed when latents or frames differ, usage when the manifest, the model or a picture is not the one
/// needed.
pub async fn run(
    arguments: ReproduceArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let target = arguments.output.as_deref().map(Target::prepare);
    let target = target.transpose().map_err(Failure::usage)?;
    let manifest = tokio::select! {
        manifest = read_manifest(&arguments, folders) => manifest?,
        () = shutdown.cancelled() => return Err(Failure::interrupted("interrupted")),
    };
    let still = still_format(&arguments, &manifest)?;
    let options = load_options(&arguments, &manifest.surroundings)?;
    let warnings = compare::warnings(&manifest.surroundings, &Surroundings::of(&options));
    for warning in &warnings {
        output::remark(format!("warning: {warning}"));
    }
    let repetition = Repetition {
        request: given::request(&manifest, &arguments)?,
        folder: model_folder(&arguments, folders, &manifest)?,
        ffmpeg: ffmpeg(&arguments, folders).await?,
        manifest,
        options,
        target,
        still,
        shutdown,
        quiet: arguments.quiet,
    };
    // The engine blocks for as long as it computes.
    let finished = tokio::task::spawn_blocking(move || repetition.run()).await;
    let (comparisons, path) = finished.map_err(|error| Failure::new(Status::Failed, error))??;
    report(&arguments, &warnings, &comparisons, path)
}

async fn read_manifest(
    arguments: &ReproduceArguments,
    folders: &Folders,
) -> Result<Manifest, Failure> {
    let path = &arguments.manifest;
    let id = path
        .to_str()
        .filter(|text| uuid::Uuid::try_parse(text).is_ok());
    let text = match (std::fs::read(path), id) {
        (Ok(text), _) => text,
        (Err(_), Some(id)) => {
            any_mesh(&arguments.server, folders)
                .await?
                .manifest(id)
                .await?
        }
        (Err(error), None) => return Err(Failure::usage(format!("{}: {error}", path.display()))),
    };
    Manifest::from_json(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// The format of the picture to keep, when that is what the clip is kept as.
fn still_format(
    arguments: &ReproduceArguments,
    manifest: &Manifest,
) -> Result<Option<StillFormat>, Failure> {
    let output = arguments.output.as_deref();
    let format = output.and_then(picture::format_of);
    if format.is_some() && manifest.frames != 1 {
        let frames = manifest.frames;
        return Err(Failure::usage(format!(
            "the clip has {frames} frames and cannot be kept as a picture; name an .mp4"
        )));
    }
    Ok(format)
}

/// How the model was computed, on the device of the options.
fn load_options(
    arguments: &ReproduceArguments,
    surroundings: &Surroundings,
) -> Result<LoadOptions, Failure> {
    let precision = match surroundings.precision.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => return Err(unknown("precision", other)),
    };
    let (threads, step_cache) = (surroundings.threads, surroundings.step_cache);
    if threads > MAX_THREADS {
        return Err(unknown("threads", threads));
    }
    if !(0.0..=MAX_STEP_CACHE).contains(&step_cache) {
        return Err(unknown("step_cache", step_cache));
    }
    let weights = surroundings.weights.parse();
    Ok(LoadOptions {
        device: arguments
            .cuda_device
            .map_or(DeviceChoice::Cpu, DeviceChoice::Cuda),
        precision,
        weights: weights.map_err(|_| unknown("weights", &surroundings.weights))?,
        residency: arguments.residency,
        memory_limit_bytes: arguments.memory_limit.map(|limit| limit.as_u64()),
        threads: (threads > 0).then_some(threads),
        step_cache,
    })
}

fn unknown(field: &str, value: impl std::fmt::Display) -> Failure {
    Failure::usage(format!(
        "the manifest's {field} `{value}` cannot be repeated"
    ))
}

fn model_folder(
    arguments: &ReproduceArguments,
    folders: &Folders,
    manifest: &Manifest,
) -> Result<PathBuf, Failure> {
    let usage = |error: anyhow::Error| Failure::usage(format!("{error:#}"));
    if let Some(folder) = &arguments.model {
        let allowed = kinora_model_store::check_licence(folder);
        allowed.map_err(|error| usage(error.into()))?;
        return Ok(folder.clone());
    }
    let models = arguments.places.find_models(folders).map_err(usage)?;
    let model = models.into_iter().find(|model| model.id == manifest.model);
    let model = model.ok_or_else(|| {
        Failure::usage(format!(
            "the model {} is not here; name its folder with --model, or fetch it with `kinora models pull`",
            manifest.model
        ))
    })?;
    Ok(model.folder)
}

/// An encoder, which only a clip to keep cannot do without.
async fn ffmpeg(
    arguments: &ReproduceArguments,
    folders: &Folders,
) -> Result<Option<PathBuf>, Failure> {
    match arguments.places.find_ffmpeg(folders).await {
        Ok(program) => Ok(Some(program)),
        Err(error) if arguments.output.is_some() || arguments.places.ffmpeg.is_some() => {
            Err(Failure::usage(format!("{error:#}")))
        }
        Err(_) => Ok(None),
    }
}

fn report(
    arguments: &ReproduceArguments,
    warnings: &[String],
    comparisons: &[Comparison],
    path: Option<PathBuf>,
) -> Result<(), Failure> {
    let report = Report::new(warnings, comparisons, path);
    if arguments.json {
        output::json(&report)?;
    } else {
        output::result(compare::table(comparisons))?;
    }
    if report.same {
        return Ok(());
    }
    let error = anyhow::anyhow!("the clip is not the same");
    Err(Failure::new(Status::Failed, error))
}
