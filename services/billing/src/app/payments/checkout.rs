//! Opening checkouts: pages of Stripe's on which packs and plans are paid.
//!
//! The row comes first, under an id that is derived from who pays and the request id, and with what is sold as it was
//! offered. Then Stripe is asked, under keys that are derived from the row. Whatever breaks off in between, the same call
//! again goes on where it was, and however many are made at once, there is one checkout.

use std::time::Duration;

use chrono::TimeDelta;
use kinora_stripe_gateway::{
    Checkout, Currency, Error as StripeError, Metadata, Money, ObjectId, Offer, OpenCheckout,
    Period, PurchaseKind,
};
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::{Payments, customer, return_url};
use crate::app::App;
use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::credits::Credits;
use crate::domain::payer::Payer;
use crate::domain::payment::{CheckoutState, Item, SubscriptionStanding, metadata};
use crate::domain::refusal::Refusal;
use crate::domain::request_id::check_request_id;
use crate::error::Error;
use crate::store::entity::payments::{checkout, subscription};
use crate::store::payers::{PayerRow, PlanOfPayer};
use crate::store::{checkouts, payers, payment_lists};

/// Names checkouts.
const CHECKOUTS: Uuid = Uuid::from_u128(0x7d1c_52a6_90b4_4f0e_8a53_1e6c_b2f7_d904);

/// Stripe forgets its side of a request id after a day: what it never answered is given up before that.
const UNANSWERED: TimeDelta = TimeDelta::hours(23);

/// A payer opens no more checkouts within [`WINDOW`]: each takes several calls of those that Stripe allows the platform.
const MOST_OPENED: u64 = 20;

const WINDOW: TimeDelta = TimeDelta::hours(1);

/// When a payer who opened too many may try again.
const PAUSE: Duration = Duration::from_secs(10 * 60);

/// What is sold, as it is offered at present.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Goods {
    title: String,
    /// Of the pack, or of each month.
    credits: Credits,
    /// 0 for ever. A plan's credits end with its months.
    valid_days: u16,
    price_cents: u32,
    currency: String,
}

impl App {
    /// Opens a checkout, once a request id, and answers where it is paid.
    ///
    /// The same call again answers the same while it can be paid, or is paid in a way that takes days.
    ///
    /// # Errors
    /// [`Refusal::PaymentsDisabled`], [`Refusal::RoleInsufficient`], [`Refusal::PackUnknown`], [`Refusal::PlanUnknown`],
    /// [`Refusal::PlanFree`], [`Refusal::PlanPaid`], [`Refusal::PayerFrozen`], [`Refusal::CheckoutOver`] and
    /// [`Refusal::RequestIdReused`]; [`Error::Throttled`]; [`Error::Stripe`], after which the same call may be made again;
    /// [`Error::Field`], [`Error::Database`].
    pub(crate) async fn create_checkout(
        &self,
        caller: &Caller,
        request_id: &str,
        item: &Item,
    ) -> Result<checkout::Model, Error> {
        let payments = self.payments()?;
        caller.must_decide()?;
        check_request_id(request_id)?;
        let row = self.begin_checkout(caller, request_id, item).await?;
        if row.session.is_some() {
            return Ok(row);
        }
        self.open_checkout(payments, &caller.payer, item, &row)
            .await
    }

    /// The row of a checkout that can go on.
    async fn begin_checkout(
        &self,
        caller: &Caller,
        request_id: &str,
        item: &Item,
    ) -> Result<checkout::Model, Error> {
        let now = self.now();
        let id = checkout_id(&caller.payer, request_id);
        let tx = self.store.begin().await?;
        // Of two calls at once the second one waits here, and finds the row of the first.
        let payer = payers::lock(&tx, &caller.payer, now).await?;
        let found = checkouts::find(&tx, id).await?;
        if let Some(row) = &found {
            must_go_on(row, item, now)?;
        }
        if payer.is_stopped() {
            return Err(Refusal::PayerFrozen.into());
        }
        if matches!(item, Item::Plan(_)) {
            must_have_no_subscription(&tx, &payer, now).await?;
        }
        if let Some(row) = found {
            return Ok(row);
        }
        let row = new_row(id, caller, item, self.goods(item, caller.payer)?, now);
        if checkouts::count_after(&tx, &caller.payer, now - WINDOW).await? >= MOST_OPENED {
            return Err(Error::Throttled { retry_after: PAUSE });
        }
        checkouts::insert(&tx, &row).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Asks Stripe for the page, and keeps where it is.
    async fn open_checkout(
        &self,
        payments: &Payments,
        payer: &Payer,
        item: &Item,
        row: &checkout::Model,
    ) -> Result<checkout::Model, Error> {
        let customer = self.ensure_customer(payments, payer).await?;
        let offer = Offer {
            key: item.to_string(),
            title: self.title_of(item),
            price: Money {
                amount: row.price,
                currency: Currency::parse(&row.currency)?,
            },
            period: match item {
                Item::Pack(_) => None,
                Item::Plan(_) => Some(Period::Month),
            },
        };
        let price = payments.gateway.ensure_price(&offer).await?;
        let opened = match create(payments, &customer, &price, item, row).await {
            Err(error) if customer::is_gone(&error) => {
                // What Stripe answered to this row stays its answer; another request id begins with another customer.
                self.forget_customer(payer, &customer).await?;
                return Err(Refusal::CheckoutOver.into());
            }
            // It was asked for with another price or address, which changed since. Nobody has seen that page.
            Err(StripeError::KeyReused) => return Err(Refusal::CheckoutOver.into()),
            opened => opened?,
        };
        let tx = self.store.begin().await?;
        let (session, url) = (opened.id.as_str(), opened.url.as_str());
        checkouts::set_session(&tx, row.id, session, url, opened.expires_at).await?;
        let kept = checkouts::find(&tx, row.id).await?;
        tx.commit().await?;
        kept.ok_or_else(|| Error::Broken(format!("the checkout {} is not there", row.id)))
    }

    /// What a payer would get for its money.
    fn goods(&self, item: &Item, payer: Payer) -> Result<Goods, Refusal> {
        match item {
            Item::Pack(name) => {
                let pack = self.plans.pack(name).ok_or(Refusal::PackUnknown)?;
                Ok(Goods {
                    title: pack.title.clone(),
                    credits: pack.credits,
                    valid_days: pack.valid_days,
                    price_cents: pack.price_cents,
                    currency: pack.currency.clone(),
                })
            }
            Item::Plan(name) => {
                let plan = self.plans.get(name).filter(|plan| !plan.is_hidden);
                let plan = plan.ok_or(Refusal::PlanUnknown)?;
                if plan.price_cents == 0 {
                    return Err(Refusal::PlanFree);
                }
                let credits = plan.allowance(payer);
                if credits.is_zero() {
                    // It is not for organisations: one would pay for nothing.
                    return Err(Refusal::PlanUnknown);
                }
                Ok(Goods {
                    title: plan.title.clone(),
                    credits,
                    valid_days: 0,
                    price_cents: plan.price_cents,
                    currency: plan.currency.clone(),
                })
            }
        }
    }

    /// What people read on Stripe's page.
    fn title_of(&self, item: &Item) -> String {
        let title = match item {
            Item::Pack(name) => self.plans.pack(name).map(|pack| &pack.title),
            Item::Plan(name) => self.plans.get(name).map(|plan| &plan.title),
        };
        // It may be offered no longer, and was when the row was made.
        title.map_or_else(|| item.to_string(), Clone::clone)
    }
}

fn checkout_id(payer: &Payer, request_id: &str) -> Uuid {
    Uuid::new_v5(&CHECKOUTS, format!("{payer}\n{request_id}").as_bytes())
}

fn new_row(id: Uuid, caller: &Caller, item: &Item, goods: Goods, now: Time) -> checkout::Model {
    checkout::Model {
        id,
        payer: caller.payer.to_string(),
        user_id: caller.user,
        item: item.to_string(),
        credits: goods.credits.get(),
        valid_days: i32::from(goods.valid_days),
        price: i64::from(goods.price_cents),
        currency: goods.currency,
        state: CheckoutState::Open.code(),
        session: None,
        url: None,
        create_time: now,
        expire_time: None,
    }
}

/// Passes for a checkout of the same thing whose page can be paid or made, or is paid in a way that takes days: who is told
/// to open another one then would pay twice.
fn must_go_on(row: &checkout::Model, item: &Item, now: Time) -> Result<(), Refusal> {
    if row.item != item.to_string() {
        return Err(Refusal::RequestIdReused);
    }
    let end_time = row.expire_time.unwrap_or(row.create_time + UNANSWERED);
    match CheckoutState::from_code(row.state) {
        Some(CheckoutState::Processing) => Ok(()),
        Some(CheckoutState::Open) if now < end_time => Ok(()),
        _ => Err(Refusal::CheckoutOver),
    }
}

/// Passes for who pays for no plan. One whose first payment has not come does not count: it may never come.
async fn must_have_no_subscription(
    tx: &DatabaseTransaction,
    payer: &PayerRow,
    now: Time,
) -> Result<(), Error> {
    let is_kept = |row: &subscription::Model| {
        let standing = SubscriptionStanding::from_code(row.status);
        standing != Some(SubscriptionStanding::Incomplete)
    };
    let subscriptions = payment_lists::subscriptions(tx, &payer.payer).await?;
    let pays = payer.present_plan(now).is_some_and(PlanOfPayer::is_paid);
    if pays || subscriptions.iter().any(is_kept) {
        return Err(Refusal::PlanPaid.into());
    }
    Ok(())
}

/// Makes the page at Stripe, once a row.
async fn create(
    payments: &Payments,
    customer: &ObjectId,
    price: &ObjectId,
    item: &Item,
    row: &checkout::Model,
) -> Result<OpenCheckout, StripeError> {
    let reference = row.id.to_string();
    let metadata = Metadata::from([
        (metadata::PAYER.to_owned(), row.payer.clone()),
        (metadata::CHECKOUT.to_owned(), reference.clone()),
        (metadata::ITEM.to_owned(), row.item.clone()),
    ]);
    let checkout = Checkout {
        kind: match item {
            Item::Pack(_) => PurchaseKind::Pack,
            Item::Plan(_) => PurchaseKind::Subscription,
        },
        customer,
        price,
        reference: &reference,
        metadata: &metadata,
        success_url: &return_url::with_outcome(&payments.return_url, row.id, "paid"),
        cancel_url: &return_url::with_outcome(&payments.return_url, row.id, "left"),
    };
    let key = format!("checkout:{reference}");
    payments.gateway.create_checkout(&checkout, &key).await
}

#[cfg(test)]
mod tests;
