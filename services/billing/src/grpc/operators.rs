//! The contract's calls by which operators change something.

use kinora_proto::billing::v1 as pb;
use tonic::{Request, Response, Status};

use super::balance::balance_to_pb;
use super::convert::{
    caller, credits_from_pb, id_from_pb, payer_from_pb, time_from_pb, time_to_pb,
};
use crate::app::refund::RefundOrder;
use crate::app::{Adjustment, App};
use crate::domain::Time;
use crate::error::Error;

pub(super) async fn adjust(
    app: &App,
    request: Request<pb::AdjustRequest>,
) -> Result<Response<pb::AdjustResponse>, Status> {
    let operator = caller(&request)?.user;
    let message = request.into_inner();
    let expire_time = message.expire_time;
    let expire_time = expire_time.map(|time| time_from_pb(time, "expire_time"));
    let adjustment = Adjustment {
        request_id: message.request_id,
        payer: payer_from_pb(message.payer)?,
        credits: message.credits,
        note: message.note,
        expire_time: expire_time.transpose()?,
    };
    let balance = app.adjust(operator, &adjustment).await?;
    Ok(Response::new(pb::AdjustResponse {
        balance: Some(balance_to_pb(balance)),
    }))
}

pub(super) async fn refund(
    app: &App,
    request: Request<pb::RefundRequest>,
) -> Result<Response<pb::RefundResponse>, Status> {
    let operator = caller(&request)?.user;
    let message = request.into_inner();
    let order = RefundOrder {
        request_id: message.request_id,
        job: id_from_pb(&message.job_id, "job_id")?,
        credits: message.credits.map(credits_from_pb),
        note: message.note,
    };
    let refunded = app.refund(operator, &order).await?;
    Ok(Response::new(pb::RefundResponse {
        credits: refunded.credits.into(),
        refunded: refunded.in_all.into(),
    }))
}

pub(super) async fn set_frozen(
    app: &App,
    request: Request<pb::SetFrozenRequest>,
) -> Result<Response<pb::SetFrozenResponse>, Status> {
    let operator = caller(&request)?.user;
    let message = request.into_inner();
    let payer = payer_from_pb(message.payer)?;
    let balance = app.set_frozen(operator, &payer, message.frozen, &message.note);
    Ok(Response::new(pb::SetFrozenResponse {
        balance: Some(balance_to_pb(balance.await?)),
    }))
}

pub(super) async fn set_plan(
    app: &App,
    request: Request<pb::SetPlanRequest>,
) -> Result<Response<pb::SetPlanResponse>, Status> {
    let operator = caller(&request)?.user;
    let message = request.into_inner();
    let payer = payer_from_pb(message.payer)?;
    let balance = app.set_plan(operator, &payer, &message.plan).await?;
    Ok(Response::new(pb::SetPlanResponse {
        balance: Some(balance_to_pb(balance)),
    }))
}

pub(super) async fn set_window(
    app: &App,
    request: Request<pb::SetWindowRequest>,
) -> Result<Response<pb::SetWindowResponse>, Status> {
    let operator = caller(&request)?.user;
    let window = request.into_inner().window.unwrap_or_default();
    let window = app.set_window(operator, ends_from_pb(window)?).await?;
    let set = window.map_or_else(pb::Window::default, |window| pb::Window {
        start_time: Some(time_to_pb(window.start)),
        end_time: Some(time_to_pb(window.end)),
    });
    Ok(Response::new(pb::SetWindowResponse { window: Some(set) }))
}

/// None when neither end is named: by the month.
fn ends_from_pb(window: pb::Window) -> Result<Option<(Time, Time)>, Error> {
    let (start, end) = match (window.start_time, window.end_time) {
        (None, None) => return Ok(None),
        (Some(start), Some(end)) => (start, end),
        _ => {
            return Err(Error::Field {
                field: "window",
                problem: "has a start and an end, or neither",
            });
        }
    };
    let start = time_from_pb(start, "window.start_time")?;
    let end = time_from_pb(end, "window.end_time")?;
    Ok(Some((start, end)))
}

pub(super) async fn check_ledger(app: &App) -> Result<Response<pb::CheckLedgerResponse>, Status> {
    let findings = app.check_ledger().await?;
    Ok(Response::new(pb::CheckLedgerResponse {
        problems: findings.problems,
        transfers: findings.transfers,
        sum: findings.sum,
        open_holds: findings.open_holds,
        held: u64::try_from(findings.held).unwrap_or_default(),
    }))
}
