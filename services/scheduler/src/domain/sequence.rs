//! Long clips: segments that each go on from the last frame of the one before, and the job that joins them.

use kinora_ids::JobId;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::job::{GroupRef, Job, Kind, Need, NeedRole, State, VideoSpec};
use super::model::{ImageInput, Model};
use super::price;
use super::submission::{Invalid, MAX_SEED, Submission};

/// Jobs of a batch.
pub const MAX_BATCH: usize = 100;

/// Segments of a sequence.
pub const MAX_SEGMENTS: usize = 16;

/// Several submissions as one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BatchOrder {
    /// Chosen by the caller; not part of the fingerprint.
    #[serde(skip)]
    pub request_id: Option<String>,
    /// What is submitted.
    pub submissions: Vec<Submission>,
    /// As that of a submission, for all of them; not part of the fingerprint.
    #[serde(skip)]
    pub allow_duplicate: bool,
}

/// A long clip.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SequenceOrder {
    /// Chosen by the caller; not part of the fingerprint.
    #[serde(skip)]
    pub request_id: Option<String>,
    /// What all segments share.
    pub segment: Submission,
    /// A prompt a segment; an empty one is the shared one.
    pub prompts: Vec<String>,
    /// The completed clip that it goes on from.
    pub source: Option<JobId>,
}

impl BatchOrder {
    /// Checks what the submissions say as a batch, not what each of them says.
    ///
    /// # Errors
    /// [`Invalid`] for their number or request ids of their own.
    pub fn check(&self) -> Result<(), Invalid> {
        if !(1..=MAX_BATCH).contains(&self.submissions.len()) {
            let text = format!("a batch has 1 to {MAX_BATCH} requests");
            let invalid = Invalid::new("BATCH_SIZE_INVALID", "requests", text);
            return Err(invalid.with("max", MAX_BATCH));
        }
        if self.submissions.iter().any(|one| one.request_id.is_some()) {
            let text = "the requests of a batch have no request ids of their own";
            return Err(Invalid::new("REQUEST_ID_INVALID", "requests", text));
        }
        Ok(())
    }

    /// As [`Submission::fingerprint`], and different from that of every submission.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint("batch", self)
    }

    /// Whether an equal batch a moment ago is no reason to answer with that one.
    #[must_use]
    pub fn allows_duplicate(&self) -> bool {
        self.allow_duplicate || self.submissions.iter().any(|one| one.allow_duplicate)
    }
}

impl SequenceOrder {
    /// As [`BatchOrder::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint("sequence", self)
    }

    /// The submissions of the segments. The first one has the picture; seeds count up, so that segments differ.
    ///
    /// # Errors
    /// [`Invalid`] for the number of segments, and for what makes no sense in one.
    pub fn segments(&self) -> Result<Vec<Submission>, Invalid> {
        if !(1..=MAX_SEGMENTS).contains(&self.prompts.len()) {
            let text = format!("a sequence has 1 to {MAX_SEGMENTS} prompts");
            let invalid = Invalid::new("SEQUENCE_LENGTH_INVALID", "prompts", text);
            return Err(invalid.with("max", MAX_SEGMENTS));
        }
        self.check_segment()?;
        let segment = |(index, prompt): (u64, &String)| {
            let mut segment = self.segment.clone();
            if !prompt.is_empty() {
                segment.prompt.clone_from(prompt);
            }
            segment.seed = segment.seed.map(|seed| match seed {
                // Refused later, as it is.
                seed if seed > MAX_SEED => seed,
                seed => (seed + index) & MAX_SEED,
            });
            if index > 0 {
                (segment.image, segment.image_upload) = (None, None);
                segment.expire_after = None;
            }
            segment
        };
        Ok((0..).zip(&self.prompts).map(segment).collect())
    }

    /// Without a prompt the scene of the clip that it goes on from goes on, as it was written, and is rewritten as that was.
    #[must_use]
    pub fn with_scene_of(&self, source: Option<&Job>) -> Self {
        let mut order = self.clone();
        let is_open = order.segment.prompt.is_empty() && order.prompts.iter().any(String::is_empty);
        if let Some(source) = source.filter(|_| is_open) {
            order.segment = order.segment.with_words_of(source);
        }
        order
    }

    fn check_segment(&self) -> Result<(), Invalid> {
        let unfit = [
            (self.segment.request_id.is_some(), "request_id"),
            (self.segment.preview_first, "preview_first"),
            (self.segment.remix_of.is_some(), "remix_of"),
            (self.segment.last_image.is_some(), "last_image"),
            (
                self.segment.last_image_upload.is_some(),
                "last_image_upload",
            ),
            (
                self.segment.image.is_some() && self.source.is_some(),
                "image",
            ),
            (
                self.segment.image_upload.is_some() && self.source.is_some(),
                "image_upload",
            ),
        ];
        let Some((_, field)) = unfit.into_iter().find(|(is_set, _)| *is_set) else {
            return Ok(());
        };
        let text = format!("the segments of this sequence may not set {field}");
        Err(Invalid::new("SEGMENT_INVALID", field, text))
    }

    /// Whether a segment goes on from another clip.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.prompts.len() > 1 || self.source.is_some()
    }
}

/// Checks that a model can go on from a frame.
///
/// # Errors
/// [`Invalid`] with reason `IMAGE_NOT_SUPPORTED`.
pub fn check_model(model: &Model) -> Result<(), Invalid> {
    if model.image_input != ImageInput::None {
        return Ok(());
    }
    let text = "segments go on from a picture, and this model takes none";
    Err(Invalid::new("IMAGE_NOT_SUPPORTED", "segment", text))
}

/// Checks that a clip can be gone on from in the form of a new one.
///
/// # Errors
/// [`Invalid`] with reason `SOURCE_MISMATCH` when size or frame rate differ.
pub fn check_source(source: &Job, spec: &VideoSpec) -> Result<(), Invalid> {
    let Some(made) = &source.outputs else {
        return Ok(());
    };
    if (made.width, made.height, made.fps) == (spec.width, spec.height, spec.fps) {
        return Ok(());
    }
    let text = "the video to go on from has another size or frame rate";
    Err(Invalid::new("SOURCE_MISMATCH", "source_id", text)
        .with("width", made.width)
        .with("height", made.height)
        .with("fps", made.fps))
}

/// Makes a group of jobs that stand side by side.
pub fn join_batch(jobs: &mut [Job], group: Uuid) {
    for (index, job) in (0..).zip(jobs) {
        job.group = Some(GroupRef { id: group, index });
    }
}

/// Chains segments, and adds the job that joins them under the id `stitch` when there is more than one part.
pub fn join_sequence(jobs: &mut Vec<Job>, group: Uuid, source: Option<&Job>, stitch: JobId) {
    let mut before = source.map(|source| source.id);
    let last = jobs.len().saturating_sub(1);
    for (index, job) in jobs.iter_mut().enumerate() {
        job.needs
            .extend(before.map(|id| need(id, NeedRole::LastFrame)));
        job.wants_last_frame = index < last;
        before = Some(job.id);
    }
    if let (Some(first), Some(source)) = (jobs.first_mut(), source) {
        first.source = Some(source.id);
    }
    if jobs.len() + usize::from(source.is_some()) > 1 {
        jobs.extend(stitch_of(jobs, source, stitch));
    }
    join_batch(jobs, group);
}

fn stitch_of(segments: &[Job], source: Option<&Job>, id: JobId) -> Option<Job> {
    let first = segments.first()?;
    let before = source.and_then(|source| source.outputs.as_ref());
    let frames = segments.iter().map(|job| job.spec.frames);
    let parts = u32::try_from(segments.len()).unwrap_or(u32::MAX) + u32::from(before.is_some());
    let all: u32 = frames.sum::<u32>() + before.map_or(0, |made| made.frames);
    let spec = VideoSpec {
        model: String::new(),
        frames: all - (parts - 1),
        steps: 0,
        guidance: 0.0,
        image: None,
        last_image: None,
        ..first.spec.clone()
    };
    let mut job = Job::queued(id, first.owner.clone(), spec, first.create_time);
    job.kind = Kind::Stitch;
    job.priority = first.priority;
    job.terms = first.terms;
    job.run_at = first.run_at;
    job.source = source.map(|source| source.id);
    job.estimated_cost = price::device_time(&job.spec, None);
    job.traceparent.clone_from(&first.traceparent);
    let parts = source.into_iter().chain(segments);
    job.needs = parts.map(|part| need(part.id, NeedRole::Part)).collect();
    Some(job)
}

const fn need(job: JobId, role: NeedRole) -> Need {
    Need {
        job,
        role,
        is_met: false,
        part: None,
    }
}

/// Whether a clip can be gone on from.
#[must_use]
pub fn is_complete(source: &Job) -> bool {
    source.state == State::Completed && source.outputs.is_some()
}

fn fingerprint(kind: &str, order: &impl Serialize) -> String {
    // Plain values always have a JSON form.
    let body = serde_json::to_vec(order).unwrap_or_default();
    hex::encode(
        Sha256::new()
            .chain_update(kind)
            .chain_update(body)
            .finalize(),
    )
}

#[cfg(test)]
mod tests;
