//! The contract's calls about campaigns and vouchers.

use futures::stream;
use kinora_proto::billing::v1 as pb;
use prost_types::Timestamp;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::ServerStream;
use super::convert::{caller, time_from_pb, time_to_pb};
use crate::app::App;
use crate::app::campaigns::{CampaignView, Created};
use crate::domain::Time;
use crate::domain::voucher::{NewCampaign, VoucherRefusal};
use crate::domain::voucher_code::VoucherCode;
use crate::error::Error;
use crate::store::entity::vouchers::{redemption, voucher};

pub(super) use super::voucher_export::export_redemptions;

/// Codes in one message.
const CODES: usize = 500;

pub(super) async fn create_campaign(
    app: &App,
    request: Request<pb::CreateCampaignRequest>,
) -> Result<Response<ServerStream<pb::CreateCampaignResponse>>, Status> {
    let operator = caller(&request)?.user;
    let mut message = request.into_inner();
    let request_id = std::mem::take(&mut message.request_id);
    let new = campaign_from_pb(message)?;
    let created = app.create_campaign(operator, &request_id, &new).await?;
    let messages = messages_of(created).into_iter().map(Ok);
    Ok(Response::new(Box::pin(stream::iter(messages))))
}

pub(super) async fn list_campaigns(
    app: &App,
    _request: Request<pb::ListCampaignsRequest>,
) -> Result<Response<pb::ListCampaignsResponse>, Status> {
    let campaigns = app.list_campaigns().await?;
    let campaigns = campaigns.into_iter().map(campaign_to_pb).collect();
    Ok(Response::new(pb::ListCampaignsResponse { campaigns }))
}

pub(super) async fn list_vouchers(
    app: &App,
    request: Request<pb::ListVouchersRequest>,
) -> Result<Response<pb::ListVouchersResponse>, Status> {
    let message = request.into_inner();
    let page = app.list_vouchers(&message.campaign, message.page_size, &message.page_token);
    let (vouchers, next_page_token) = page.await?;
    Ok(Response::new(pb::ListVouchersResponse {
        vouchers: vouchers.into_iter().map(voucher_to_pb).collect(),
        next_page_token,
    }))
}

pub(super) async fn disable_campaign(
    app: &App,
    request: Request<pb::DisableCampaignRequest>,
) -> Result<Response<pb::DisableCampaignResponse>, Status> {
    let operator = caller(&request)?.user;
    let message = request.into_inner();
    let done = app.disable_campaign(operator, &message.campaign, message.claw_back);
    let (campaign, clawed_back) = done.await?;
    Ok(Response::new(pb::DisableCampaignResponse {
        campaign: Some(campaign_to_pb(campaign)),
        clawed_back,
    }))
}

pub(super) async fn disable_voucher(
    app: &App,
    request: Request<pb::DisableVoucherRequest>,
) -> Result<Response<pb::DisableVoucherResponse>, Status> {
    let operator = caller(&request)?.user;
    let message = request.into_inner();
    // What cannot be an id names no voucher.
    let id: Result<Uuid, Error> = message
        .id
        .parse()
        .map_err(|_| VoucherRefusal::VoucherNotFound.into());
    let done = app
        .disable_voucher(operator, id?, message.claw_back)
        .await?;
    let (voucher, clawed_back) = done;
    Ok(Response::new(pb::DisableVoucherResponse {
        voucher: Some(voucher_to_pb(voucher)),
        clawed_back,
    }))
}

pub(super) async fn redeem_voucher(
    app: &App,
    request: Request<pb::RedeemVoucherRequest>,
) -> Result<Response<pb::RedeemVoucherResponse>, Status> {
    let caller = caller(&request)?;
    let message = request.into_inner();
    let origin = message.origin.unwrap_or_default();
    let redeemed = app.redeem(&caller, &message.code, &origin.address).await?;
    let redemption = Some(redemption_to_pb(redeemed));
    Ok(Response::new(pb::RedeemVoucherResponse { redemption }))
}

pub(super) async fn list_redemptions(
    app: &App,
    request: Request<pb::ListRedemptionsRequest>,
) -> Result<Response<pb::ListRedemptionsResponse>, Status> {
    let redemptions = app.list_redemptions(caller(&request)?.user).await?;
    let redemptions = redemptions.into_iter().map(redemption_to_pb).collect();
    Ok(Response::new(pb::ListRedemptionsResponse { redemptions }))
}

/// The first one has the campaign.
fn messages_of(created: Created) -> Vec<pb::CreateCampaignResponse> {
    let codes: Vec<String> = created.codes.iter().map(VoucherCode::reveal).collect();
    let mut messages: Vec<pb::CreateCampaignResponse> = codes
        .chunks(CODES)
        .map(|codes| pb::CreateCampaignResponse {
            campaign: None,
            codes: codes.to_vec(),
        })
        .collect();
    if messages.is_empty() {
        messages.push(pb::CreateCampaignResponse::default());
    }
    messages[0].campaign = Some(campaign_to_pb(created.campaign));
    messages
}

fn campaign_from_pb(message: pb::CreateCampaignRequest) -> Result<NewCampaign, Error> {
    let time = |time: Option<Timestamp>, field: &'static str| -> Result<Option<Time>, Error> {
        time.map(|time| time_from_pb(time, field)).transpose()
    };
    Ok(NewCampaign {
        name: message.name,
        count: message.count,
        credits: message.credits,
        access: message.access,
        plan: message.plan,
        // 0 is what nobody has set.
        max_uses: message.max_uses.max(1),
        per_user: message.per_user.max(1),
        start_time: time(message.start_time, "start_time")?,
        expire_time: time(message.expire_time, "expire_time")?,
        grant_expire_time: time(message.grant_expire_time, "grant_expire_time")?,
        notes: message.notes,
    })
}

fn campaign_to_pb(view: CampaignView) -> pb::Campaign {
    let CampaignView { row, redemptions } = view;
    pb::Campaign {
        name: row.name,
        count: row.count.unsigned_abs(),
        credits: row.credits.unsigned_abs(),
        access: row.access,
        plan: row.plan,
        max_uses: row.max_uses.unsigned_abs(),
        per_user: row.per_user.unsigned_abs(),
        start_time: Some(time_to_pb(row.start_time)),
        expire_time: row.expire_time.map(time_to_pb),
        grant_expire_time: row.grant_expire_time.map(time_to_pb),
        notes: row.notes,
        create_time: Some(time_to_pb(row.create_time)),
        disable_time: row.disable_time.map(time_to_pb),
        redemptions,
    }
}

fn voucher_to_pb(row: voucher::Model) -> pb::Voucher {
    pb::Voucher {
        id: row.id.to_string(),
        campaign: row.campaign,
        hint: row.hint,
        uses: row.uses.unsigned_abs(),
        max_uses: row.max_uses.unsigned_abs(),
        disable_time: row.disable_time.map(time_to_pb),
        last_use_time: row.last_use_time.map(time_to_pb),
    }
}

fn redemption_to_pb(row: redemption::Model) -> pb::Redemption {
    // What was taken back has ended.
    let expire_time = row.claw_back_time.or(row.expire_time);
    pb::Redemption {
        campaign: row.campaign,
        hint: row.hint,
        credits: row.credits.unsigned_abs(),
        access: row.access,
        plan: row.plan,
        create_time: Some(time_to_pb(row.create_time)),
        expire_time: expire_time.map(time_to_pb),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(codes: usize) -> Created {
        let request = pb::CreateCampaignRequest {
            name: "odyssey".to_owned(),
            count: 1,
            access: true,
            ..pb::CreateCampaignRequest::default()
        };
        let new = campaign_from_pb(request).unwrap();
        Created::of_codes(&new, codes)
    }

    #[test]
    fn codes_come_in_messages_of_which_the_first_has_the_campaign() {
        for (codes, messages) in [(0, 1), (1, 1), (500, 1), (501, 2), (10_000, 20)] {
            let made = messages_of(created(codes));
            assert_eq!(made.len(), messages, "{codes}");
            assert_eq!(made.iter().map(|it| it.codes.len()).sum::<usize>(), codes);
            assert!(made.iter().all(|it| it.codes.len() <= CODES));
            let named = made.iter().filter(|it| it.campaign.is_some());
            assert_eq!((named.count(), made[0].campaign.is_some()), (1, true));
        }
    }

    #[test]
    fn what_is_not_set_means_once() {
        let new = campaign_from_pb(pb::CreateCampaignRequest::default()).unwrap();
        assert_eq!((new.max_uses, new.per_user), (1, 1));
        assert_eq!((new.start_time, new.expire_time), (None, None));
    }
}
