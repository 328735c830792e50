//! Plans: what comes every month.

use std::collections::HashSet;

use serde::Deserialize;

use super::credits::Credits;
use super::pack::{self, Pack, PackRow};
use super::payer::Payer;

const MAX_PLANS: usize = 100;

/// No name of a plan is longer.
const MAX_NAME: usize = 64;

const MAX_TITLE: usize = 100;

/// What comes every month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Lower-case letters, digits and dashes.
    pub name: String,
    /// For people.
    pub title: String,
    /// The allowance of a window.
    pub monthly_credits: Credits,
    /// Of a month. 0 for a free one.
    pub price_cents: u32,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Whether it lets people generate where that needs an entitlement.
    pub access: bool,
    /// Whether it is left out of what is offered.
    pub is_hidden: bool,
    /// Whether an organisation that has it gets the allowance.
    pub is_for_organisations: bool,
}

impl Plan {
    /// What it gives a payer in a window.
    #[must_use]
    pub const fn allowance(&self, payer: Payer) -> Credits {
        match payer {
            Payer::Organisation(_) if !self.is_for_organisations => Credits::ZERO,
            _ => self.monthly_credits,
        }
    }
}

/// All plans, and the one of everybody who has no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plans {
    plans: Vec<Plan>,
    packs: Vec<Pack>,
    default: Plan,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    plan: Vec<Row>,
    #[serde(default)]
    pack: Vec<PackRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    title: String,
    monthly_credits: i64,
    #[serde(default)]
    price_cents: u32,
    #[serde(default = "dollars")]
    currency: String,
    #[serde(default)]
    access: bool,
    #[serde(default)]
    hidden: bool,
    #[serde(default = "yes")]
    for_organisations: bool,
}

pub(super) fn dollars() -> String {
    "usd".to_owned()
}

const fn yes() -> bool {
    true
}

impl Plans {
    /// Reads plans, of which `default` is the one of everybody who has no other.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn parse(text: &str, default: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.plan.len() > MAX_PLANS {
            return Err(format!("there are more than {MAX_PLANS} plans"));
        }
        let plans: Vec<Plan> = file.plan.into_iter().map(read).collect::<Result<_, _>>()?;
        let names: HashSet<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        if names.len() != plans.len() {
            return Err("two plans have the same name".to_owned());
        }
        let found = plans.iter().find(|plan| plan.name == default).cloned();
        let found = found.ok_or_else(|| format!("there is no plan `{default}`"))?;
        if found.price_cents > 0 {
            return Err(format!("the default plan `{default}` is not free"));
        }
        Ok(Self {
            plans,
            packs: pack::read_all(file.pack)?,
            default: found,
        })
    }

    /// The plan of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.name == name)
    }

    /// The plan of who has been put on `name`. Whose plan is not there any more has the default one.
    #[must_use]
    pub fn of(&self, name: Option<&str>) -> &Plan {
        name.and_then(|name| self.get(name))
            .unwrap_or(&self.default)
    }

    /// What can be bought once.
    #[must_use]
    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// The pack of a name.
    #[must_use]
    pub fn pack(&self, name: &str) -> Option<&Pack> {
        self.packs.iter().find(|pack| pack.name == name)
    }

    /// The currencies of all that has a price.
    pub fn currencies(&self) -> impl Iterator<Item = &str> {
        let plans = self.plans.iter().filter(|plan| plan.price_cents > 0);
        let packs = self.packs.iter().map(|pack| pack.currency.as_str());
        plans.map(|plan| plan.currency.as_str()).chain(packs)
    }

    /// Those that are shown to everybody.
    pub fn offered(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter().filter(|plan| !plan.is_hidden)
    }
}

fn read(row: Row) -> Result<Plan, String> {
    check_names(&row.name, &row.title, &row.currency)?;
    let monthly_credits = Credits::new(row.monthly_credits);
    let monthly_credits = monthly_credits.filter(|credits| *credits <= Credits::LARGEST_AMOUNT);
    let monthly_credits = monthly_credits.ok_or_else(|| {
        format!(
            "`{}` gives less than none, or more than {}",
            row.name,
            Credits::LARGEST_AMOUNT
        )
    })?;
    if row.price_cents > 0 && monthly_credits.is_zero() {
        return Err(format!("`{}` has a price and gives nothing", row.name));
    }
    Ok(Plan {
        name: row.name,
        title: row.title,
        monthly_credits,
        price_cents: row.price_cents,
        currency: row.currency,
        access: row.access,
        is_hidden: row.hidden,
        is_for_organisations: row.for_organisations,
    })
}

/// Checks what plans and packs have alike.
///
/// # Errors
/// What is wrong, as a sentence.
pub(super) fn check_names(name: &str, title: &str, currency: &str) -> Result<(), String> {
    let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_legal) {
        return Err(format!(
            "`{name}` is not named by 1 to {MAX_NAME} lower-case letters, digits and dashes"
        ));
    }
    if title.is_empty() || title.chars().count() > MAX_TITLE {
        return Err(format!(
            "the title of `{name}` has not 1 to {MAX_TITLE} characters"
        ));
    }
    if currency.len() != 3 || !currency.chars().all(|c| c.is_ascii_lowercase()) {
        return Err(format!(
            "the currency of `{name}` is not three lower-case letters"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const FREE: &str = "[[plan]]\nname = \"free\"\ntitle = \"Free\"\nmonthly_credits = 5\n";

    #[track_caller]
    fn refused(text: &str, default: &str, problem: &str) {
        let error = Plans::parse(text, default).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }

    #[test]
    fn built_in_plans_are_what_the_page_says() {
        let text = include_str!("../../data/plans.toml");
        let plans = Plans::parse(text, "free").unwrap();
        let free = plans.of(None);
        let (person, group) = (Payer::User(Uuid::nil()), Payer::Organisation(Uuid::nil()));
        assert_eq!(free.allowance(person), Credits::new(600_000).unwrap());
        assert_eq!(free.allowance(group), Credits::ZERO);
        assert!(!free.access);
        let offered: Vec<(&str, u32)> = plans
            .offered()
            .map(|plan| (plan.name.as_str(), plan.price_cents))
            .collect();
        assert_eq!(offered, [("free", 0), ("creator", 999), ("studio", 3999)]);
        let unlimited = Plans::parse(text, "unlimited").unwrap();
        assert_eq!(unlimited.of(None).allowance(group), Credits::LARGEST_AMOUNT);
        assert!(unlimited.of(None).access);
    }

    #[test]
    fn who_is_on_a_plan_that_is_gone_has_the_default_one() {
        let plans = Plans::parse(FREE, "free").unwrap();
        assert_eq!(plans.of(Some("gone")).name, "free");
        assert_eq!(plans.get("gone"), None);
    }

    #[test]
    fn files_that_make_no_sense_are_refused() {
        refused("", "free", "plan");
        refused(FREE, "other", "there is no plan `other`");
        refused(&format!("{FREE}{FREE}"), "free", "the same name");
        refused(&format!("{FREE}price_cents = 1\n"), "free", "is not free");
        refused(&format!("{FREE}price = 1\n"), "free", "price");
        refused(&format!("{FREE}currency = \"USD\"\n"), "free", "currency");
        refused(
            &FREE.replace("\"free\"", "\"Fr ee\""),
            "free",
            "is not named by",
        );
        refused(&FREE.replace("\"Free\"", "\"\""), "free", "title");
        for credits in ["-1", "1000000000001"] {
            refused(
                &FREE.replace("= 5", &format!("= {credits}")),
                "free",
                "gives less",
            );
        }
    }
}
