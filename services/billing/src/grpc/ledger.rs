//! Answers the scheduler.

use std::sync::Arc;

use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::ledger_service_server::LedgerService;
use tonic::{Request, Response, Status};

use super::convert::{
    caller, credits_from_pb, id_from_pb, payer_to_pb, time_from_pb, time_to_pb, work_from_pb,
};
use crate::app::App;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::refusal::Refusal;
use crate::domain::work::{JobWork, Work};
use crate::error::Error;

/// Answers the scheduler.
pub struct LedgerGrpc {
    app: Arc<App>,
}

impl LedgerGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl LedgerService for LedgerGrpc {
    async fn estimate(
        &self,
        request: Request<pb::EstimateRequest>,
    ) -> Result<Response<pb::EstimateResponse>, Status> {
        let caller = caller(&request)?;
        let works = request.into_inner().works.into_iter().map(work_from_pb);
        let works: Vec<Work> = works.collect::<Result<_, _>>()?;
        let estimate = self.app.estimate(&caller, &works).await?;
        let refusal = estimate.refusal.as_ref().map(Refusal::reason);
        Ok(Response::new(pb::EstimateResponse {
            credits: estimate.credits.into_iter().map(Into::into).collect(),
            total: estimate.total.into(),
            available: estimate.available.into(),
            refusal: refusal.unwrap_or_default().to_owned(),
        }))
    }

    async fn hold(
        &self,
        request: Request<pb::HoldRequest>,
    ) -> Result<Response<pb::HoldResponse>, Status> {
        let caller = caller(&request)?;
        let jobs = request.into_inner().jobs.into_iter().map(job_from_pb);
        let jobs: Vec<JobWork> = jobs.collect::<Result<_, _>>()?;
        let holds = self.app.hold(&caller, jobs).await?;
        Ok(Response::new(pb::HoldResponse {
            holds: holds.into_iter().map(hold_to_pb).collect(),
        }))
    }

    async fn capture(
        &self,
        request: Request<pb::CaptureRequest>,
    ) -> Result<Response<pb::CaptureResponse>, Status> {
        let message = request.into_inner();
        let job = id_from_pb(&message.job_id, "job_id")?;
        let credits = message.credits.map(credits_from_pb);
        let hold = self.app.capture(job, message.lease, credits).await?;
        Ok(Response::new(pb::CaptureResponse {
            hold: Some(hold_to_pb(hold)),
        }))
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        let job = id_from_pb(&request.into_inner().job_id, "job_id")?;
        let hold = self.app.release(job).await?;
        Ok(Response::new(pb::ReleaseResponse {
            hold: hold.map(hold_to_pb),
        }))
    }

    async fn renew_holds(
        &self,
        request: Request<pb::RenewHoldsRequest>,
    ) -> Result<Response<pb::RenewHoldsResponse>, Status> {
        let ids = request.into_inner().job_ids;
        let ids = ids.iter().map(|id| id_from_pb(id, "job_ids"));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let renewed = self.app.renew_holds(&ids).await?;
        Ok(Response::new(pb::RenewHoldsResponse {
            renewed_job_ids: renewed.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn list_open_holds(
        &self,
        request: Request<pb::ListOpenHoldsRequest>,
    ) -> Result<Response<pb::ListOpenHoldsResponse>, Status> {
        let message = request.into_inner();
        let made_before = message.made_before;
        let made_before = made_before.map(|time| time_from_pb(time, "made_before"));
        let (size, token) = (message.page_size, &message.page_token);
        let page = self.app.open_holds(made_before.transpose()?, size, token);
        let (holds, next_page_token) = page.await?;
        Ok(Response::new(pb::ListOpenHoldsResponse {
            holds: holds.into_iter().map(hold_to_pb).collect(),
            next_page_token,
        }))
    }
}

fn job_from_pb(job: pb::JobWork) -> Result<JobWork, Error> {
    let work = job.work.ok_or(Error::Field {
        field: "jobs.work",
        problem: "is missing",
    })?;
    Ok(JobWork {
        job: id_from_pb(&job.job_id, "jobs.job_id")?,
        work: work_from_pb(work)?,
        preview: job.preview.map(work_from_pb).transpose()?,
    })
}

fn hold_to_pb(hold: Hold) -> pb::Hold {
    let state = match hold.state {
        HoldState::Open => pb::HoldState::Open,
        HoldState::Captured => pb::HoldState::Captured,
        HoldState::Released => pb::HoldState::Released,
        HoldState::Expired => pb::HoldState::Expired,
    };
    pb::Hold {
        job_id: hold.job.to_string(),
        payer: Some(payer_to_pb(hold.payer)),
        credits: hold.credits.into(),
        preview_credits: hold.preview_credits.into(),
        price_book: hold.price_book,
        state: state.into(),
        captured: hold.captured.into(),
        create_time: Some(time_to_pb(hold.create_time)),
        expire_time: Some(time_to_pb(hold.expire_time)),
    }
}
