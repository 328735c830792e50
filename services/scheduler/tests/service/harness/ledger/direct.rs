//! The ledger without a wire, for schedulers that are killed in the middle of everything.

use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError};
use kinora_scheduler::clients::call::{Answer, CallError, Token};
use kinora_scheduler::clients::ledger::{HoldPage, Ledger, Quote};
use kinora_scheduler::domain::hold::{JobWork, OpenHold, Work};
use kinora_scheduler::domain::job::Time;

use super::FakeLedger;
use super::book::{Held, Wish};

fn price(work: &Work) -> u64 {
    (u64::from(work.width) * u64::from(work.height) * u64::from(work.frames)).div_ceil(256)
}

fn wish(job: &JobWork) -> Wish {
    let preview_credits = job.preview.as_ref().map_or(0, price);
    Wish {
        job: job.job.to_string(),
        credits: price(&job.work) + preview_credits,
        preview_credits,
        pixels: u64::from(job.work.width) * u64::from(job.work.height),
    }
}

fn open_hold(job: JobId, held: &Held) -> OpenHold {
    OpenHold {
        job,
        credits: held.credits,
        preview_credits: held.preview_credits,
        expire_time: Some(held.expire_time),
    }
}

fn failed(error: PublicError) -> CallError {
    match error.kind {
        Kind::Unavailable => CallError::Away(error),
        _ => CallError::Refused(error),
    }
}

impl Ledger for FakeLedger {
    fn estimate<'a>(&'a self, _: &'a Token, works: &'a [Work]) -> Answer<'a, Quote> {
        Box::pin(async move {
            let available =
                self.serve_call("estimate", String::new(), |book, _| Ok(book.available));
            Ok(Quote {
                credits: works.iter().map(price).sum(),
                available: available.await.map_err(failed)?,
                refusal: None,
            })
        })
    }

    fn hold<'a>(&'a self, _: &'a Token, jobs: &'a [JobWork]) -> Answer<'a, Vec<OpenHold>> {
        Box::pin(async move {
            let wishes: Vec<Wish> = jobs.iter().map(wish).collect();
            let held = self.serve_call("hold", String::new(), |book, now| book.hold(&wishes, now));
            let held = held.await.map_err(failed)?;
            let holds = jobs.iter().zip(&held);
            Ok(holds.map(|(job, held)| open_hold(job.job, held)).collect())
        })
    }

    fn capture(&self, job: JobId, lease: u64, credits: u64) -> Answer<'_, ()> {
        let job = job.to_string();
        Box::pin(async move {
            let done = self.serve_call("capture", String::new(), |book, _| {
                book.capture(&job, lease, credits)
            });
            done.await.map_err(failed)
        })
    }

    fn release(&self, job: JobId) -> Answer<'_, ()> {
        let job = job.to_string();
        Box::pin(async move {
            let done = self.serve_call("release", String::new(), |book, _| book.release(&job));
            done.await.map_err(failed)
        })
    }

    fn renew<'a>(&'a self, jobs: &'a [JobId]) -> Answer<'a, ()> {
        let jobs: Vec<String> = jobs.iter().map(ToString::to_string).collect();
        Box::pin(async move {
            let done = self.serve_call("renew", String::new(), |book, now| {
                book.renew(&jobs, now);
                Ok(())
            });
            done.await.map_err(failed)
        })
    }

    fn open_holds<'a>(&'a self, made_before: Time, page_token: &'a str) -> Answer<'a, HoldPage> {
        Box::pin(async move {
            let page = self.serve_call("list", String::new(), |book, _| {
                Ok(book.open_holds(made_before, page_token))
            });
            let (page, next_page_token) = page.await.map_err(failed)?;
            let holds = page.iter().map(|(job, held)| {
                let job = job.parse().expect("an id");
                open_hold(job, held)
            });
            Ok(HoldPage {
                holds: holds.collect(),
                next_page_token,
            })
        })
    }
}
