//! From what a caller asks for to a job that can be stored.

use std::collections::HashMap;
use std::time::Duration;

use kinora_ids::{JobId, UploadId};
use kinora_mesh::trace::current_traceparent;
use uuid::Uuid;

use super::App;
use crate::domain::job::{Job, StoredImage, Time, VideoSpec};
use crate::domain::model::Model;
use crate::domain::price;
use crate::domain::sequence::{self, BatchOrder, SequenceOrder};
use crate::domain::submission::{
    Invalid, Schedule, SentImage, Stills, Submission, check_uploads, choose_model, notes,
    preview_of, remixed_job,
};
use crate::error::Error;

/// A job that is not stored yet, with the pictures that came for it.
pub(super) struct Prepared {
    pub(super) job: Job,
    pub(super) submission: Submission,
    pub(super) stills: Stills,
}

/// Pictures of a job that are there, or will be, when it is made.
#[derive(Clone, Debug, Default)]
struct Elsewhere {
    first: Option<StoredImage>,
    last: Option<StoredImage>,
}

/// What is known while a request is checked.
pub(super) struct Desk<'a> {
    app: &'a App,
    owner: &'a str,
    now: Time,
    models: Vec<Model>,
    paces: HashMap<String, Option<f64>>,
    /// Uploads that were read, and what all of them come to, each counted as often as it is used.
    uploads: HashMap<UploadId, SentImage>,
    upload_bytes: usize,
}

impl<'a> Desk<'a> {
    /// Reads the models.
    ///
    /// # Errors
    /// [`Error::NoModel`], [`Error::Store`].
    pub(super) async fn open(app: &'a App, owner: &'a str, now: Time) -> Result<Self, Error> {
        let models = app.store.models().await?;
        if models.is_empty() {
            return Err(Error::NoModel);
        }
        Ok(Self {
            app,
            owner,
            now,
            models,
            paces: HashMap::new(),
            uploads: HashMap::new(),
            upload_bytes: 0,
        })
    }

    /// The model of that id, which is one that `prepare` has chosen.
    pub(super) fn model(&self, id: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.id == id)
    }

    /// Checks and completes one submission, whose form has been checked.
    ///
    /// # Errors
    /// [`Error::Submission`], [`Error::SourceNotFound`], [`Error::UploadNotFound`], [`Error::Objects`], [`Error::Store`].
    pub(super) async fn prepare(&mut self, submission: &Submission) -> Result<Prepared, Error> {
        let submission = self.with_uploads(submission).await?;
        let (submission, pictures) = self.complete_remix(&submission).await?;
        let stills = submission.check_form()?;
        let default = self.app.options.default_model.as_deref();
        let model = choose_model(submission.model.as_deref(), default, &self.models)?;
        let spec = with_pictures(&submission, model, stills, pictures)?;
        let (notes, model) = (notes(&spec, model), model.clone());
        let mut job = self.job(&submission, spec)?;
        job.notes = notes;
        job.preview_spec = submission
            .preview_first
            .then(|| preview_of(&job.spec, &model));
        job.estimated_cost = self.cost(&job.work().clone()).await?;
        Ok(Prepared {
            job,
            submission,
            stills,
        })
    }

    /// Reads the pictures that were uploaded before. From here on they are as if they had come with the submission.
    async fn with_uploads(&mut self, submission: &Submission) -> Result<Submission, Error> {
        let mut submission = submission.clone();
        if let Some(id) = submission.image_upload {
            submission.image = Some(self.uploaded(id, "image_upload").await?);
        }
        if let Some(id) = submission.last_image_upload {
            submission.last_image = Some(self.uploaded(id, "last_image_upload").await?);
        }
        Ok(submission)
    }

    /// Reads an upload, once however often it is used. All of a request come to no more than a request may bring itself.
    async fn uploaded(&mut self, id: UploadId, field: &'static str) -> Result<SentImage, Error> {
        let image = match self.uploads.get(&id) {
            Some(image) => image.clone(),
            None => self.app.uploaded(self.owner, id, field).await?,
        };
        self.upload_bytes += image.bytes().len();
        check_uploads(field, self.upload_bytes)?;
        self.uploads.insert(id, image.clone());
        Ok(image)
    }

    fn job(&self, submission: &Submission, spec: VideoSpec) -> Result<Job, Error> {
        let schedule = Schedule::of(submission, self.now)?;
        let prompting = submission.prompting(&spec);
        let mut job = Job::queued(JobId::generate(), self.owner.to_owned(), spec, self.now);
        job.prompting = prompting;
        job.priority = submission.priority.unwrap_or(job.priority);
        job.not_before = schedule.not_before;
        job.run_at = schedule.run_at;
        job.expire_at = schedule.expire_at;
        job.source = submission.remix_of;
        job.terms = self.app.options.terms();
        job.traceparent = current_traceparent();
        Ok(job)
    }

    /// Fills a remix with the values of its source, and names the pictures that are to be copied from there.
    async fn complete_remix(
        &self,
        submission: &Submission,
    ) -> Result<(Submission, Elsewhere), Error> {
        let Some(id) = submission.remix_of else {
            return Ok((submission.clone(), Elsewhere::default()));
        };
        let source = self.app.store.get(self.owner, id).await?;
        let source = source.ok_or(Error::SourceNotFound)?;
        let remix = remixed_job(submission, &source);
        let is_same_model = remix.model.as_ref() == Some(&source.spec.model);
        let taken = |picture: Option<StoredImage>, sent: Option<&SentImage>| {
            picture.filter(|_| is_same_model && sent.is_none())
        };
        let pictures = Elsewhere {
            first: taken(source.spec.image, remix.image.as_ref()),
            last: taken(source.spec.last_image, remix.last_image.as_ref()),
        };
        Ok((remix, pictures))
    }

    /// Expected time on a device.
    pub(super) async fn cost(&mut self, spec: &VideoSpec) -> Result<Duration, Error> {
        let pace = self.pace(&spec.model).await?;
        Ok(price::device_time(spec, pace))
    }

    /// Nanoseconds of device time a unit of work, where it has been measured.
    pub(super) async fn pace(&mut self, model: &str) -> Result<Option<f64>, Error> {
        if let Some(pace) = self.paces.get(model) {
            return Ok(*pace);
        }
        let pace = self.app.store.pace(model).await?;
        let pace = pace.map(|pace| pace.nanos_per_unit);
        self.paces.insert(model.to_owned(), pace);
        Ok(pace)
    }

    /// Prepares all jobs of a batch.
    ///
    /// # Errors
    /// As [`Desk::prepare`]; the metadata tells which submission is meant.
    pub(super) async fn batch(
        &mut self,
        order: &BatchOrder,
        group: Uuid,
    ) -> Result<Vec<Prepared>, Error> {
        let mut prepared = Vec::with_capacity(order.submissions.len());
        for (index, submission) in order.submissions.iter().enumerate() {
            let one = self.prepare(submission).await;
            prepared.push(one.map_err(|error| in_batch(error, index))?);
        }
        let mut jobs: Vec<Job> = prepared.iter().map(|one| one.job.clone()).collect();
        sequence::join_batch(&mut jobs, group);
        for (one, job) in prepared.iter_mut().zip(jobs) {
            one.job = job;
        }
        Ok(prepared)
    }

    /// Prepares the segments of a sequence, and the job that joins them.
    ///
    /// # Errors
    /// [`Error::Submission`], [`Error::SourceNotFound`], [`Error::SourceNotCompleted`], [`Error::Store`].
    pub(super) async fn sequence(
        &mut self,
        order: &SequenceOrder,
        group: Uuid,
    ) -> Result<Vec<Prepared>, Error> {
        let source = self.source(order).await?;
        let segments = order.with_scene_of(source.as_ref()).segments()?;
        let mut jobs = Vec::with_capacity(segments.len() + 1);
        let mut first = None;
        for (index, segment) in segments.iter().enumerate() {
            let needs_picture = index > 0 || source.is_some();
            let mut job = if needs_picture {
                self.segment(segment, jobs.first().or(source.as_ref()))
                    .await?
            } else {
                let prepared = self.prepare(segment).await?;
                let job = prepared.job.clone();
                first = Some(prepared);
                job
            };
            if index > 0 {
                job.not_before = None;
            }
            jobs.push(job);
        }
        let model = jobs.first().and_then(|job| self.model(&job.spec.model));
        if let Some(model) = model.filter(|_| order.goes_on()) {
            sequence::check_model(model)?;
        }
        if let (Some(job), Some(source)) = (jobs.first(), &source) {
            sequence::check_source(source, &job.spec)?;
        }
        sequence::join_sequence(&mut jobs, group, source.as_ref(), JobId::generate());
        let mut pictures = first.map(|first| (first.submission, first.stills));
        let prepared = jobs.into_iter().map(|job| {
            let (submission, stills) = pictures.take().unwrap_or_default();
            Prepared {
                job,
                submission,
                stills,
            }
        });
        Ok(prepared.collect())
    }

    /// A segment that gets its first frame later. It has the form of `before`.
    async fn segment(&mut self, segment: &Submission, before: Option<&Job>) -> Result<Job, Error> {
        let mut segment = segment.clone();
        if let Some(before) = before.map(|before| &before.spec) {
            if !before.model.is_empty() {
                segment.model.get_or_insert_with(|| before.model.clone());
            }
            segment.width.get_or_insert(before.width);
            segment.height.get_or_insert(before.height);
        }
        let stills = segment.check_form()?;
        let default = self.app.options.default_model.as_deref();
        let model = choose_model(segment.model.as_deref(), default, &self.models)?;
        sequence::check_model(model)?;
        let later = StoredImage {
            key: String::new(),
            sha256: String::new(),
        };
        let elsewhere = Elsewhere {
            first: Some(later),
            last: None,
        };
        let mut spec = with_pictures(&segment, model, stills, elsewhere)?;
        spec.image = None;
        let notes = notes(&spec, model);
        let mut job = self.job(&segment, spec)?;
        job.notes = notes;
        job.estimated_cost = self.cost(&job.spec.clone()).await?;
        Ok(job)
    }

    async fn source(&self, order: &SequenceOrder) -> Result<Option<Job>, Error> {
        let Some(id) = order.source else {
            return Ok(None);
        };
        let source = self.app.store.get(self.owner, id).await?;
        let source = source.ok_or(Error::SourceNotFound)?;
        if !sequence::is_complete(&source) {
            return Err(Error::SourceNotCompleted);
        }
        Ok(Some(source))
    }
}

/// Completes a submission some of whose pictures are not sent with it.
fn with_pictures(
    submission: &Submission,
    model: &Model,
    stills: Stills,
    elsewhere: Elsewhere,
) -> Result<VideoSpec, Invalid> {
    let known = |picture: &Option<StoredImage>| picture.as_ref().map(|_| Stills::ELSEWHERE);
    let stills = Stills {
        first: known(&elsewhere.first).or(stills.first),
        last: known(&elsewhere.last).or(stills.last),
    };
    let mut spec = submission.resolve(model, stills, rand::random())?;
    (spec.image, spec.last_image) = (elsewhere.first, elsewhere.last);
    Ok(spec)
}

fn in_batch(error: Error, index: usize) -> Error {
    match error {
        Error::Submission(mut invalid) => {
            invalid.metadata.push(("index", index.to_string()));
            Error::Submission(invalid)
        }
        other => other,
    }
}
