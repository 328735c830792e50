//! `kinora estimate`.

use super::connect::any_mesh;
use super::request::submission;
use crate::arguments::{EstimateArguments, Folders};
use crate::client::Submission;
use crate::client::view::Estimate;
use crate::exit::Failure;
use crate::output;
use crate::progress::duration;

/// Tells what a clip would take.
///
/// # Errors
///
/// [`Failure`].
pub async fn run(arguments: EstimateArguments, folders: &Folders) -> Result<(), Failure> {
    let submission = Submission {
        prompt: arguments.prompt,
        ..submission(&arguments.settings)?
    };
    let api = any_mesh(&arguments.server, folders).await?;
    let estimate = api.estimate(&submission).await?;
    if arguments.json {
        return Ok(output::json(&estimate)?);
    }
    Ok(output::result(describe(&estimate))?)
}

fn describe(estimate: &Estimate) -> String {
    let settings = &estimate.settings;
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "not known yet".to_owned(), duration);
    let memory = estimate.memory_bytes.map_or_else(
        || "not known".to_owned(),
        |bytes| indicatif::BinaryBytes(bytes).to_string(),
    );
    format!(
        "clip     {width}x{height}, {frames} frames at {fps} a second, {steps} steps of {model}\n\
         starts   {queue}\n\
         device   {device}\n\
         memory   {memory}{fits}\n\
         credits  {credits}{available}{refusal}",
        width = settings.width,
        height = settings.height,
        frames = settings.frames,
        fps = settings.fps,
        steps = settings.steps,
        model = settings.model,
        queue = estimate.queue_seconds.map_or_else(
            || "not known yet".to_owned(),
            |seconds| format!("in {}", duration(seconds))
        ),
        device = time(estimate.gpu_seconds),
        fits = if estimate.fits {
            ""
        } else {
            "; no worker can take it"
        },
        credits = estimate.credits,
        available = estimate
            .available_credits
            .map_or_else(String::new, |available| format!(" of {available}")),
        refusal = estimate
            .refusal
            .as_ref()
            .map_or_else(String::new, |reason| format!("; refused: {reason}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::view::VideoSettings;

    #[test]
    fn what_is_not_known_is_said() {
        let mut estimate = Estimate {
            object: "estimate".to_owned(),
            settings: VideoSettings::default(),
            gpu_seconds: Some(12.3),
            queue_seconds: None,
            memory_bytes: None,
            credits: 2125,
            fits: true,
            available_credits: None,
            refusal: None,
        };
        let text = describe(&estimate);
        assert!(
            text.contains("device   12 s") && text.contains("starts   not known yet"),
            "{text}"
        );
        assert!(
            text.ends_with("credits  2125") && !text.contains("no worker"),
            "{text}"
        );
        estimate.available_credits = Some(2000);
        estimate.refusal = Some("INSUFFICIENT_CREDITS".to_owned());
        let text = describe(&estimate);
        assert!(
            text.ends_with("credits  2125 of 2000; refused: INSUFFICIENT_CREDITS"),
            "{text}"
        );
        estimate.fits = false;
        assert!(describe(&estimate).contains("no worker can take it"));
    }
}
