//! Answers who buys.

use std::sync::Arc;

use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::payment_service_server::PaymentService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::{caller, payer_to_pb, time_to_pb};
use crate::app::App;
use crate::domain::Time;
use crate::domain::pack::Pack;
use crate::domain::payer::Payer;
use crate::domain::payment::{CheckoutState, Item, SubscriptionStanding};
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::entity::payments::{checkout, receipt, subscription};

/// No webhook of Stripe's is longer.
const MAX_WEBHOOK_BYTES: usize = 1 << 20;

/// Answers who buys, and takes Stripe's webhooks.
pub struct PaymentGrpc {
    app: Arc<App>,
}

impl PaymentGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl PaymentService for PaymentGrpc {
    async fn list_packs(
        &self,
        _request: Request<pb::ListPacksRequest>,
    ) -> Result<Response<pb::ListPacksResponse>, Status> {
        let packs = self.app.packs_on_sale();
        let packs = packs.iter().map(pack_to_pb).collect();
        Ok(Response::new(pb::ListPacksResponse { packs }))
    }

    async fn create_checkout(
        &self,
        request: Request<pb::CreateCheckoutRequest>,
    ) -> Result<Response<pb::CreateCheckoutResponse>, Status> {
        let caller = caller(&request)?;
        let message = request.into_inner();
        let item = item_from_pb(message.item)?;
        let row = self
            .app
            .create_checkout(&caller, &message.request_id, &item);
        let checkout = checkout_to_pb(row.await?, self.app.now())?;
        Ok(Response::new(pb::CreateCheckoutResponse {
            checkout: Some(checkout),
        }))
    }

    async fn get_checkout(
        &self,
        request: Request<pb::GetCheckoutRequest>,
    ) -> Result<Response<pb::GetCheckoutResponse>, Status> {
        let payer = caller(&request)?.payer;
        // What cannot be an id names no checkout.
        let id: Result<Uuid, Error> = request
            .into_inner()
            .id
            .parse()
            .map_err(|_| Refusal::CheckoutNotFound.into());
        let row = self.app.checkout(&payer, id?).await?;
        let checkout = checkout_to_pb(row, self.app.now())?;
        Ok(Response::new(pb::GetCheckoutResponse {
            checkout: Some(checkout),
        }))
    }

    async fn create_portal(
        &self,
        request: Request<pb::CreatePortalRequest>,
    ) -> Result<Response<pb::CreatePortalResponse>, Status> {
        let url = self.app.create_portal(&caller(&request)?).await?;
        Ok(Response::new(pb::CreatePortalResponse { url }))
    }

    async fn list_subscriptions(
        &self,
        request: Request<pb::ListSubscriptionsRequest>,
    ) -> Result<Response<pb::ListSubscriptionsResponse>, Status> {
        let rows = self.app.subscriptions(&caller(&request)?.payer).await?;
        let subscriptions: Result<_, Error> = rows.into_iter().map(subscription_to_pb).collect();
        Ok(Response::new(pb::ListSubscriptionsResponse {
            subscriptions: subscriptions?,
        }))
    }

    async fn list_receipts(
        &self,
        request: Request<pb::ListReceiptsRequest>,
    ) -> Result<Response<pb::ListReceiptsResponse>, Status> {
        let payer = caller(&request)?.payer;
        let message = request.into_inner();
        let page = self
            .app
            .receipts(Some(&payer), message.page_size, &message.page_token);
        let (rows, next_page_token) = page.await?;
        let receipts: Result<_, Error> = rows.into_iter().map(receipt_to_pb).collect();
        Ok(Response::new(pb::ListReceiptsResponse {
            receipts: receipts?,
            next_page_token,
        }))
    }

    async fn receive_stripe_webhook(
        &self,
        request: Request<pb::ReceiveStripeWebhookRequest>,
    ) -> Result<Response<pb::ReceiveStripeWebhookResponse>, Status> {
        let message = request.into_inner();
        if message.body.len() > MAX_WEBHOOK_BYTES {
            return Err(Error::from(Refusal::WebhookRefused).into());
        }
        let received = self.app.receive_webhook(&message.body, &message.signature);
        received.await?;
        Ok(Response::new(pb::ReceiveStripeWebhookResponse {}))
    }
}

fn item_from_pb(item: Option<pb::create_checkout_request::Item>) -> Result<Item, Error> {
    match item {
        Some(pb::create_checkout_request::Item::Pack(name)) => Ok(Item::Pack(name)),
        Some(pb::create_checkout_request::Item::Plan(name)) => Ok(Item::Plan(name)),
        None => Err(Error::Field {
            field: "item",
            problem: "is missing: name a pack or a plan",
        }),
    }
}

fn pack_to_pb(pack: &Pack) -> pb::Pack {
    pb::Pack {
        name: pack.name.clone(),
        title: pack.title.clone(),
        credits: pack.credits.into(),
        price: pack.price_cents,
        currency: pack.currency.clone(),
        valid_days: pack.valid_days.into(),
    }
}

fn checkout_to_pb(row: checkout::Model, now: Time) -> Result<pb::Checkout, Error> {
    let state = match CheckoutState::from_code(row.state) {
        Some(CheckoutState::Open) => pb::CheckoutState::Open,
        Some(CheckoutState::Processing) => pb::CheckoutState::Processing,
        Some(CheckoutState::Paid) => pb::CheckoutState::Paid,
        Some(CheckoutState::Expired) => pb::CheckoutState::Expired,
        None => return Err(unknown_code("checkout", &row.id.to_string(), row.state)),
    };
    let is_closed = row.expire_time.is_some_and(|end| end <= now);
    let is_payable = state == pb::CheckoutState::Open && !is_closed;
    Ok(pb::Checkout {
        id: row.id.to_string(),
        state: state.into(),
        item: row.item,
        credits: row.credits.unsigned_abs(),
        price: u32::try_from(row.price).unwrap_or(u32::MAX),
        currency: row.currency,
        url: row.url.filter(|_| is_payable).unwrap_or_default(),
        create_time: Some(time_to_pb(row.create_time)),
        expire_time: row.expire_time.map(time_to_pb),
    })
}

/// What people and operators see of a subscription.
pub(super) fn subscription_to_pb(row: subscription::Model) -> Result<pb::Subscription, Error> {
    let status = match SubscriptionStanding::from_code(row.status) {
        Some(SubscriptionStanding::Incomplete) => pb::SubscriptionStatus::Incomplete,
        Some(SubscriptionStanding::Active) => pb::SubscriptionStatus::Active,
        Some(SubscriptionStanding::PastDue) => pb::SubscriptionStatus::PastDue,
        Some(SubscriptionStanding::Suspended) => pb::SubscriptionStatus::Suspended,
        Some(SubscriptionStanding::Ended) => pb::SubscriptionStatus::Ended,
        None => return Err(unknown_code("subscription", &row.id, row.status)),
    };
    Ok(pb::Subscription {
        id: row.id,
        plan: row.plan,
        status: status.into(),
        period_start: Some(time_to_pb(row.period_start)),
        period_end: Some(time_to_pb(row.period_end)),
        ends_with_period: row.ends_with_period,
    })
}

/// What people and operators see of a receipt.
pub(super) fn receipt_to_pb(row: receipt::Model) -> Result<pb::Receipt, Error> {
    let payer: Result<Payer, _> = row.payer.parse();
    let payer = payer.map_err(|_| {
        let id = &row.id;
        Error::Broken(format!("the receipt {id} is of no payer"))
    })?;
    Ok(pb::Receipt {
        id: row.id,
        payer: Some(payer_to_pb(payer)),
        item: row.item,
        credits: row.credits.unsigned_abs(),
        paid: row.paid,
        refunded: row.refunded,
        disputed: row.disputed,
        currency: row.currency,
        taken_credits: row.taken.unsigned_abs(),
        invoice_number: row.invoice_number.unwrap_or_default(),
        invoice_url: row.invoice_url.unwrap_or_default(),
        create_time: Some(time_to_pb(row.create_time)),
    })
}

fn unknown_code(what: &str, id: &str, code: i16) -> Error {
    Error::Broken(format!("the {what} {id} is in the unknown state {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Time {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn row() -> checkout::Model {
        checkout::Model {
            id: Uuid::nil(),
            payer: format!("user:{}", Uuid::nil()),
            user_id: Uuid::nil(),
            item: "pack:small".to_owned(),
            credits: 1_000_000,
            valid_days: 0,
            price: 999,
            currency: "usd".to_owned(),
            state: CheckoutState::Open.code(),
            session: Some("cs_test_1".to_owned()),
            url: Some("https://checkout.example.org/1".to_owned()),
            create_time: opened(),
            expire_time: Some(opened() + chrono::TimeDelta::hours(24)),
        }
    }

    #[test]
    fn only_a_checkout_that_can_be_paid_says_where() {
        let url_of = |row: checkout::Model, hours| {
            let now = opened() + chrono::TimeDelta::hours(hours);
            checkout_to_pb(row, now).unwrap().url
        };
        assert_eq!(url_of(row(), 1), "https://checkout.example.org/1");
        assert_eq!(url_of(row(), 24), "", "closed, and nobody has said so yet");
        for state in [
            CheckoutState::Processing,
            CheckoutState::Paid,
            CheckoutState::Expired,
        ] {
            let row = checkout::Model {
                state: state.code(),
                ..row()
            };
            assert_eq!(url_of(row, 1), "", "{state:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_shown() {
        let strange = checkout::Model { state: 9, ..row() };
        let shown = checkout_to_pb(strange, opened());
        assert!(matches!(shown, Err(Error::Broken(_))));
        assert!(matches!(
            item_from_pb(None),
            Err(Error::Field { field: "item", .. })
        ));
    }
}
