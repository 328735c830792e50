//! The books: what is held for whom, and what became of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use kinora_mesh::error::{Kind, PublicError};

use super::LIFE;

/// The books of one payer.
pub struct Book {
    /// What there was at first.
    pub given: u64,
    pub available: u64,
    /// By job.
    pub holds: BTreeMap<String, Held>,
}

/// What is held for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub credits: u64,
    pub preview_credits: u64,
    pub end: End,
    /// How often it was ended. More than once is a wrong.
    pub ends: u32,
    pub renewals: u32,
    pub create_time: DateTime<Utc>,
    pub expire_time: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Open,
    Captured { lease: u64, credits: u64 },
    Released,
}

/// A job that wants credits.
#[derive(Clone, Debug)]
pub struct Wish {
    pub job: String,
    pub credits: u64,
    pub preview_credits: u64,
    /// Pixels of a frame of the clip.
    pub pixels: u64,
}

impl Held {
    pub fn is_open(&self) -> bool {
        self.end == End::Open
    }

    /// What was taken of it.
    pub fn captured(&self) -> u64 {
        match self.end {
            End::Captured { credits, .. } => credits,
            End::Open | End::Released => 0,
        }
    }
}

impl Book {
    pub fn new(credits: u64) -> Self {
        Self {
            given: credits,
            available: credits,
            holds: BTreeMap::new(),
        }
    }

    /// No credit is lost or made, and nothing is ended twice.
    pub fn check(&self) {
        let open = self.holds.values().filter(|held| held.is_open());
        let held: u64 = open.map(|held| held.credits).sum();
        let captured: u64 = self.holds.values().map(Held::captured).sum();
        assert_eq!(
            self.available + held + captured,
            self.given,
            "{:?}",
            self.holds
        );
        for (job, held) in &self.holds {
            assert_eq!(held.ends, u32::from(!held.is_open()), "{job}: {held:?}");
            assert!(held.captured() <= held.credits, "{job}: {held:?}");
        }
    }

    /// A hold of nobody's job.
    pub fn hold_for_nobody(&mut self, job: &str, credits: u64, now: DateTime<Utc>) {
        let wish = Wish {
            job: job.to_owned(),
            credits,
            preview_credits: 0,
            pixels: 1,
        };
        self.hold(&[wish], now).expect("enough credits");
    }

    pub fn hold(&mut self, wishes: &[Wish], now: DateTime<Utc>) -> Result<Vec<Held>, PublicError> {
        let mut left = self.available;
        for wish in wishes {
            if let Some(held) = self.holds.get(&wish.job) {
                if held.is_open() && held.credits == wish.credits {
                    continue;
                }
                let kind = Kind::AlreadyExists;
                return Err(PublicError::new(kind, "HOLD_CONFLICT", "held otherwise"));
            }
            left = left.checked_sub(wish.credits).ok_or_else(|| {
                let affordable = left.saturating_sub(wish.preview_credits) * 256 / wish.pixels;
                let kind = Kind::ResourceExhausted;
                PublicError::new(kind, "INSUFFICIENT_CREDITS", "not enough credits")
                    .with_metadata("needed_credits", wish.credits.to_string())
                    .with_metadata("available_credits", self.available.to_string())
                    .with_metadata("job_id", wish.job.clone())
                    .with_metadata("affordable_frames", affordable.to_string())
            })?;
        }
        self.available = left;
        for wish in wishes {
            self.holds.entry(wish.job.clone()).or_insert(Held {
                credits: wish.credits,
                preview_credits: wish.preview_credits,
                end: End::Open,
                ends: 0,
                renewals: 0,
                create_time: now,
                expire_time: now + LIFE,
            });
        }
        Ok(wishes
            .iter()
            .map(|it| self.holds[&it.job].clone())
            .collect())
    }

    pub fn capture(&mut self, job: &str, lease: u64, credits: u64) -> Result<(), PublicError> {
        let Some(held) = self.holds.get_mut(job) else {
            let text = "the job has no hold";
            return Err(PublicError::new(Kind::NotFound, "HOLD_NOT_FOUND", text));
        };
        if credits > held.credits || credits == 0 || lease == 0 {
            let kind = Kind::InvalidArgument;
            return Err(PublicError::new(
                kind,
                "CAPTURE_EXCEEDS_HOLD",
                "out of bounds",
            ));
        }
        match held.end {
            End::Open => {
                held.end = End::Captured { lease, credits };
                held.ends += 1;
                self.available += held.credits - credits;
                Ok(())
            }
            End::Captured { lease: before, .. } if before == lease => Ok(()),
            End::Captured { .. } | End::Released => Err(settled()),
        }
    }

    pub fn release(&mut self, job: &str) -> Result<(), PublicError> {
        let Some(held) = self.holds.get_mut(job) else {
            return Ok(());
        };
        match held.end {
            End::Open => {
                held.end = End::Released;
                held.ends += 1;
                self.available += held.credits;
                Ok(())
            }
            End::Released => Ok(()),
            End::Captured { .. } => Err(settled()),
        }
    }

    pub fn renew(&mut self, jobs: &[String], now: DateTime<Utc>) {
        for job in jobs {
            if let Some(held) = self.holds.get_mut(job).filter(|held| held.is_open()) {
                held.expire_time = now + LIFE;
                held.renewals += 1;
            }
        }
    }

    /// Two a page, so that there are pages. A page token is the last job before.
    pub fn open_holds(&self, before: DateTime<Utc>, after: &str) -> (Vec<(String, Held)>, String) {
        let open = self.holds.iter().filter(|(job, held)| {
            held.is_open() && held.create_time < before && job.as_str() > after
        });
        let page: Vec<(String, Held)> = open
            .take(2)
            .map(|(job, held)| (job.clone(), held.clone()))
            .collect();
        let next = match &page[..] {
            [_, (last, _)] => last.clone(),
            _ => String::new(),
        };
        (page, next)
    }
}

fn settled() -> PublicError {
    let text = "the hold was settled otherwise";
    PublicError::new(Kind::FailedPrecondition, "HOLD_SETTLED", text)
}
