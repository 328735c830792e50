//! One clip, from its submission to its file, by way of a preview if one is wanted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kinora_media::StillFormat;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::approval::{self, Answer};
use super::report::{Saved, failed, line, tell_prompts};
use super::request::with_infix;
use super::session::submit;
use crate::arguments::ClipArguments;
use crate::client::download::Target;
use crate::client::view::{Video, VideoEvent, VideoStatus};
use crate::client::{Api, Submission};
use crate::exit::{Failure, Status};
use crate::output;
use crate::picture;
use crate::progress::Display;

const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the files go. Made before any work is done, so that what cannot be written is noticed at once.
pub(super) struct Targets {
    clip: Target,
    manifest: Option<Target>,
}

impl Targets {
    /// Takes the places.
    ///
    /// # Errors
    ///
    /// [`Failure`] of usage naming the folder or the file.
    pub(super) fn prepare(clip: &ClipArguments) -> Result<Self, Failure> {
        let manifest = clip.manifest.as_deref().map(Target::prepare);
        Ok(Self {
            clip: Target::prepare(&clip.output).map_err(Failure::usage)?,
            manifest: manifest.transpose().map_err(Failure::usage)?,
        })
    }
}

/// What to do with one video.
pub(super) struct Single<'a> {
    pub(super) api: &'a Api,
    pub(super) clip: &'a ClipArguments,
    pub(super) as_json: bool,
    pub(super) shutdown: &'a CancellationToken,
}

impl Single<'_> {
    /// Submits, follows, asks about the preview, and saves.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub(super) async fn make(
        &self,
        submission: &Submission,
        targets: Targets,
        display: &mut Display,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let call = async |key: &str| self.api.submit(submission, key).await;
        let video = submit(self.shutdown, call).await?;
        tell_prompts(std::slice::from_ref(&video), display);
        let is_decided = |event: &VideoEvent| {
            event.status.is_terminal() || event.status == VideoStatus::AwaitingApproval
        };
        let mut last = self.follow(&video.id, 0, is_decided, display).await?;
        if last.status == VideoStatus::AwaitingApproval {
            display.clear();
            match self.decide(&last, begun).await? {
                Answer::Yes => last = self.follow_to_the_end(&video.id, last.seq, display).await?,
                Answer::No | Answer::Later => return Ok(()),
            }
        }
        self.save(&last, targets, begun, display).await
    }

    /// Follows a job that needs no more decisions, and saves its clip.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub(super) async fn finish(
        &self,
        id: &str,
        targets: Targets,
        display: &mut Display,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let last = self.follow_to_the_end(id, 0, display).await?;
        self.save(&last, targets, begun, display).await
    }

    async fn follow_to_the_end(
        &self,
        id: &str,
        after_seq: u32,
        display: &mut Display,
    ) -> Result<VideoEvent, Failure> {
        let is_over = |event: &VideoEvent| event.status.is_terminal();
        self.follow(id, after_seq, is_over, display).await
    }

    async fn follow(
        &self,
        id: &str,
        after_seq: u32,
        is_last: impl Fn(&VideoEvent) -> bool,
        display: &mut Display,
    ) -> Result<VideoEvent, Failure> {
        let following = self.api.follow_until(id, after_seq, is_last, |event| {
            display.show(event);
            self.save_preview(event);
        });
        tokio::select! {
            last = following => Ok(last?),
            () = self.shutdown.cancelled() => {
                display.clear();
                Err(self.give_up(id).await)
            }
        }
    }

    /// Saves the preview to approve, and finds out whether the clip is to be made.
    async fn decide(&self, event: &VideoEvent, begun: Instant) -> Result<Answer, Failure> {
        let outputs = event
            .preview_outputs
            .as_ref()
            .ok_or_else(|| failed(event))?;
        // The preview of a picture is a clip of one frame.
        let path = with_infix(&self.clip.output, '.', "preview").with_extension("mp4");
        let target = Target::prepare(&path)?;
        let path = self.api.download(outputs, target).await?;
        let question = format!("{} is the preview; make the clip?", path.display());
        let answer = if self.clip.approve {
            Answer::Yes
        } else {
            tokio::select! {
                answer = approval::ask(&question) => answer,
                () = self.shutdown.cancelled() => return Err(self.give_up(&event.id).await),
            }
        };
        match answer {
            Answer::Yes => {
                self.api.approve(&event.id).await?;
            }
            Answer::No => {
                self.api.cancel(&event.id).await?;
                output::remark(format!("job {} is cancelled", event.id));
            }
            Answer::Later => {
                let video = self.api.video(&event.id).await?;
                self.report(&path, &video, begun.elapsed())?;
                let (id, output) = (&event.id, self.clip.output.display());
                output::remark(format!(
                    "that is the preview; `kinora approve {id} -o '{output}'` makes the clip"
                ));
            }
        }
        Ok(answer)
    }

    async fn save(
        &self,
        last: &VideoEvent,
        targets: Targets,
        begun: Instant,
        display: &Display,
    ) -> Result<(), Failure> {
        display.clear();
        let video = self.api.video(&last.id).await?;
        let outputs = video
            .outputs
            .as_ref()
            .filter(|_| last.status == VideoStatus::Completed);
        let Some(outputs) = outputs else {
            return Err(failed(last));
        };
        let path = match picture::format_of(&self.clip.output) {
            Some(format) => save_still(self.api, &video.id, format, targets.clip).await?,
            None => self.api.download(outputs, targets.clip).await?,
        };
        if let Some(target) = targets.manifest {
            let manifest = self.api.manifest(&video.id).await?;
            target.save(&mut manifest.as_slice())?;
        }
        self.report(&path, &video, begun.elapsed())
    }

    /// Saves a preview, if there is one and somebody wants it. Never more than a remark's worth.
    fn save_preview(&self, event: &VideoEvent) {
        if let (Some(path), Some(preview)) = (&self.clip.preview, &event.preview_webp)
            && let Err(error) = picture::save_preview(path, preview)
        {
            tracing::warn!(path = %path.display(), error = format!("{error:#}"), "a preview was not saved");
        }
    }

    /// Cancels the job of a person who does not want to wait for it.
    async fn give_up(&self, id: &str) -> Failure {
        match tokio::time::timeout(CANCEL_TIMEOUT, self.api.cancel(id)).await {
            Ok(Ok(_)) => Failure::interrupted(format!("interrupted; job {id} is cancelled")),
            Ok(Err(error)) => {
                Failure::interrupted(format!("interrupted; job {id} may go on: {error}"))
            }
            Err(_) => Failure::interrupted(format!("interrupted; job {id} may go on")),
        }
    }

    fn report(&self, path: &Path, video: &Video, elapsed: Duration) -> Result<(), Failure> {
        let saved = Saved {
            path,
            elapsed_seconds: elapsed.as_secs_f64(),
            video,
        };
        if self.as_json {
            return Ok(output::json(&saved)?);
        }
        Ok(output::result(line(&saved))?)
    }
}

/// Saves the only frame of a video as a picture.
///
/// # Errors
///
/// [`Failure`].
pub(super) async fn save_still(
    api: &Api,
    id: &str,
    format: StillFormat,
    target: Target,
) -> Result<PathBuf, Failure> {
    let png = api.still(id).await?;
    let encoded = tokio::task::spawn_blocking(move || picture::converted(png, format)).await;
    let encoded = encoded.map_err(|error| Failure::new(Status::Failed, error))??;
    Ok(target.save(&mut encoded.as_slice())?)
}
