//! `kinora generate`, `kinora remix` and `kinora approve`.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::connect::any_mesh;
use super::group::Several;
use super::request::{frames, submission};
use super::session::with_mesh;
use super::single::{Single, Targets};
use crate::arguments::{
    ApproveArguments, ClipArguments, Folders, GenerateArguments, RemixArguments, RunArguments,
    SettingsArguments,
};
use crate::client::view::VideoStatus;
use crate::client::{BatchSubmission, Submission};
use crate::exit::Failure;
use crate::output;

/// The largest seed; larger ones are not the same in every JSON reader.
const MAX_SEED: u64 = (1 << 53) - 1;

/// Generates one clip, or several, and saves them.
///
/// # Errors
///
/// [`Failure`] with the status that scripts tell apart.
pub async fn run(
    arguments: GenerateArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let GenerateArguments {
        prompts,
        seeds,
        clip,
        settings,
        run,
    } = arguments;
    if let ([prompt], None) = (prompts.as_slice(), seeds) {
        let submission = Submission {
            prompt: prompt.clone(),
            ..clip_submission(&clip, &settings)?
        };
        return one(submission, &clip, &run, folders, &shutdown).await;
    }
    refuse_single_options(&clip)?;
    let common = clip_submission(&clip, &settings)?;
    let batch = varied(common, prompts, seeds)?;
    several(&batch, &clip.output, &run, folders, &shutdown).await
}

/// Generates a clip again with something changed.
///
/// # Errors
///
/// As [`run`].
pub async fn remix(
    arguments: RemixArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let RemixArguments {
        id,
        prompt,
        clip,
        settings,
        run,
    } = arguments;
    let submission = Submission {
        prompt: prompt.unwrap_or_default(),
        remix_of: Some(id),
        ..clip_submission(&clip, &settings)?
    };
    one(submission, &clip, &run, folders, &shutdown).await
}

/// Approves a preview, and saves the clip if somebody waits for it.
///
/// # Errors
///
/// As [`run`].
pub async fn approve(
    arguments: ApproveArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let ApproveArguments { id, output, run } = arguments;
    let Some(output) = output else {
        let video = any_mesh(&run.server, folders).await?.approve(&id).await?;
        if run.json {
            return Ok(output::json(&video)?);
        }
        return Ok(output::result(match video.status {
            VideoStatus::Queued => format!("{id} is approved"),
            status => format!("{id} was approved before: {}", status.name()),
        })?);
    };
    let clip = ClipArguments {
        output,
        preview: None,
        manifest: None,
        preview_first: false,
        approve: false,
    };
    let targets = Targets::prepare(&clip)?;
    with_mesh(&run, folders, &shutdown, async |api, display| {
        let single = Single {
            api,
            clip: &clip,
            as_json: run.json,
            shutdown: &shutdown,
        };
        let id = api.approve(&id).await?.id;
        single.finish(&id, targets, display).await
    })
    .await
}

async fn one(
    submission: Submission,
    clip: &ClipArguments,
    run: &RunArguments,
    folders: &Folders,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    let targets = Targets::prepare(clip)?;
    with_mesh(run, folders, shutdown, async |api, display| {
        let single = Single {
            api,
            clip,
            as_json: run.json,
            shutdown,
        };
        single.make(&submission, targets, display).await
    })
    .await
}

/// Makes a batch and saves its clips under numbered names.
pub(super) async fn several(
    batch: &BatchSubmission,
    output: &Path,
    run: &RunArguments,
    folders: &Folders,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    with_mesh(run, folders, shutdown, async |api, display| {
        let several = Several {
            api,
            output,
            as_json: run.json,
            shutdown,
        };
        let call = async |key: &str| api.submit_batch(batch, key).await;
        several.make(call, display).await
    })
    .await
}

fn clip_submission(
    clip: &ClipArguments,
    settings: &SettingsArguments,
) -> Result<Submission, Failure> {
    Ok(Submission {
        frames: frames(&clip.output, settings.frames)?,
        preview_first: clip.preview_first,
        ..submission(settings)?
    })
}

/// One request for several prompts, several seeds, or both.
fn varied(
    mut common: Submission,
    mut prompts: Vec<String>,
    seeds: Option<u64>,
) -> Result<BatchSubmission, Failure> {
    let seeds = match seeds {
        Some(count) => {
            let drawn = || rand::random_range(0..=MAX_SEED - count);
            let first = common.seed.take().unwrap_or_else(drawn);
            let last = first.checked_add(count - 1);
            let last = last.filter(|last| *last <= MAX_SEED);
            let last = last.ok_or_else(|| {
                Failure::usage(format!(
                    "--seed {first} and those after it end at {MAX_SEED}"
                ))
            })?;
            (first..=last).collect()
        }
        None => Vec::new(),
    };
    if prompts.len() == 1 {
        common.prompt = prompts.remove(0);
    }
    Ok(BatchSubmission::Varied {
        template: Box::new(common),
        prompts,
        seeds,
    })
}

/// What is about one clip cannot be had of several.
fn refuse_single_options(clip: &ClipArguments) -> Result<(), Failure> {
    let given = [
        ("--preview", clip.preview.is_some()),
        ("--manifest", clip.manifest.is_some()),
        ("--preview-first", clip.preview_first),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(Failure::usage(format!("{option} is for a single clip"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_follow_the_one_that_is_given() {
        let common = Submission {
            seed: Some(7),
            ..Default::default()
        };
        let batch = varied(common, vec!["a".to_owned()], Some(3)).unwrap();
        let json = serde_json::to_value(batch).unwrap();
        assert_eq!(
            json,
            serde_json::json!({ "template": { "prompt": "a" }, "seeds": [7, 8, 9] })
        );
    }

    #[test]
    fn seeds_that_are_drawn_are_all_legal_and_different() {
        let prompts = vec!["a".to_owned(), "b".to_owned()];
        let batch = varied(Submission::default(), prompts, Some(100)).unwrap();
        let BatchSubmission::Varied { prompts, seeds, .. } = batch else {
            panic!("not varied");
        };
        assert_eq!((prompts.len(), seeds.len()), (2, 100));
        assert!(seeds.is_sorted_by(|a, b| a < b) && seeds[99] <= MAX_SEED);
        let common = Submission {
            seed: Some(MAX_SEED),
            ..Default::default()
        };
        assert!(varied(common, vec!["a".to_owned()], Some(2)).is_err());
    }
}
