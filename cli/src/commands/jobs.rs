//! `kinora jobs`, `kinora cancel`, and the models of a mesh.

use super::connect::any_mesh;
use crate::arguments::{CancelArguments, Folders, JobsArguments, ServerArguments};
use crate::client::view::{Kind, Model, Video, VideoStatus};
use crate::exit::Failure;
use crate::output;

const PROMPT_CHARS: usize = 60;

/// Lists jobs.
///
/// # Errors
///
/// [`Failure`].
pub async fn list(arguments: &JobsArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let videos = api.videos(arguments.limit, &filter(arguments)).await?;
    if arguments.json {
        return Ok(output::json(&videos)?);
    }
    if videos.is_empty() {
        output::remark("no jobs");
        return Ok(());
    }
    let videos: Vec<&Video> = videos.iter().collect();
    Ok(output::result(table(&videos))?)
}

/// What is asked for, as parameters.
fn filter(arguments: &JobsArguments) -> Vec<(&str, &str)> {
    let states = arguments
        .state
        .iter()
        .map(|state| ("status", state.as_str()));
    let others = [
        ("query", &arguments.query),
        ("model", &arguments.model),
        ("created_after", &arguments.since),
        ("created_before", &arguments.until),
    ];
    let others = others
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let order = ("order", arguments.order.as_str());
    states.chain(others).chain([order]).collect()
}

/// A line a job.
pub(super) fn table(videos: &[&Video]) -> String {
    let rows: Vec<[String; 5]> = videos.iter().map(|video| row(video)).collect();
    output::table(["ID", "STATE", "CREATED", "SEED", "PROMPT"], &rows)
}

/// Cancels a job.
///
/// # Errors
///
/// [`Failure`].
pub async fn cancel(arguments: &CancelArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let video = api.cancel(&arguments.id).await?;
    if arguments.json {
        return Ok(output::json(&video)?);
    }
    if video.status == VideoStatus::Cancelled {
        output::result(format!("{} is cancelled", video.id))?;
    } else {
        output::result(format!(
            "{} had ended before: {}",
            video.id,
            video.status.name()
        ))?;
    }
    Ok(())
}

/// Lists the models of a mesh.
///
/// # Errors
///
/// [`Failure`].
pub async fn models(
    server: &ServerArguments,
    as_json: bool,
    folders: &Folders,
) -> Result<(), Failure> {
    let api = any_mesh(server, folders).await?;
    let models = api.models().await?;
    if as_json {
        return Ok(output::json(&models)?);
    }
    for model in &models {
        output::result(describe(model))?;
    }
    Ok(())
}

fn row(video: &Video) -> [String; 5] {
    let status = match video.status {
        VideoStatus::InProgress => format!("in_progress {}%", video.progress),
        status => status.name().to_owned(),
    };
    // To the second: `2026-01-31T12:00:00`.
    let created: String = video
        .create_time
        .iter()
        .flat_map(|time| time.chars())
        .take(19)
        .collect();
    let prompt = match video.kind {
        Kind::Stitch => "(joins the clips of a sequence)".to_owned(),
        Kind::Generate | Kind::Unknown => shorten(&video.prompt),
    };
    [
        video.id.clone(),
        status,
        created,
        video.seed.to_string(),
        prompt,
    ]
}

/// One line of at most [`PROMPT_CHARS`] characters.
fn shorten(prompt: &str) -> String {
    let line = prompt.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= PROMPT_CHARS {
        return line;
    }
    let begin: String = line.chars().take(PROMPT_CHARS - 1).collect();
    format!("{begin}…")
}

fn describe(model: &Model) -> String {
    let (defaults, limits) = (&model.defaults, &model.limits);
    let vocabulary = match model.vocabulary.len() {
        0 => "open".to_owned(),
        count => format!("{count} words; --json lists them"),
    };
    format!(
        "{id}\n  {title}\n  licence     {licence}\n  size        {width}x{height} \
         ({min_width}x{min_height} to {max_width}x{max_height})\n  frames      {frames} at {fps} \
         a second (up to {max_frames})\n  steps       {steps} (up to {max_steps})\n  \
         guidance    {guidance}\n  vocabulary  {vocabulary}",
        id = model.id,
        title = model.title,
        licence = model.licence,
        width = defaults.width,
        height = defaults.height,
        min_width = limits.min_width,
        min_height = limits.min_height,
        max_width = limits.max_width,
        max_height = limits.max_height,
        frames = defaults.frames,
        fps = defaults.fps,
        max_frames = limits.max_frames,
        steps = defaults.steps,
        max_steps = limits.max_steps,
        guidance = defaults.guidance,
    )
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn prompts_fit_a_line() {
        assert_eq!(shorten(" a\n red  ball "), "a red ball");
        let long = shorten(&"é".repeat(100));
        assert_eq!(long.chars().count(), 60);
        assert!(long.ends_with('…'));
    }
}
