//! Typed identifiers shared by services.
//!
//! A type lives here only once a second crate needs it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

/// Identifies a job. UUIDv7, so that ids sort by the time of their creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// Makes a new id, unique across machines.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Wraps an id read from a database.
    #[must_use]
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The id as a plain UUID, for a database.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not a job id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a job id")]
pub struct InvalidJobId;

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        canonical(text).map(Self).ok_or(InvalidJobId)
    }
}

/// Identifies something that an owner uploads. UUIDv7: it tells when it was made, and its other 74 bits are random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadId(Uuid);

impl UploadId {
    /// Makes a new id at a time, in milliseconds of Unix.
    #[must_use]
    pub fn generate(unix_millis: u64) -> Self {
        let nanos = u32::try_from(unix_millis % 1000 * 1_000_000).unwrap_or(0);
        let time = Timestamp::from_unix(NoContext, unix_millis / 1000, nanos);
        Self(Uuid::new_v7(time))
    }

    /// When it was made, in milliseconds of Unix.
    #[must_use]
    pub fn unix_millis(self) -> u64 {
        // The first 48 bits of a UUIDv7.
        let millis = self.0.as_u128() >> 80;
        u64::try_from(millis).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not an upload id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an upload id")]
pub struct InvalidUploadId;

impl FromStr for UploadId {
    type Err = InvalidUploadId;

    fn from_str(text: &str) -> Result<Self, InvalidUploadId> {
        canonical(text).map(Self).ok_or(InvalidUploadId)
    }
}

/// Only the canonical form, so that one thing has one spelling in keys and URLs.
fn canonical(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(id)
}

/// The right to work on a job, with its fencing number: of two leases on a job the higher one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseRef {
    /// The job worked on.
    pub job: JobId,
    /// 1 for the first attempt; grows by one with every claim.
    pub lease: u64,
}

impl LeaseRef {
    /// The key prefix under which this lease alone writes its objects, ending in a slash.
    #[must_use]
    pub fn object_prefix(&self) -> String {
        format!("{}{}/", job_object_prefix(self.job), self.lease)
    }

    /// The key of a checkpoint that this lease writes after `step` denoising steps.
    #[must_use]
    pub fn checkpoint_key(&self, step: u32) -> String {
        let prefix = job_checkpoint_prefix(self.job);
        format!("{prefix}{}-{step}.safetensors", self.lease)
    }

    /// The key of a clip of this lease that was not delivered and is kept for an operator. It lies outside of
    /// [`LeaseRef::object_prefix`]: it outlives the lease, and nothing there can be named as an output.
    #[must_use]
    pub fn review_key(&self) -> String {
        format!("{}review/{}.mp4", job_object_prefix(self.job), self.lease)
    }
}

impl fmt::Display for LeaseRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.lease)
    }
}

/// The key prefix of everything that belongs to a job, ending in a slash.
#[must_use]
pub fn job_object_prefix(job: JobId) -> String {
    format!("jobs/{job}/")
}

/// The key prefix of a job's checkpoints, which outlive the leases that wrote them. Ends in a slash.
#[must_use]
pub fn job_checkpoint_prefix(job: JobId) -> String {
    format!("{}checkpoints/", job_object_prefix(job))
}

/// The key prefix of what a job was submitted with, ending in a slash.
#[must_use]
pub fn job_input_prefix(job: JobId) -> String {
    format!("{}inputs/", job_object_prefix(job))
}

/// The key prefix of an upload, ending in a slash. Whose it is follows from the prefix: nobody else's id leads there.
#[must_use]
pub fn upload_prefix(owner: &str, upload: UploadId) -> String {
    format!("uploads/{owner}/{upload}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form() {
        let id = JobId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn only_the_canonical_spelling_is_an_id() {
        let id = JobId::generate().to_string();
        for text in [
            id.to_uppercase(),
            id.replace('-', ""),
            format!("{{{id}}}"),
            String::new(),
        ] {
            assert_eq!(text.parse::<JobId>(), Err(InvalidJobId), "{text}");
        }
    }

    #[test]
    fn an_upload_tells_when_it_was_made_and_nothing_else() {
        let millis = 1_800_000_000_123;
        let (one, other) = (UploadId::generate(millis), UploadId::generate(millis));
        assert_eq!((one.unix_millis(), other.unix_millis()), (millis, millis));
        assert_ne!(one, other);
        assert_eq!(one.to_string().parse(), Ok(one));
        let loud = one.to_string().to_uppercase();
        assert_eq!(loud.parse::<UploadId>(), Err(InvalidUploadId));
        let prefix = upload_prefix("anna", one);
        assert_eq!(prefix, format!("uploads/anna/{one}/"));
    }

    #[test]
    fn later_ids_sort_later() {
        let ids: Vec<JobId> = (0..100).map(|_| JobId::generate()).collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn leases_of_a_job_never_share_a_prefix() {
        let job = JobId::generate();
        let prefix = |lease| LeaseRef { job, lease }.object_prefix();
        assert!(!prefix(11).starts_with(&prefix(1)));
        assert!(prefix(1).starts_with(&job_object_prefix(job)));
        let checkpoint = LeaseRef { job, lease: 1 }.checkpoint_key(7);
        assert!(checkpoint.starts_with(&job_checkpoint_prefix(job)));
        assert!(!checkpoint.starts_with(&prefix(1)));
        let kept = LeaseRef { job, lease: 1 }.review_key();
        assert!(kept.starts_with(&job_object_prefix(job)) && !kept.starts_with(&prefix(1)));
    }
}
