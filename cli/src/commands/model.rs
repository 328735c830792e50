//! `kinora model`: single stages of a model.

use indicatif::{ProgressBar, ProgressStyle};
use kinora_models::stages::{self, DenoiseSettings, StageError};
use kinora_models::{GenerateError, LoadOptions};

use crate::arguments::model::{DenoiseArguments, ModelArguments, ModelStage};
use crate::exit::{Failure, Status};
use crate::output;

/// Runs a stage.
///
/// # Errors
///
/// [`Failure`]: usage for a wrong input, failed otherwise.
pub async fn run(arguments: ModelArguments) -> Result<(), Failure> {
    // The engine blocks for as long as it computes.
    let finished = tokio::task::spawn_blocking(move || run_stage(&arguments.stage)).await;
    let finished = finished.map_err(|error| Failure::new(Status::Failed, error))?;
    finished.map_err(Failure::from)
}

fn run_stage(stage: &ModelStage) -> Result<(), StageError> {
    match stage {
        ModelStage::Denoise(arguments) => denoise(arguments)?,
        ModelStage::EncodeText(arguments) => {
            let (engine, out) = (&arguments.engine, &arguments.out);
            stages::encode_text(
                &engine.model,
                &engine.load_options(),
                &arguments.prompts,
                out,
            )?;
        }
        ModelStage::Decode(arguments) => {
            let (engine, files) = (&arguments.engine, &arguments.files);
            let files = [files.inputs.as_path(), files.out.as_path()];
            stages::decode(&engine.model, &engine.load_options(), files)?;
        }
        ModelStage::Encode(arguments) => {
            let (engine, files) = (&arguments.engine, &arguments.files);
            let files = [files.inputs.as_path(), files.out.as_path()];
            stages::encode(&engine.model, &engine.load_options(), files)?;
        }
    }
    Ok(())
}

fn denoise(arguments: &DenoiseArguments) -> Result<(), StageError> {
    let (sampler, grid) = arguments.sampler.parts();
    let settings = DenoiseSettings {
        steps: arguments.steps,
        guidance: arguments.guidance,
        shift: arguments.shift,
        sampler,
        grid,
        decode: !arguments.latents_only,
    };
    let options = LoadOptions {
        step_cache: arguments.step_cache,
        ..arguments.engine.load_options()
    };
    let bar = bar(arguments);
    let files = [
        arguments.files.inputs.as_path(),
        arguments.files.out.as_path(),
    ];
    let report = stages::denoise(
        &arguments.engine.model,
        &options,
        &settings,
        files,
        &mut |step| {
            bar.set_position(u64::from(step));
        },
    )?;
    bar.finish_and_clear();
    if !arguments.quiet {
        output::remark(format!(
            "{:.4} s per step (median), memory estimate {} MiB",
            report.median_step_seconds,
            report.estimated_bytes >> 20
        ));
    }
    Ok(())
}

/// Counts finished steps, at a terminal only.
fn bar(arguments: &DenoiseArguments) -> ProgressBar {
    if arguments.quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::from(arguments.steps));
    let template = "{bar:30} step {pos} of {len}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        let status = match &error {
            StageError::Load(_) | StageError::File { .. } => Status::Usage,
            StageError::Generate(GenerateError::Invalid { .. }) => Status::Usage,
            StageError::Generate(_) => Status::Failed,
        };
        Self::new(status, error)
    }
}
