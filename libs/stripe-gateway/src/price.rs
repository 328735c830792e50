//! Prices at Stripe, of what we offer.
//!
//! What is offered and what it costs is the platform's own data. At Stripe a price is found by its lookup key; when it is
//! not there, or costs something else, a new one is made that takes the key over. So operators enter nothing twice.

use std::collections::HashMap;

use stripe_product::price::{
    CreatePrice, CreatePriceProductData, CreatePriceRecurring, CreatePriceRecurringInterval,
    ListPrice, RetrievePrice,
};
use stripe_shared::Price;

use crate::error::Error;
use crate::gateway::{Gateway, derived_key};
use crate::money::{Currencies, Money};
use crate::object_id::ObjectId;
use crate::read::{id_of, reference};

/// The name in a price's metadata of the offer that it is of. Unlike the lookup key it stays when a newer price comes.
const OFFER: &str = "kinora_offer";

/// Something that can be bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The lookup key, one of a kind in the account: 1 to 200 visible ASCII characters.
    pub key: String,
    /// What people see on the checkout's page and on the invoice; 1 to 250 characters.
    pub title: String,
    /// What one costs.
    pub price: Money,
    /// How often it is paid; `None` for what is bought once.
    pub period: Option<Period>,
}

/// A price, as it stands. What it costs never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedPrice {
    /// Its id.
    pub id: ObjectId,
    /// The [`Offer::key`] that it was made for. `None` for a price of somebody else's.
    pub offer: Option<String>,
    /// What one costs; `None` for a price that is not one amount.
    pub amount: Option<Money>,
}

/// How often a subscription is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// Every month.
    Month,
    /// Every year.
    Year,
}

impl Period {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    const fn interval(self) -> CreatePriceRecurringInterval {
        match self {
            Self::Month => CreatePriceRecurringInterval::Month,
            Self::Year => CreatePriceRecurringInterval::Year,
        }
    }
}

impl Gateway {
    /// Returns the price of an offer at Stripe, which is made when it is missing or differs.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Invalid`] for an offer that cannot be one.
    pub async fn ensure_price(&self, offer: &Offer) -> Result<ObjectId, Error> {
        self.check_offer(offer)?;
        let request = ListPrice::new()
            .active(true)
            .lookup_keys(vec![offer.key.clone()])
            .limit(1);
        let found = request.send(&self.call()).await?.data;
        let found = found.first();
        if let Some(price) = found.filter(|price| is_of(price, offer)) {
            return id_of(price);
        }
        let product = found.map(|price| reference(&price.product)).transpose()?;
        self.create_price(offer, product.as_ref()).await
    }

    /// Reads a price, also one that is offered no longer.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn fetch_price(&self, id: &ObjectId) -> Result<OfferedPrice, Error> {
        let request = RetrievePrice::new(id.as_str());
        offered(&request.send(&self.call()).await?, &self.currencies)
    }

    async fn create_price(
        &self,
        offer: &Offer,
        product: Option<&ObjectId>,
    ) -> Result<ObjectId, Error> {
        let amount = offer.price.amount;
        let currency = offer.price.currency.as_str();
        let period = offer.period.map_or("once", Period::as_str);
        let Ok(stripe_currency) = currency.parse::<stripe_types::Currency>();
        let mut request = CreatePrice::new(stripe_currency)
            .unit_amount(amount)
            .lookup_key(offer.key.clone())
            .transfer_lookup_key(true)
            .metadata(HashMap::from([(OFFER.to_owned(), offer.key.clone())]));
        if let Some(period) = offer.period {
            request = request.recurring(CreatePriceRecurring::new(period.interval()));
        }
        request = match product {
            Some(product) => request.product(product.as_str()),
            None => request.product_data(CreatePriceProductData::new(offer.title.clone())),
        };
        let amount_text = amount.to_string();
        let parts: [&str; 6] = [
            &offer.key,
            &offer.title,
            &amount_text,
            currency,
            period,
            product.map_or("", ObjectId::as_str),
        ];
        let key = derived_key("price", &parts);
        let price = request.send(&self.keyed(&key)?).await?;
        if is_of(&price, offer) {
            id_of(&price)
        } else {
            Err(Error::Unreadable("the new price is another"))
        }
    }

    fn check_offer(&self, offer: &Offer) -> Result<(), Error> {
        self.check_amount(&offer.price)?;
        let is_key = (1..=200).contains(&offer.key.len())
            && offer.key.bytes().all(|byte| byte.is_ascii_graphic());
        let has_title = (1..=250).contains(&offer.title.chars().count());
        if is_key && has_title {
            Ok(())
        } else {
            Err(Error::Invalid("an offer needs a key and a title"))
        }
    }
}

fn offered(price: &Price, currencies: &Currencies) -> Result<OfferedPrice, Error> {
    let currency = price.currency.to_string();
    let amount = price.unit_amount;
    Ok(OfferedPrice {
        id: id_of(price)?,
        offer: offer_of(price),
        amount: amount
            .map(|amount| currencies.sum(amount, &currency))
            .transpose()?,
    })
}

/// The offer that a price is of, or was.
pub(crate) fn offer_of(price: &Price) -> Option<String> {
    let written = price.metadata.get(OFFER);
    written.or(price.lookup_key.as_ref()).cloned()
}

fn is_of(price: &Price, offer: &Offer) -> bool {
    let recurring = price.recurring.as_ref();
    let period = recurring.map(|it| (it.interval.as_str().to_owned(), it.interval_count));
    let offered = offer.period.map(|it| (it.as_str().to_owned(), 1));
    price.unit_amount == Some(offer.price.amount)
        && price.currency.to_string() == offer.price.currency.as_str()
        && period == offered
}
