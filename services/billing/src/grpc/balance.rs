//! The contract's calls about balances, transactions and caps.

use kinora_proto::billing::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, credits_from_pb, optional_id_from_pb, payer_from_pb, time_to_pb};
use crate::app::App;
use crate::app::balance::Balance;
use crate::domain::cap::{SpendAlert, SpendCap};
use crate::domain::grant::{Grant, GrantOrigin};
use crate::domain::ledger::TransferKind;
use crate::store::ledger::Movement;

pub(super) async fn get_balance(
    app: &App,
    request: Request<pb::GetBalanceRequest>,
) -> Result<Response<pb::GetBalanceResponse>, Status> {
    let caller = caller(&request)?;
    let balance = app.balance(&caller.payer, caller.user).await?;
    Ok(Response::new(pb::GetBalanceResponse {
        balance: Some(balance_to_pb(balance)),
    }))
}

pub(super) async fn get_payer(
    app: &App,
    request: Request<pb::GetPayerRequest>,
) -> Result<Response<pb::GetPayerResponse>, Status> {
    let payer = payer_from_pb(request.into_inner().payer)?;
    let balance = app.balance_of(&payer).await?;
    Ok(Response::new(pb::GetPayerResponse {
        balance: Some(balance_to_pb(balance)),
    }))
}

pub(super) async fn list_transactions(
    app: &App,
    request: Request<pb::ListTransactionsRequest>,
) -> Result<Response<pb::ListTransactionsResponse>, Status> {
    let payer = caller(&request)?.payer;
    let message = request.into_inner();
    let job = optional_id_from_pb(&message.job_id, "job_id")?;
    let page = app.transactions(&payer, job, message.page_size, &message.page_token);
    let (movements, next_page_token) = page.await?;
    Ok(Response::new(pb::ListTransactionsResponse {
        transactions: movements.into_iter().map(movement_to_pb).collect(),
        next_page_token,
    }))
}

pub(super) async fn list_transactions_of(
    app: &App,
    request: Request<pb::ListTransactionsOfRequest>,
) -> Result<Response<pb::ListTransactionsOfResponse>, Status> {
    let message = request.into_inner();
    let payer = payer_from_pb(message.payer)?;
    let page = app.transactions(&payer, None, message.page_size, &message.page_token);
    let (movements, next_page_token) = page.await?;
    Ok(Response::new(pb::ListTransactionsOfResponse {
        transactions: movements.into_iter().map(movement_to_pb).collect(),
        next_page_token,
    }))
}

pub(super) async fn set_spend_cap(
    app: &App,
    request: Request<pb::SetSpendCapRequest>,
) -> Result<Response<pb::SetSpendCapResponse>, Status> {
    let caller = caller(&request)?;
    let cap = request.into_inner().cap.unwrap_or_default();
    let cap = SpendCap {
        hard: cap.hard_credits.map(credits_from_pb),
        soft: cap.soft_credits.map(credits_from_pb),
    };
    app.set_spend_cap(&caller, cap).await?;
    Ok(Response::new(pb::SetSpendCapResponse {
        cap: Some(cap_to_pb(cap)),
    }))
}

pub(super) async fn list_spend_alerts(
    app: &App,
    request: Request<pb::ListSpendAlertsRequest>,
) -> Result<Response<pb::ListSpendAlertsResponse>, Status> {
    let caller = caller(&request)?;
    let alerts = app.spend_alerts(&caller).await?;
    Ok(Response::new(pb::ListSpendAlertsResponse {
        alerts: alerts.into_iter().map(alert_to_pb).collect(),
    }))
}

/// What a payer can spend.
pub(super) fn balance_to_pb(balance: Balance) -> pb::Balance {
    pb::Balance {
        available: balance.available.into(),
        held: balance.held.into(),
        debt: balance.debt.into(),
        available_seconds: balance.available_milliseconds as f64 / 1_000.0,
        plan: balance.plan,
        window_start: Some(time_to_pb(balance.window.start)),
        window_end: Some(time_to_pb(balance.window.end)),
        spent_in_window: balance.spent.into(),
        cap: Some(cap_to_pb(balance.cap)),
        frozen: balance.is_frozen,
        has_access: balance.has_access,
        grants: balance.grants.into_iter().map(grant_to_pb).collect(),
    }
}

fn grant_to_pb(grant: Grant) -> pb::Grant {
    let origin = match grant.origin {
        GrantOrigin::Plan => pb::GrantOrigin::Plan,
        GrantOrigin::Voucher => pb::GrantOrigin::Voucher,
        GrantOrigin::Purchase => pb::GrantOrigin::Purchase,
        GrantOrigin::Goodwill => pb::GrantOrigin::Goodwill,
        GrantOrigin::Refund => pb::GrantOrigin::Refund,
    };
    pb::Grant {
        id: grant.id.to_string(),
        origin: origin.into(),
        credits: grant.credits.into(),
        available: grant.available.into(),
        create_time: Some(time_to_pb(grant.create_time)),
        expire_time: grant.expire_time.map(time_to_pb),
        note: grant.note,
    }
}

fn cap_to_pb(cap: SpendCap) -> pb::SpendCap {
    pb::SpendCap {
        hard_credits: cap.hard.map(Into::into),
        soft_credits: cap.soft.map(Into::into),
    }
}

fn alert_to_pb(alert: SpendAlert) -> pb::SpendAlert {
    pb::SpendAlert {
        percent: alert.percent,
        soft_credits: alert.soft.into(),
        spent: alert.spent.into(),
        create_time: Some(time_to_pb(alert.create_time)),
    }
}

fn movement_to_pb(movement: Movement) -> pb::Transaction {
    let kind = match movement.kind {
        TransferKind::Grant => pb::TransactionKind::Grant,
        TransferKind::Hold => pb::TransactionKind::Hold,
        TransferKind::Capture => pb::TransactionKind::Capture,
        TransferKind::Release => pb::TransactionKind::Release,
        TransferKind::Refund => pb::TransactionKind::Refund,
        TransferKind::Adjust => pb::TransactionKind::Adjust,
        TransferKind::Expire => pb::TransactionKind::Expire,
    };
    let text = |id: Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    pb::Transaction {
        id: movement.id.to_string(),
        kind: kind.into(),
        available_change: movement.available,
        held_change: movement.held,
        create_time: Some(time_to_pb(movement.create_time)),
        job_id: text(movement.job),
        user_id: text(movement.user),
        note: movement.note,
    }
}
