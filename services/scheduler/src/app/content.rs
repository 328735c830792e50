//! What a job left in the object store, for its owner.

use kinora_ids::JobId;

use super::App;
use crate::domain::job::{Job, Outputs, State};
use crate::error::Error;

/// One of the objects that a job leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// The clip.
    Video,
    /// A small picture of it.
    Thumbnail,
    /// Its only frame.
    Still,
    /// What is needed to repeat it.
    Manifest,
    /// Frames from all over it.
    Spritesheet,
}

/// An object, and what to call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// In the object store.
    pub key: String,
    /// Its media type.
    pub content_type: &'static str,
    /// For a person's files.
    pub file_name: String,
}

impl App {
    /// Finds an object of a clip, or of the preview to approve, which stays there after its approval.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::NotReady`], [`Error::OutputNotFound`], [`Error::Store`].
    pub async fn find_content(
        &self,
        owner: &str,
        id: JobId,
        kind: ContentKind,
        of_preview: bool,
    ) -> Result<Content, Error> {
        let job = self.store.get(owner, id).await?.ok_or(Error::JobNotFound)?;
        let outputs = if of_preview {
            preview_of(&job)?
        } else {
            clip_of(&job)?
        };
        let key = kind.key(outputs);
        if key.is_empty() {
            return Err(Error::OutputNotFound);
        }
        let suffix = if of_preview { "-preview" } else { "" };
        Ok(Content {
            key: key.to_owned(),
            content_type: kind.content_type(),
            file_name: format!("kinora-{id}{suffix}.{}", kind.extension()),
        })
    }
}

impl ContentKind {
    fn key(self, outputs: &Outputs) -> &str {
        match self {
            Self::Video => &outputs.video_key,
            Self::Thumbnail => &outputs.thumbnail_key,
            Self::Still => &outputs.still_key,
            Self::Manifest => &outputs.manifest_key,
            Self::Spritesheet => &outputs.spritesheet_key,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Video => "video/mp4",
            Self::Thumbnail => "image/webp",
            Self::Still => "image/png",
            Self::Manifest => "application/json",
            Self::Spritesheet => "image/jpeg",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Video => "mp4",
            Self::Thumbnail => "webp",
            Self::Still => "png",
            Self::Manifest => "json",
            Self::Spritesheet => "jpg",
        }
    }
}

fn clip_of(job: &Job) -> Result<&Outputs, Error> {
    let outputs = job.outputs.as_ref();
    let outputs = outputs.filter(|_| job.state == State::Completed);
    outputs.ok_or(Error::NotReady {
        state: job.state,
        what: "clip",
    })
}

fn preview_of(job: &Job) -> Result<&Outputs, Error> {
    if job.preview_spec.is_none() && job.preview_outputs.is_none() {
        return Err(Error::OutputNotFound);
    }
    let outputs = job.preview_outputs.as_ref();
    outputs.ok_or(Error::NotReady {
        state: job.state,
        what: "preview",
    })
}
