//! Credits that are set aside for a job, and what its end does to them.
//!
//! They are set aside before the job is stored, for all that may be delivered: the clip, and a preview where one comes
//! first. What was delivered is paid, the rest goes back. A job that joins clips costs nothing: its parts were paid.

use kinora_ids::JobId;
use serde::{Deserialize, Serialize};

use super::job::{Job, Kind, Priority, State, Time, VideoSpec};

/// Credits that are set aside for a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// All of them.
    pub credits: u64,
    /// Of these, the price of the preview.
    pub preview_credits: u64,
    /// Whether the preview was delivered.
    pub is_preview_made: bool,
}

/// What is to become of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// So much of it is taken, and the rest goes back.
    Capture {
        /// The newest lease of the job; 1 or more.
        lease: u64,
        /// 1 or more.
        credits: u64,
    },
    /// All of it goes back.
    Release,
}

/// What a clip is priced by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Model id.
    pub model: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames.
    pub frames: u32,
    /// Frames a second.
    pub fps: u32,
    /// Denoising steps.
    pub steps: u32,
    /// How urgent it is.
    pub priority: Priority,
}

/// A job for which credits are to be set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobWork {
    /// Its id, which it will be stored under.
    pub job: JobId,
    /// The clip.
    pub work: Work,
    /// What is made first.
    pub preview: Option<Work>,
}

/// A hold as billing has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// Whose.
    pub job: JobId,
    /// All of it.
    pub credits: u64,
    /// Of these, the price of the preview.
    pub preview_credits: u64,
    /// Billing releases it then, unless it is renewed. None when billing does not tell.
    pub expire_time: Option<Time>,
}

impl Work {
    /// The work in a clip of that urgency.
    #[must_use]
    pub fn of(spec: &VideoSpec, priority: Priority) -> Self {
        Self {
            model: spec.model.clone(),
            width: spec.width,
            height: spec.height,
            frames: spec.frames,
            fps: spec.fps,
            steps: spec.steps,
            priority,
        }
    }
}

impl JobWork {
    /// What a job has to pay for. None for one that costs nothing.
    #[must_use]
    pub fn of(job: &Job) -> Option<Self> {
        match job.kind {
            Kind::Stitch => None,
            Kind::Generate => Some(Self {
                job: job.id,
                work: Work::of(&job.spec, job.priority),
                preview: job
                    .preview_spec
                    .as_ref()
                    .map(|spec| Work::of(spec, job.priority)),
            }),
        }
    }
}

/// What the end of `job` does to `hold`. None while it has not ended.
///
/// A completed job pays for the frames that it has, at most the hold. One that its owner ended, or let expire, pays for
/// its preview if that was delivered. One that failed pays nothing.
#[must_use]
pub fn due(job: &Job, hold: Hold) -> Option<Due> {
    let credits = match job.state {
        State::AwaitingApproval | State::Queued | State::Running => return None,
        State::Completed => delivered(job, hold),
        State::Cancelled | State::Expired if hold.is_preview_made => hold.preview_credits,
        State::Failed | State::Cancelled | State::Expired => 0,
    };
    let credits = credits.min(hold.credits);
    // What was delivered, was delivered under a lease.
    if credits == 0 || job.lease == 0 {
        return Some(Due::Release);
    }
    let lease = job.lease;
    Some(Due::Capture { lease, credits })
}

/// The price of the preview and of as much of the clip as there is, rounded up.
fn delivered(job: &Job, hold: Hold) -> u64 {
    let clip = hold.credits.saturating_sub(hold.preview_credits);
    let asked = job.spec.frames.max(1);
    let made = job
        .outputs
        .as_ref()
        .map_or(0, |made| made.frames)
        .min(asked);
    if made == 0 {
        return if hold.is_preview_made {
            hold.preview_credits
        } else {
            0
        };
    }
    let share = (u128::from(clip) * u128::from(made)).div_ceil(u128::from(asked));
    // No more than the clip, which fits.
    u64::try_from(share)
        .unwrap_or(clip)
        .saturating_add(hold.preview_credits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::job::Outputs;

    const HELD: Hold = Hold {
        credits: 1000,
        preview_credits: 100,
        is_preview_made: true,
    };

    const PLAIN: Hold = Hold {
        credits: 1000,
        preview_credits: 0,
        is_preview_made: false,
    };

    fn job(state: State, frames: u32) -> Job {
        let spec = VideoSpec {
            model: "tiny".to_owned(),
            prompt: "a ball".to_owned(),
            negative_prompt: String::new(),
            width: 64,
            height: 48,
            frames: 13,
            steps: 20,
            guidance: 3.0,
            seed: 1,
            fps: 8,
            image: None,
            last_image: None,
        };
        let mut job = Job::queued(JobId::generate(), "a".to_owned(), spec, Time::UNIX_EPOCH);
        (job.state, job.lease) = (state, 3);
        job.outputs = (state == State::Completed).then(|| Outputs {
            frames,
            ..Outputs::default()
        });
        job
    }

    fn capture(credits: u64) -> Option<Due> {
        Some(Due::Capture { lease: 3, credits })
    }

    #[test]
    fn completed_job_pays_for_the_frames_that_it_has() {
        for (frames, plain, with_preview) in [
            (13, capture(1000), capture(1000)),
            (99, capture(1000), capture(1000)),
            (7, capture(539), capture(585)),
            (1, capture(77), capture(170)),
            (0, Some(Due::Release), capture(100)),
        ] {
            let job = job(State::Completed, frames);
            assert_eq!(due(&job, PLAIN), plain, "{frames}");
            assert_eq!(due(&job, HELD), with_preview, "{frames}");
        }
    }

    #[test]
    fn job_that_its_owner_ends_pays_for_its_preview_alone() {
        let not_made = Hold {
            is_preview_made: false,
            ..HELD
        };
        for state in [State::Cancelled, State::Expired] {
            assert_eq!(due(&job(state, 0), HELD), capture(100));
            assert_eq!(due(&job(state, 0), not_made), Some(Due::Release));
            assert_eq!(due(&job(state, 0), PLAIN), Some(Due::Release));
        }
    }

    #[test]
    fn failed_job_pays_nothing_and_one_that_goes_on_nothing_yet() {
        assert_eq!(due(&job(State::Failed, 0), HELD), Some(Due::Release));
        for state in [State::Queued, State::Running, State::AwaitingApproval] {
            assert_eq!(due(&job(state, 0), HELD), None);
        }
    }

    #[test]
    fn joining_costs_nothing() {
        let mut stitch = job(State::Queued, 0);
        assert!(JobWork::of(&stitch).is_some_and(|work| work.preview.is_none()));
        stitch.kind = Kind::Stitch;
        assert_eq!(JobWork::of(&stitch), None);
    }

    proptest! {
        #[test]
        fn nobody_pays_more_than_was_held(
            credits: u64, preview_credits: u64, is_preview_made: bool, frames: u32, asked: u32, lease in 0_u64..3,
        ) {
            let hold = Hold { credits, preview_credits, is_preview_made };
            for state in [State::Completed, State::Failed, State::Cancelled, State::Expired] {
                let mut job = job(state, frames);
                (job.spec.frames, job.lease) = (asked, lease);
                match due(&job, hold) {
                    Some(Due::Capture { lease, credits: taken }) => {
                        prop_assert!(lease > 0 && (1..=credits).contains(&taken));
                        prop_assert!(state != State::Failed);
                    }
                    other => prop_assert_eq!(other, Some(Due::Release)),
                }
            }
        }
    }
}
