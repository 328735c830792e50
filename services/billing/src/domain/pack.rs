//! Packs: credits that are bought once.

use std::collections::HashSet;

use serde::Deserialize;

use super::credits::Credits;
use super::plan::{check_names, dollars};

const MAX_PACKS: usize = 100;

/// Ten years: credits of later than that may as well not end.
const MAX_DAYS: u16 = 3_650;

/// Credits that are bought once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Lower-case letters, digits and dashes.
    pub name: String,
    /// For people.
    pub title: String,
    /// How many.
    pub credits: Credits,
    /// In the smallest unit of the currency.
    pub price_cents: u32,
    /// ISO 4217, lower case.
    pub currency: String,
    /// How long they can be spent. 0 for ever.
    pub valid_days: u16,
}

/// A pack as the file of plans has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackRow {
    name: String,
    title: String,
    credits: i64,
    price_cents: u32,
    #[serde(default = "dollars")]
    currency: String,
    #[serde(default)]
    valid_days: u16,
}

/// Checks the packs of a file.
///
/// # Errors
/// What is wrong, as a sentence.
pub(super) fn read_all(rows: Vec<PackRow>) -> Result<Vec<Pack>, String> {
    if rows.len() > MAX_PACKS {
        return Err(format!("there are more than {MAX_PACKS} packs"));
    }
    let packs: Vec<Pack> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    let names: HashSet<&str> = packs.iter().map(|pack| pack.name.as_str()).collect();
    if names.len() != packs.len() {
        return Err("two packs have the same name".to_owned());
    }
    Ok(packs)
}

fn read(row: PackRow) -> Result<Pack, String> {
    let name = row.name;
    check_names(&name, &row.title, &row.currency)?;
    let credits = Credits::new(row.credits);
    let credits = credits.filter(|it| !it.is_zero() && *it <= Credits::LARGEST_AMOUNT);
    let credits = credits.ok_or_else(|| {
        format!(
            "the pack `{name}` has not 1 to {} credits",
            Credits::LARGEST_AMOUNT
        )
    })?;
    if row.price_cents == 0 {
        return Err(format!("the pack `{name}` has no price"));
    }
    if row.valid_days > MAX_DAYS {
        return Err(format!(
            "the pack `{name}` can be spent for more than {MAX_DAYS} days"
        ));
    }
    Ok(Pack {
        name,
        title: row.title,
        credits,
        price_cents: row.price_cents,
        currency: row.currency,
        valid_days: row.valid_days,
    })
}

#[cfg(test)]
mod tests {
    use crate::domain::plan::Plans;

    const FREE: &str = "[[plan]]\nname = \"free\"\ntitle = \"Free\"\nmonthly_credits = 5\n";
    const PACK: &str =
        "[[pack]]\nname = \"small\"\ntitle = \"Small\"\ncredits = 7\nprice_cents = 999\n";

    #[test]
    fn packs_stand_beside_plans() {
        let plans = Plans::parse(&format!("{FREE}{PACK}valid_days = 30\n"), "free").unwrap();
        let pack = plans.pack("small").unwrap();
        assert_eq!(
            (pack.credits.get(), pack.price_cents, pack.valid_days),
            (7, 999, 30)
        );
        assert_eq!(pack.currency, "usd");
        assert_eq!(plans.packs().len(), 1);
        assert_eq!(plans.pack("large"), None);
        assert_eq!(plans.currencies().collect::<Vec<_>>(), ["usd"]);
    }

    #[test]
    fn packs_that_make_no_sense_are_refused() {
        let refused = |pack: &str, problem: &str| {
            let error = Plans::parse(&format!("{FREE}{pack}"), "free").unwrap_err();
            assert!(error.contains(problem), "{error}");
        };
        refused(&PACK.replace("= 7", "= 0"), "has not 1 to");
        refused(&PACK.replace("= 7", "= -7"), "has not 1 to");
        refused(&PACK.replace("999", "0"), "has no price");
        refused(&format!("{PACK}valid_days = 4000\n"), "more than 3650 days");
        refused(&format!("{PACK}{PACK}"), "two packs");
        refused(&format!("{PACK}price = 1\n"), "price");
    }
}
