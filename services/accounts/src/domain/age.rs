//! Age: who is of age, by whose word, and what that opens.

use chrono::Datelike;

use super::Time;
use super::refusal::Refusal;

/// Nobody who is born earlier signs up.
const FIRST_YEAR: i32 = 1900;

/// From this age on people are of age.
const ADULT_YEARS: i32 = 18;

/// By whose word an age is known when the person said it.
pub const SELF_DECLARED: &str = "self";

/// How well an age is known. Grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assurance {
    /// Not at all.
    Unverified,
    /// The person says so.
    Declared,
    /// A verifier or an operator says so.
    Verified,
}

/// What is known of a person's age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Age {
    /// How well.
    pub assurance: Assurance,
    /// By whose word; empty while nothing is known.
    pub method: String,
    /// Whether the person is of age, by that.
    pub is_adult: bool,
    /// Since when it is known.
    pub time: Option<Time>,
}

/// What content may show. Grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Fit for everybody.
    General,
    /// For people who are of age.
    Adult,
}

impl Age {
    /// Nothing is known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self {
            assurance: Assurance::Unverified,
            method: String::new(),
            is_adult: false,
            time: None,
        }
    }

    /// What is known after the person has stated the year of birth. The year itself is not kept.
    ///
    /// Somebody counts as of age from the year in which nobody of that year of birth is 17 any more.
    ///
    /// # Errors
    /// [`Refusal::YearInvalid`]; [`Refusal::AgeVerified`] when it is known better; [`Refusal::AgeDeclared`] for a minor
    /// who would rather not be one.
    pub fn declare(&self, year_of_birth: u32, now: Time) -> Result<Self, Refusal> {
        let year = i32::try_from(year_of_birth).map_err(|_| Refusal::YearInvalid)?;
        if !(FIRST_YEAR..=now.year()).contains(&year) {
            return Err(Refusal::YearInvalid);
        }
        let is_adult = now.year() - year > ADULT_YEARS;
        match self.assurance {
            Assurance::Verified => Err(Refusal::AgeVerified),
            Assurance::Declared if is_adult && !self.is_adult => Err(Refusal::AgeDeclared),
            Assurance::Declared if is_adult == self.is_adult => Ok(self.clone()),
            Assurance::Unverified | Assurance::Declared => Ok(Self {
                assurance: Assurance::Declared,
                method: SELF_DECLARED.to_owned(),
                is_adult,
                time: Some(now),
            }),
        }
    }

    /// What is known after a verifier has found it.
    #[must_use]
    pub const fn verified(is_adult: bool, method: String, now: Time) -> Self {
        Self {
            assurance: Assurance::Verified,
            method,
            is_adult,
            time: Some(now),
        }
    }

    /// How well it is known that the person is of age: what tokens say. Somebody who is known to be a minor is
    /// `unverified` there, however well that is known, so that nobody has to look at two claims.
    #[must_use]
    pub const fn assurance_of_adulthood(&self) -> Assurance {
        if self.is_adult {
            self.assurance
        } else {
            Assurance::Unverified
        }
    }

    /// The highest tier of content that the person may make, where the operator allows adult content or not.
    #[must_use]
    pub fn content_tier(&self, allows_adult_content: bool) -> Tier {
        let is_verified = self.assurance_of_adulthood() == Assurance::Verified;
        if allows_adult_content && is_verified {
            Tier::Adult
        } else {
            Tier::General
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Time {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn declared(year: u32) -> Age {
        Age::unknown().declare(year, now()).unwrap()
    }

    #[test]
    fn who_may_still_be_seventeen_is_no_adult() {
        for (year, is_adult) in [(1900, true), (2007, true), (2008, false), (2026, false)] {
            let age = declared(year);
            assert_eq!(age.is_adult, is_adult, "{year}");
            assert_eq!(age.assurance, Assurance::Declared);
            assert_eq!((age.method.as_str(), age.time), ("self", Some(now())));
        }
    }

    #[test]
    fn years_outside_of_a_life_are_refused() {
        for year in [0, 1899, 2027, u32::MAX] {
            let refused = Age::unknown().declare(year, now());
            assert_eq!(refused, Err(Refusal::YearInvalid), "{year}");
        }
    }

    #[test]
    fn a_minor_does_not_become_an_adult_by_saying_so() {
        let minor = declared(2015);
        assert_eq!(minor.declare(1990, now()), Err(Refusal::AgeDeclared));
        assert_eq!(minor.declare(2014, now()), Ok(minor.clone()));
        let adult = declared(1990);
        assert_eq!(adult.declare(2015, now()), Ok(minor));
    }

    #[test]
    fn a_declaration_does_not_replace_what_was_verified() {
        let verified = Age::verified(true, "verifier".to_owned(), now());
        assert_eq!(verified.declare(2015, now()), Err(Refusal::AgeVerified));
    }

    #[test]
    fn adult_content_is_for_verified_adults_where_the_operator_allows_it() {
        let verified = |is_adult| Age::verified(is_adult, "verifier".to_owned(), now());
        for (age, allowed, tier) in [
            (verified(true), true, Tier::Adult),
            (verified(true), false, Tier::General),
            (verified(false), true, Tier::General),
            (declared(1990), true, Tier::General),
            (declared(2015), true, Tier::General),
            (Age::unknown(), true, Tier::General),
        ] {
            assert_eq!(age.content_tier(allowed), tier, "{age:?} {allowed}");
        }
    }

    #[test]
    fn tokens_of_minors_say_that_nothing_is_verified() {
        let minor = Age::verified(false, "verifier".to_owned(), now());
        assert_eq!(minor.assurance_of_adulthood(), Assurance::Unverified);
        assert_eq!(
            declared(2015).assurance_of_adulthood(),
            Assurance::Unverified
        );
        assert_eq!(declared(1990).assurance_of_adulthood(), Assurance::Declared);
    }
}
