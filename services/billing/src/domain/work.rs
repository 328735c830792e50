//! What a clip is priced by.

use std::collections::HashSet;

use uuid::Uuid;

use crate::error::Error;

/// No request is about more jobs.
pub const MAX_JOBS: usize = 128;

const MAX_SIDE: u32 = 65_536;
const MAX_FRAMES: u32 = 1_000_000;
const MAX_FPS: u32 = 1_000;

/// No name of a model is longer, in bytes.
pub const MAX_MODEL: usize = 128;

/// How urgent a clip is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Before the others.
    Interactive,
    /// As most are.
    #[default]
    Standard,
    /// May wait.
    Batch,
}

impl Tier {
    /// How it stands in the database.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Interactive => 1,
            Self::Standard => 2,
            Self::Batch => 3,
        }
    }

    /// What stands in the database.
    #[must_use]
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            1 => Some(Self::Interactive),
            2 => Some(Self::Standard),
            3 => Some(Self::Batch),
            _ => None,
        }
    }
}

/// A clip, as far as its price depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The model's name; empty for a clip that needs none.
    pub model: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// How many.
    pub frames: u32,
    /// Frames a second.
    pub fps: u32,
    /// Steps of denoising. 0 for a clip that is joined from others.
    pub steps: u32,
    /// Whether it has sound.
    pub audio: bool,
    /// How urgent it is.
    pub tier: Tier,
}

/// A job and its clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobWork {
    /// The job.
    pub job: Uuid,
    /// Its clip.
    pub work: Work,
    /// What is made and shown before it is decided whether the clip is made.
    pub preview: Option<Work>,
}

/// What one job is priced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The clip.
    pub work: &'a Work,
    /// Its preview.
    pub preview: Option<&'a Work>,
}

impl JobWork {
    /// What it is priced by.
    #[must_use]
    pub const fn wanted(&self) -> Wanted<'_> {
        Wanted {
            work: &self.work,
            preview: self.preview.as_ref(),
        }
    }
}

impl<'a> From<&'a Work> for Wanted<'a> {
    fn from(work: &'a Work) -> Self {
        Self {
            work,
            preview: None,
        }
    }
}

impl Work {
    /// Passes when all numbers are in the ranges of the contract.
    ///
    /// # Errors
    /// [`Error::Field`] for the first that is not.
    pub fn check(&self) -> Result<(), Error> {
        let is_legal = |c: char| c.is_ascii_graphic();
        if self.model.len() > MAX_MODEL || !self.model.chars().all(is_legal) {
            return Err(wrong("work.model", "has at most 128 visible characters"));
        }
        let ranges = [
            ("work.width", self.width, MAX_SIDE, "is 1 to 65536"),
            ("work.height", self.height, MAX_SIDE, "is 1 to 65536"),
            ("work.frames", self.frames, MAX_FRAMES, "is 1 to 1000000"),
            ("work.fps", self.fps, MAX_FPS, "is 1 to 1000"),
        ];
        for (field, value, most, problem) in ranges {
            if value == 0 || value > most {
                return Err(wrong(field, problem));
            }
        }
        if i32::try_from(self.steps).is_err() {
            return Err(wrong("work.steps", "is at most 2147483647"));
        }
        Ok(())
    }
}

/// Passes for 1 to 128 legal clips.
///
/// # Errors
/// [`Error::Field`].
pub fn check_works(works: &[Work]) -> Result<(), Error> {
    if works.is_empty() || works.len() > MAX_JOBS {
        return Err(wrong("works", "has 1 to 128 entries"));
    }
    works.iter().try_for_each(Work::check)
}

/// Passes for 1 to 128 different jobs with legal clips.
///
/// # Errors
/// [`Error::Field`].
pub fn check_jobs(jobs: &[JobWork]) -> Result<(), Error> {
    if jobs.is_empty() || jobs.len() > MAX_JOBS {
        return Err(wrong("jobs", "has 1 to 128 entries"));
    }
    let different: HashSet<Uuid> = jobs.iter().map(|job| job.job).collect();
    if different.len() != jobs.len() {
        return Err(wrong("jobs", "names a job twice"));
    }
    let works = |job: &JobWork| {
        job.preview
            .iter()
            .chain([&job.work])
            .try_for_each(Work::check)
    };
    jobs.iter().try_for_each(works)
}

const fn wrong(field: &'static str, problem: &'static str) -> Error {
    Error::Field { field, problem }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// So many frames of standard video at 16 a second.
    pub(crate) fn standard(frames: u32) -> Work {
        Work {
            model: "tiny".to_owned(),
            width: 832,
            height: 480,
            frames,
            fps: 16,
            steps: 50,
            audio: false,
            tier: Tier::Standard,
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Work), named: &str) {
        let mut work = standard(16);
        change(&mut work);
        match work.check() {
            Err(Error::Field { field, .. }) => assert_eq!(field, named),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_that_are_no_clip_are_refused() {
        assert!(standard(1).check().is_ok());
        for number in [0, u32::MAX] {
            refused(|work| work.width = number, "work.width");
            refused(|work| work.height = number, "work.height");
            refused(|work| work.frames = number, "work.frames");
            refused(|work| work.fps = number, "work.fps");
        }
        refused(|work| work.steps = u32::MAX, "work.steps");
        refused(|work| work.model = "a b".to_owned(), "work.model");
        refused(|work| work.model = "x".repeat(129), "work.model");
    }

    #[test]
    fn a_request_names_a_few_jobs_each_once() {
        let job = |id: u128| JobWork {
            job: Uuid::from_u128(id),
            work: standard(16),
            preview: None,
        };
        let many = |number: u128| (0..number).map(job).collect::<Vec<_>>();
        assert!(check_jobs(&many(128)).is_ok());
        assert!(check_jobs(&many(0)).is_err());
        assert!(check_jobs(&many(129)).is_err());
        assert!(check_jobs(&[job(1), job(2), job(1)]).is_err());
        let mut odd = job(3);
        odd.preview = Some(standard(0));
        assert!(check_jobs(&[odd]).is_err());
        assert!(check_works(&[]).is_err());
    }
}
