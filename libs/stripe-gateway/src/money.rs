//! Amounts, in currencies that an operator has named.

use std::collections::BTreeSet;
use std::fmt;

use crate::error::Error;

/// A currency's code of ISO 4217, lower case, as Stripe writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(String);

impl Currency {
    /// Reads a code of three letters, in either case.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything else.
    pub fn parse(code: &str) -> Result<Self, Error> {
        let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_code {
            Ok(Self(code.to_ascii_lowercase()))
        } else {
            Err(Error::Invalid("a currency has three letters"))
        }
    }

    /// For example `usd`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An amount in the smallest unit of its currency: cents of a dollar, but whole yen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// Negative only where money goes the other way: a credit on an invoice, a movement out of the account.
    pub amount: i64,
    /// What it is an amount of.
    pub currency: Currency,
}

/// The currencies that are dealt in. Amounts in others are errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currencies(BTreeSet<Currency>);

impl Currencies {
    /// Takes the codes that an operator names.
    ///
    /// # Errors
    /// [`Error::Setup`] when there is none, or one is no code.
    pub fn new<'c>(codes: impl IntoIterator<Item = &'c str>) -> Result<Self, Error> {
        let codes = codes.into_iter().map(Currency::parse);
        let currencies: BTreeSet<Currency> = codes
            .collect::<Result<_, _>>()
            .map_err(|_| Error::Setup("a currency is a code of three letters"))?;
        if currencies.is_empty() {
            return Err(Error::Setup("no currency is configured"));
        }
        Ok(Self(currencies))
    }

    /// Whether the currency was named.
    #[must_use]
    pub fn contains(&self, currency: &Currency) -> bool {
        self.0.contains(currency)
    }

    /// An amount of Stripe's.
    pub(crate) fn money(&self, amount: i64, code: &str) -> Result<Money, Error> {
        let currency = Currency::parse(code).map_err(|_| Error::UnknownCurrency)?;
        if self.contains(&currency) {
            Ok(Money { amount, currency })
        } else {
            Err(Error::UnknownCurrency)
        }
    }

    /// As [`Self::money`], of what cannot be negative.
    pub(crate) fn sum(&self, amount: i64, code: &str) -> Result<Money, Error> {
        let money = self.money(amount, code)?;
        if money.amount < 0 {
            return Err(Error::Unreadable("an amount is negative"));
        }
        Ok(money)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_that_are_not_named_are_refused() {
        let currencies = Currencies::new(["USD", "eur"]).unwrap();
        let usd = currencies.money(999, "usd").unwrap();
        assert_eq!((usd.amount, usd.currency.as_str()), (999, "usd"));
        for code in ["jpy", "", "us", "usdd", "üüü", "u d"] {
            let refused = currencies.money(1, code);
            assert!(matches!(refused, Err(Error::UnknownCurrency)), "{code}");
        }
    }

    #[test]
    fn sums_are_not_negative() {
        let currencies = Currencies::new(["usd"]).unwrap();
        assert!(currencies.money(-1, "usd").is_ok());
        assert!(matches!(
            currencies.sum(-1, "usd"),
            Err(Error::Unreadable(_))
        ));
        assert_eq!(currencies.sum(0, "usd").unwrap().amount, 0);
    }

    #[test]
    fn a_list_without_currencies_is_refused() {
        assert!(matches!(Currencies::new([]), Err(Error::Setup(_))));
        assert!(matches!(Currencies::new(["dollar"]), Err(Error::Setup(_))));
    }
}
