//! The contract's calls by which operators look at payments and undo them.

use std::sync::Arc;

use kinora_proto::billing::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, payer_from_pb};
use super::payments::{receipt_to_pb, subscription_to_pb};
use crate::app::App;
use crate::app::payments::refund::ReceiptRefund;
use crate::error::Error;

pub(super) async fn list_receipts_of(
    app: &App,
    request: Request<pb::ListReceiptsOfRequest>,
) -> Result<Response<pb::ListReceiptsOfResponse>, Status> {
    let message = request.into_inner();
    let payer = match message.payer {
        Some(payer) => Some(payer_from_pb(Some(payer))?),
        None => None,
    };
    let page = app.receipts(payer.as_ref(), message.page_size, &message.page_token);
    let (rows, next_page_token) = page.await?;
    let receipts: Result<_, Error> = rows.into_iter().map(receipt_to_pb).collect();
    Ok(Response::new(pb::ListReceiptsOfResponse {
        receipts: receipts?,
        next_page_token,
    }))
}

pub(super) async fn refund_receipt(
    app: &App,
    request: Request<pb::RefundReceiptRequest>,
) -> Result<Response<pb::RefundReceiptResponse>, Status> {
    let operator = caller(&request)?.user;
    let message = request.into_inner();
    let refund = ReceiptRefund {
        request_id: message.request_id,
        receipt: message.receipt,
        amount: message.amount,
        note: message.note,
    };
    let row = app.refund_receipt(operator, &refund).await?;
    Ok(Response::new(pb::RefundReceiptResponse {
        receipt: Some(receipt_to_pb(row)?),
    }))
}

pub(super) async fn cancel_subscription(
    app: &App,
    request: Request<pb::CancelSubscriptionRequest>,
) -> Result<Response<pb::CancelSubscriptionResponse>, Status> {
    let operator = caller(&request)?.user;
    let message = request.into_inner();
    let ended = app.cancel_subscription(operator, &message.subscription, &message.note);
    let row = ended.await?;
    Ok(Response::new(pb::CancelSubscriptionResponse {
        subscription: Some(subscription_to_pb(row)?),
    }))
}

/// Goes on when the caller no longer waits: it may take longer than a call may. Who asks again meanwhile waits for the same.
pub(super) async fn reconcile_payments(
    app: &Arc<App>,
) -> Result<Response<pb::ReconcilePaymentsResponse>, Status> {
    let app = Arc::clone(app);
    let comparing = tokio::spawn(async move { app.reconcile_payments().await });
    let broken = |error| Error::Broken(format!("the comparison broke: {error}"));
    let comparison = comparing.await.map_err(broken)??;
    Ok(Response::new(pb::ReconcilePaymentsResponse {
        problems: comparison.problems,
        movements: comparison.movements,
        missed_events: comparison.missed_events,
        waiting_events: comparison.waiting_events,
    }))
}
