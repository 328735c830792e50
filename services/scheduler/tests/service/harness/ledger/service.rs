//! The ledger over the wire.

use std::sync::Weak;

use chrono::{DateTime, Utc};
use kinora_mesh::error::PublicError;
use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::ledger_service_server::LedgerService;
use parking_lot::Mutex;
use tonic::{Request, Response, Status};

use super::book::{End, Held, Wish};
use super::{FakeLedger, State, price};

/// Answers for a ledger as long as a test has it.
pub(super) struct Served(pub(super) Weak<Mutex<State>>);

impl Served {
    fn ledger(&self) -> Result<FakeLedger, Status> {
        let state = self.0.upgrade();
        state
            .map(FakeLedger)
            .ok_or_else(|| Status::unavailable("gone"))
    }
}

fn token<T>(request: &Request<T>) -> String {
    let token = request.metadata().get("authorization");
    let token = token.and_then(|token| token.to_str().ok());
    token.unwrap_or_default().to_owned()
}

fn wish(job: pb::JobWork) -> Wish {
    let work = job.work.expect("a work");
    let preview_credits = job.preview.as_ref().map_or(0, price);
    Wish {
        job: job.job_id,
        credits: price(&work) + preview_credits,
        preview_credits,
        pixels: u64::from(work.width) * u64::from(work.height),
    }
}

fn hold_to_pb(job: &str, held: &Held) -> pb::Hold {
    let state = match held.end {
        End::Open => pb::HoldState::Open,
        End::Captured { .. } => pb::HoldState::Captured,
        End::Released => pb::HoldState::Released,
    };
    pb::Hold {
        job_id: job.to_owned(),
        credits: held.credits,
        price_book: 1,
        state: state.into(),
        captured: held.captured(),
        create_time: Some(time_to_pb(held.create_time)),
        expire_time: Some(time_to_pb(held.expire_time)),
        preview_credits: held.preview_credits,
        ..pb::Hold::default()
    }
}

fn time_to_pb(time: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).expect("less than a second"),
    }
}

fn time_from_pb(time: prost_types::Timestamp) -> DateTime<Utc> {
    let nanos = u32::try_from(time.nanos).expect("not negative");
    DateTime::from_timestamp(time.seconds, nanos).expect("a time")
}

#[tonic::async_trait]
impl LedgerService for Served {
    async fn estimate(
        &self,
        request: Request<pb::EstimateRequest>,
    ) -> Result<Response<pb::EstimateResponse>, Status> {
        let (token, works) = (token(&request), request.into_inner().works);
        let credits: Vec<u64> = works.iter().map(price).collect();
        let total = credits.iter().sum();
        let available = self
            .ledger()?
            .serve_call("estimate", token, |book, _| Ok(book.available))
            .await?;
        let refusal = if total > available {
            "INSUFFICIENT_CREDITS"
        } else {
            ""
        };
        Ok(Response::new(pb::EstimateResponse {
            credits,
            total,
            available,
            refusal: refusal.to_owned(),
        }))
    }

    async fn hold(
        &self,
        request: Request<pb::HoldRequest>,
    ) -> Result<Response<pb::HoldResponse>, Status> {
        let (token, jobs) = (token(&request), request.into_inner().jobs);
        let wishes: Vec<Wish> = jobs.into_iter().map(wish).collect();
        let held = self
            .ledger()?
            .serve_call("hold", token, |book, now| book.hold(&wishes, now))
            .await?;
        let holds = wishes
            .iter()
            .zip(&held)
            .map(|(wish, held)| hold_to_pb(&wish.job, held));
        let holds = holds.collect();
        Ok(Response::new(pb::HoldResponse { holds }))
    }

    async fn capture(
        &self,
        request: Request<pb::CaptureRequest>,
    ) -> Result<Response<pb::CaptureResponse>, Status> {
        let (token, asked) = (token(&request), request.into_inner());
        let credits = asked.credits.unwrap_or(u64::MAX);
        self.ledger()?
            .serve_call("capture", token, |book, _| {
                book.capture(&asked.job_id, asked.lease, credits)
            })
            .await?;
        Ok(Response::new(pb::CaptureResponse::default()))
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        let (token, asked) = (token(&request), request.into_inner());
        self.ledger()?
            .serve_call("release", token, |book, _| book.release(&asked.job_id))
            .await?;
        Ok(Response::new(pb::ReleaseResponse::default()))
    }

    async fn renew_holds(
        &self,
        request: Request<pb::RenewHoldsRequest>,
    ) -> Result<Response<pb::RenewHoldsResponse>, Status> {
        let (token, asked) = (token(&request), request.into_inner());
        let renew = |book: &mut super::Book, now| -> Result<(), PublicError> {
            book.renew(&asked.job_ids, now);
            Ok(())
        };
        self.ledger()?.serve_call("renew", token, renew).await?;
        let renewed_job_ids = asked.job_ids;
        Ok(Response::new(pb::RenewHoldsResponse { renewed_job_ids }))
    }

    async fn list_open_holds(
        &self,
        request: Request<pb::ListOpenHoldsRequest>,
    ) -> Result<Response<pb::ListOpenHoldsResponse>, Status> {
        let (token, asked) = (token(&request), request.into_inner());
        let before = asked
            .made_before
            .map_or(DateTime::<Utc>::MAX_UTC, time_from_pb);
        let (page, next_page_token) = self
            .ledger()?
            .serve_call("list", token, |book, _| {
                Ok(book.open_holds(before, &asked.page_token))
            })
            .await?;
        let holds = page
            .iter()
            .map(|(job, held)| hold_to_pb(job, held))
            .collect();
        Ok(Response::new(pb::ListOpenHoldsResponse {
            holds,
            next_page_token,
        }))
    }
}
