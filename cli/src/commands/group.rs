//! The videos of a batch or a sequence, from their submission to their files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::report::{Saved, line, tell_prompts};
use super::request::with_infix;
use super::session::submit;
use super::single::save_still;
use crate::client::download::Target;
use crate::client::view::{Kind, Video, VideoGroup, VideoStatus};
use crate::client::{Api, ApiError, GroupKind};
use crate::exit::{Failure, Status};
use crate::group_progress::GroupProgress;
use crate::output;
use crate::picture;
use crate::progress::Display;

const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// What to do with a group.
pub(super) struct Several<'a> {
    pub(super) api: &'a Api,
    /// Where the result goes; a batch puts a number before the ending.
    pub(super) output: &'a Path,
    pub(super) as_json: bool,
    pub(super) shutdown: &'a CancellationToken,
}

impl Several<'_> {
    /// Submits, follows, and saves every clip that was made.
    ///
    /// # Errors
    ///
    /// [`Failure`], also when only some of the clips were made.
    pub(super) async fn make(
        &self,
        call: impl AsyncFn(&str) -> Result<VideoGroup, ApiError>,
        display: &mut Display,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        // What cannot be written is noticed before any work is done.
        drop(Target::prepare(self.output).map_err(Failure::usage)?);
        let group = submit(self.shutdown, call).await?;
        tell_prompts(&group.videos, display);
        match follow(self.api, &group, self.shutdown, display).await? {
            Some(ended) => self.save(&ended, begun).await,
            None => Err(self.give_up(&group).await),
        }
    }

    /// Saves every clip of a group that has ended.
    ///
    /// # Errors
    ///
    /// As [`Several::make`].
    pub(super) async fn save(&self, group: &VideoGroup, begun: Instant) -> Result<(), Failure> {
        let elapsed_seconds = begun.elapsed().as_secs_f64();
        let mut saved = Vec::new();
        for (path, video) in self.results(group) {
            if video.status == VideoStatus::Completed {
                saved.push((self.save_video(&path, video).await?, video));
            }
        }
        let saved: Vec<Saved<'_>> = saved
            .iter()
            .map(|(path, video)| Saved {
                path,
                elapsed_seconds,
                video,
            })
            .collect();
        if self.as_json {
            output::json(&saved)?;
        } else {
            for saved in &saved {
                output::result(line(saved))?;
            }
        }
        complete(group)
    }

    /// What is to be saved: of a sequence the joined clip, of a batch everything.
    fn results<'g>(&self, group: &'g VideoGroup) -> Vec<(PathBuf, &'g Video)> {
        if let Some(id) = &group.result_id {
            let result = group.videos.iter().filter(|video| video.id == *id);
            return result
                .map(|video| (self.output.to_owned(), video))
                .collect();
        }
        let videos = group.videos.iter().enumerate();
        let numbered = videos.map(|(index, video)| (self.numbered(index, group), video));
        numbered.collect()
    }

    /// Numbers of the same length, so that the files sort as they were asked for.
    fn numbered(&self, index: usize, group: &VideoGroup) -> PathBuf {
        let digits = group.videos.len().to_string().len();
        with_infix(self.output, '-', &format!("{:0digits$}", index + 1))
    }

    async fn save_video(&self, path: &Path, video: &Video) -> Result<PathBuf, Failure> {
        let target = Target::prepare(path)?;
        match (picture::format_of(path), &video.outputs) {
            (Some(format), _) => save_still(self.api, &video.id, format, target).await,
            (None, Some(outputs)) => Ok(self.api.download(outputs, target).await?),
            (None, None) => {
                Err(ApiError::Protocol("a completed job without a clip".to_owned()).into())
            }
        }
    }

    /// Cancels what a person does not want to wait for.
    async fn give_up(&self, group: &VideoGroup) -> Failure {
        let (id, name) = (&group.id, &group.object);
        let kind = GroupKind::of(group);
        match tokio::time::timeout(CANCEL_TIMEOUT, self.api.cancel_group(kind, id)).await {
            Ok(Ok(_)) => Failure::interrupted(format!("interrupted; {name} {id} is cancelled")),
            Ok(Err(error)) => {
                Failure::interrupted(format!("interrupted; {name} {id} may go on: {error}"))
            }
            Err(_) => Failure::interrupted(format!("interrupted; {name} {id} may go on")),
        }
    }
}

/// Follows a group to its end, and reads it then. Nothing when the person interrupts.
///
/// # Errors
///
/// [`Failure`] when the mesh refuses, or stays away.
pub(super) async fn follow(
    api: &Api,
    group: &VideoGroup,
    shutdown: &CancellationToken,
    display: &mut Display,
) -> Result<Option<VideoGroup>, Failure> {
    let kind = GroupKind::of(group);
    let mut progress = GroupProgress::new(group);
    let following = api.follow_group(kind, &group.id, |event| progress.show(event, display));
    let ended = tokio::select! {
        ended = following => Some(ended),
        () = shutdown.cancelled() => None,
    };
    display.clear();
    match ended {
        Some(ended) => ended?,
        None => return Ok(None),
    }
    Ok(Some(api.group(kind, &group.id).await?))
}

/// Nothing, if every video was made; else what became of the others, the cause before what followed from it.
pub(super) fn complete(group: &VideoGroup) -> Result<(), Failure> {
    let lost: Vec<&Video> = group
        .videos
        .iter()
        .filter(|video| video.status != VideoStatus::Completed)
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    for video in &lost {
        let error = video.error.as_ref();
        let cause = error.map_or_else(String::new, |error| format!(": {}", error.message));
        let status = video.status.name();
        output::remark(format!("job {} is {status}{cause}", video.id));
    }
    let (made, all) = (group.videos.len() - lost.len(), group.videos.len());
    let what = match group.videos.last().map(|video| video.kind) {
        Some(Kind::Stitch) => "steps of the sequence",
        _ => "clips",
    };
    let error = anyhow::anyhow!("{made} of {all} {what} were made");
    let (name, id) = (&group.object, &group.id);
    Err(Failure::new(
        Status::Failed,
        error.context(format!("{name} {id}")),
    ))
}
