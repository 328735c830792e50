//! Answers operators.

use std::sync::Arc;

use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use super::{ServerStream, audit, balance, operators, payment_admin, prices, vouchers};
use crate::app::App;

/// Answers operators.
pub struct AdminGrpc {
    app: Arc<App>,
}

impl AdminGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl AdminService for AdminGrpc {
    type CreateCampaignStream = ServerStream<pb::CreateCampaignResponse>;
    type ExportRedemptionsStream = ServerStream<pb::ExportRedemptionsResponse>;

    async fn create_campaign(
        &self,
        request: Request<pb::CreateCampaignRequest>,
    ) -> Result<Response<Self::CreateCampaignStream>, Status> {
        vouchers::create_campaign(&self.app, request).await
    }

    async fn list_campaigns(
        &self,
        request: Request<pb::ListCampaignsRequest>,
    ) -> Result<Response<pb::ListCampaignsResponse>, Status> {
        vouchers::list_campaigns(&self.app, request).await
    }

    async fn list_vouchers(
        &self,
        request: Request<pb::ListVouchersRequest>,
    ) -> Result<Response<pb::ListVouchersResponse>, Status> {
        vouchers::list_vouchers(&self.app, request).await
    }

    async fn disable_campaign(
        &self,
        request: Request<pb::DisableCampaignRequest>,
    ) -> Result<Response<pb::DisableCampaignResponse>, Status> {
        vouchers::disable_campaign(&self.app, request).await
    }

    async fn disable_voucher(
        &self,
        request: Request<pb::DisableVoucherRequest>,
    ) -> Result<Response<pb::DisableVoucherResponse>, Status> {
        vouchers::disable_voucher(&self.app, request).await
    }

    async fn export_redemptions(
        &self,
        request: Request<pb::ExportRedemptionsRequest>,
    ) -> Result<Response<Self::ExportRedemptionsStream>, Status> {
        vouchers::export_redemptions(&self.app, request).await
    }

    async fn get_payer(
        &self,
        request: Request<pb::GetPayerRequest>,
    ) -> Result<Response<pb::GetPayerResponse>, Status> {
        balance::get_payer(&self.app, request).await
    }

    async fn list_transactions_of(
        &self,
        request: Request<pb::ListTransactionsOfRequest>,
    ) -> Result<Response<pb::ListTransactionsOfResponse>, Status> {
        balance::list_transactions_of(&self.app, request).await
    }

    async fn adjust(
        &self,
        request: Request<pb::AdjustRequest>,
    ) -> Result<Response<pb::AdjustResponse>, Status> {
        operators::adjust(&self.app, request).await
    }

    async fn refund(
        &self,
        request: Request<pb::RefundRequest>,
    ) -> Result<Response<pb::RefundResponse>, Status> {
        operators::refund(&self.app, request).await
    }

    async fn set_frozen(
        &self,
        request: Request<pb::SetFrozenRequest>,
    ) -> Result<Response<pb::SetFrozenResponse>, Status> {
        operators::set_frozen(&self.app, request).await
    }

    async fn set_plan(
        &self,
        request: Request<pb::SetPlanRequest>,
    ) -> Result<Response<pb::SetPlanResponse>, Status> {
        operators::set_plan(&self.app, request).await
    }

    async fn publish_price_book(
        &self,
        request: Request<pb::PublishPriceBookRequest>,
    ) -> Result<Response<pb::PublishPriceBookResponse>, Status> {
        prices::publish_price_book(&self.app, request).await
    }

    async fn set_window(
        &self,
        request: Request<pb::SetWindowRequest>,
    ) -> Result<Response<pb::SetWindowResponse>, Status> {
        operators::set_window(&self.app, request).await
    }

    async fn check_ledger(
        &self,
        _request: Request<pb::CheckLedgerRequest>,
    ) -> Result<Response<pb::CheckLedgerResponse>, Status> {
        operators::check_ledger(&self.app).await
    }

    async fn list_receipts_of(
        &self,
        request: Request<pb::ListReceiptsOfRequest>,
    ) -> Result<Response<pb::ListReceiptsOfResponse>, Status> {
        payment_admin::list_receipts_of(&self.app, request).await
    }

    async fn refund_receipt(
        &self,
        request: Request<pb::RefundReceiptRequest>,
    ) -> Result<Response<pb::RefundReceiptResponse>, Status> {
        payment_admin::refund_receipt(&self.app, request).await
    }

    async fn cancel_subscription(
        &self,
        request: Request<pb::CancelSubscriptionRequest>,
    ) -> Result<Response<pb::CancelSubscriptionResponse>, Status> {
        payment_admin::cancel_subscription(&self.app, request).await
    }

    async fn reconcile_payments(
        &self,
        _request: Request<pb::ReconcilePaymentsRequest>,
    ) -> Result<Response<pb::ReconcilePaymentsResponse>, Status> {
        payment_admin::reconcile_payments(&self.app).await
    }

    async fn list_audit(
        &self,
        request: Request<pb::ListAuditRequest>,
    ) -> Result<Response<pb::ListAuditResponse>, Status> {
        audit::list_audit(&self.app, request).await
    }
}
