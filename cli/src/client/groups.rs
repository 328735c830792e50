//! Batches and sequences.

use reqwest::Method;

use super::view::VideoGroup;
use super::{Api, ApiError, BatchSubmission, SequenceSubmission, segment};

/// The two kinds of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// Videos that have nothing to do with each other.
    Batch,
    /// Segments, and the clip that joins them.
    Sequence,
}

impl GroupKind {
    /// The path below which such groups are.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Batch => "/v1/batches",
            Self::Sequence => "/v1/sequences",
        }
    }

    /// The kind of a group.
    #[must_use]
    pub fn of(group: &VideoGroup) -> Self {
        if group.object == "sequence" {
            Self::Sequence
        } else {
            Self::Batch
        }
    }
}

impl Api {
    /// Accepts a batch, all of it or nothing. With the same key the same batch is answered.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn submit_batch(
        &self,
        batch: &BatchSubmission,
        key: &str,
    ) -> Result<VideoGroup, ApiError> {
        self.submit_to(GroupKind::Batch.path(), batch, key).await
    }

    /// Accepts a sequence, or the extension of a video. With the same key the same one is answered.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn submit_sequence(
        &self,
        source: Option<&str>,
        sequence: &SequenceSubmission,
        key: &str,
    ) -> Result<VideoGroup, ApiError> {
        let path = match source {
            Some(id) => format!("/v1/videos/{}:extend", segment(id)),
            None => GroupKind::Sequence.path().to_owned(),
        };
        self.submit_to(&path, sequence, key).await
    }

    /// Reads a group.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn group(&self, kind: GroupKind, id: &str) -> Result<VideoGroup, ApiError> {
        let path = format!("{}/{}", kind.path(), segment(id));
        self.json(self.request(Method::GET, &path)).await
    }

    /// Reads a batch or a sequence, whichever it is.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn any_group(&self, id: &str) -> Result<VideoGroup, ApiError> {
        match self.group(GroupKind::Batch, id).await {
            Err(ApiError::Refused(problem)) if problem.status == 404 => {
                self.group(GroupKind::Sequence, id).await
            }
            answer => answer,
        }
    }

    /// Ends every video of a group that has not ended.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn cancel_group(&self, kind: GroupKind, id: &str) -> Result<VideoGroup, ApiError> {
        let path = format!("{}/{}:cancel", kind.path(), segment(id));
        self.json(self.request(Method::POST, &path)).await
    }
}
