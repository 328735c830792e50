//! Answers people.

use std::sync::Arc;

use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::billing_service_server::BillingService;
use tonic::{Request, Response, Status};

use super::{ServerStream, balance, prices, usage, vouchers};
use crate::app::App;

/// Answers people.
pub struct BillingGrpc {
    app: Arc<App>,
}

impl BillingGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl BillingService for BillingGrpc {
    type ExportUsageStream = ServerStream<pb::ExportUsageResponse>;

    async fn get_balance(
        &self,
        request: Request<pb::GetBalanceRequest>,
    ) -> Result<Response<pb::GetBalanceResponse>, Status> {
        balance::get_balance(&self.app, request).await
    }

    async fn list_transactions(
        &self,
        request: Request<pb::ListTransactionsRequest>,
    ) -> Result<Response<pb::ListTransactionsResponse>, Status> {
        balance::list_transactions(&self.app, request).await
    }

    async fn get_usage(
        &self,
        request: Request<pb::GetUsageRequest>,
    ) -> Result<Response<pb::GetUsageResponse>, Status> {
        usage::get_usage(&self.app, request).await
    }

    async fn export_usage(
        &self,
        request: Request<pb::ExportUsageRequest>,
    ) -> Result<Response<Self::ExportUsageStream>, Status> {
        usage::export_usage(&self.app, request).await
    }

    async fn get_price_book(
        &self,
        _request: Request<pb::GetPriceBookRequest>,
    ) -> Result<Response<pb::GetPriceBookResponse>, Status> {
        prices::get_price_book(&self.app).await
    }

    async fn list_plans(
        &self,
        _request: Request<pb::ListPlansRequest>,
    ) -> Result<Response<pb::ListPlansResponse>, Status> {
        Ok(prices::list_plans(&self.app))
    }

    async fn set_spend_cap(
        &self,
        request: Request<pb::SetSpendCapRequest>,
    ) -> Result<Response<pb::SetSpendCapResponse>, Status> {
        balance::set_spend_cap(&self.app, request).await
    }

    async fn list_spend_alerts(
        &self,
        request: Request<pb::ListSpendAlertsRequest>,
    ) -> Result<Response<pb::ListSpendAlertsResponse>, Status> {
        balance::list_spend_alerts(&self.app, request).await
    }

    async fn redeem_voucher(
        &self,
        request: Request<pb::RedeemVoucherRequest>,
    ) -> Result<Response<pb::RedeemVoucherResponse>, Status> {
        vouchers::redeem_voucher(&self.app, request).await
    }

    async fn list_redemptions(
        &self,
        request: Request<pb::ListRedemptionsRequest>,
    ) -> Result<Response<pb::ListRedemptionsResponse>, Status> {
        vouchers::list_redemptions(&self.app, request).await
    }
}
