//! What happened in a span of time, for the nightly comparison: events that no webhook brought, and the movements of the
//! account's balance.

use miniserde::json::Value;
use stripe_core::balance_transaction::ListBalanceTransaction;
use stripe_core::event::ListEvent;
use stripe_shared::{BalanceTransaction, Event as StripeEvent};
use stripe_types::{List, Object, RangeBoundsTs, RangeQueryTs};

use crate::error::{Error, word};
use crate::gateway::Gateway;
use crate::money::{Currencies, Money};
use crate::object_id::ObjectId;
use crate::read::{id_of, optional_reference, time};
use crate::{Event, Time};

/// The most that Stripe gives at once.
const PAGE: i64 = 100;

/// From `from` until before `until`, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: Time,
    /// The moment after the last.
    pub until: Time,
}

/// Some of what was asked for, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// At most 100.
    pub items: Vec<T>,
    /// What the next page comes after; `None` when there is none.
    pub next: Option<ObjectId>,
}

/// Money that came into the account's balance at Stripe, or left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Its id.
    pub id: ObjectId,
    /// Stripe's word for it: `charge`, `payment`, `refund`, `adjustment` (as by a dispute), `payout`, …
    pub kind: String,
    /// Before Stripe's fee. Negative for what left. In the currency of the balance, which may differ from the price's.
    pub amount: Money,
    /// Stripe's fee, which is taken off.
    pub fee: Money,
    /// What moved it: a charge, a refund, a dispute, …
    pub source: Option<ObjectId>,
    /// When it happened.
    pub created: Time,
}

impl Gateway {
    /// Lists events. Stripe keeps them for 30 days.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list_events(
        &self,
        span: &Span,
        after: Option<&ObjectId>,
    ) -> Result<Page<Event>, Error> {
        let mut request = ListEvent::new().created(created(span)).limit(PAGE);
        if let Some(after) = after {
            request = request.starting_after(after.as_str());
        }
        let list = request.send(&self.call()).await?;
        page(&list, event)
    }

    /// Lists movements of the balance.
    ///
    /// # Errors
    /// [`Error`]; [`Error::UnknownCurrency`] when the account's balance is in a currency that was not named.
    pub async fn list_movements(
        &self,
        span: &Span,
        after: Option<&ObjectId>,
    ) -> Result<Page<Movement>, Error> {
        let mut request = ListBalanceTransaction::new()
            .created(created(span))
            .limit(PAGE);
        if let Some(after) = after {
            request = request.starting_after(after.as_str());
        }
        let list = request.send(&self.call()).await?;
        page(&list, |it| movement(it, &self.currencies))
    }
}

fn created(span: &Span) -> RangeQueryTs {
    RangeQueryTs::Bounds(RangeBoundsTs {
        gte: Some(span.from.timestamp()),
        lt: Some(span.until.timestamp()),
        ..RangeBoundsTs::default()
    })
}

fn page<S: Object, T>(
    list: &List<S>,
    read: impl Fn(&S) -> Result<T, Error>,
) -> Result<Page<T>, Error> {
    let items = list.data.iter().map(read).collect::<Result<_, _>>()?;
    let last = list.data.last().filter(|_| list.has_more);
    Ok(Page {
        items,
        next: last.map(id_of).transpose()?,
    })
}

fn event(event: &StripeEvent) -> Result<Event, Error> {
    let field = |name: &str| match &event.data.object {
        Value::Object(fields) => match fields.get(name) {
            Some(Value::String(text)) => Some(text.as_str()),
            _ => None,
        },
        _ => None,
    };
    Event::new(
        event.id.as_str(),
        event.type_.as_str(),
        event.created,
        event.livemode,
        (field("object"), field("id")),
    )
    .map_err(|_| Error::Unreadable("an event is none"))
}

fn movement(movement: &BalanceTransaction, currencies: &Currencies) -> Result<Movement, Error> {
    let currency = movement.currency.to_string();
    Ok(Movement {
        id: id_of(movement)?,
        kind: word(movement.type_.as_str()).unwrap_or_default(),
        amount: currencies.money(movement.amount, &currency)?,
        fee: currencies.money(movement.fee, &currency)?,
        source: optional_reference(movement.source.as_ref())?,
        created: time(movement.created)?,
    })
}
