//! Campaigns of voucher codes: what they may look like, when a code can be redeemed, and why not.

use kinora_mesh::error::Kind;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Time;
use super::credits::Credits;
use super::refusal::Refusal;
use crate::error::Error;

/// No campaign has more codes. What is wanted beyond is another campaign.
pub const MAX_CODES: u32 = 10_000;

/// No code can be redeemed more often, and no person redeems more of one campaign.
const MAX_USES: u32 = 1_000_000;

/// What all codes of a campaign give together, at most: sums over many campaigns stay far from what a database can count.
const MAX_TOTAL_CREDITS: u128 = 1_000_000_000_000_000;

const MAX_NAME_BYTES: usize = 64;
const MAX_NOTES_CHARACTERS: usize = 1000;

/// Why a voucher or a campaign did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoucherRefusal {
    /// No code looks like this.
    Mistyped,
    /// There is no such code, or it is not good yet.
    Unknown,
    /// Its time is over.
    Ended,
    /// It has been redeemed as often as it can be.
    UsedUp,
    /// An operator has disabled it.
    Disabled,
    /// The caller has redeemed as much of the campaign as one person can.
    Limit,
    /// It gives a plan that there is no longer.
    PlanGone,
    /// There is a campaign with this name.
    CampaignExists,
    /// There is no campaign with this name.
    CampaignNotFound,
    /// There is no voucher with this id.
    VoucherNotFound,
}

impl VoucherRefusal {
    /// The code, the machine-readable reason, and the sentence for the caller.
    #[must_use]
    pub const fn parts(self) -> (Kind, &'static str, &'static str) {
        match self {
            Self::Mistyped => (
                Kind::InvalidArgument,
                "VOUCHER_MISTYPED",
                "a character of the code is wrong; compare it once more",
            ),
            Self::Unknown => (Kind::NotFound, "VOUCHER_UNKNOWN", "there is no such code"),
            Self::Ended => (
                Kind::FailedPrecondition,
                "VOUCHER_ENDED",
                "the time of this code is over",
            ),
            Self::UsedUp => (
                Kind::FailedPrecondition,
                "VOUCHER_USED_UP",
                "this code has been redeemed as often as it can be",
            ),
            Self::Disabled => (
                Kind::FailedPrecondition,
                "VOUCHER_DISABLED",
                "this code has been disabled",
            ),
            Self::Limit => (
                Kind::FailedPrecondition,
                "VOUCHER_LIMIT",
                "you have redeemed as many codes of this campaign as one person can",
            ),
            Self::PlanGone => (
                Kind::FailedPrecondition,
                "PLAN_GONE",
                "this code gives a plan that there is no longer; ask whoever gave it to you",
            ),
            Self::CampaignExists => (
                Kind::AlreadyExists,
                "CAMPAIGN_EXISTS",
                "there is a campaign with this name",
            ),
            Self::CampaignNotFound => (
                Kind::NotFound,
                "CAMPAIGN_NOT_FOUND",
                "there is no campaign with this name",
            ),
            Self::VoucherNotFound => (
                Kind::NotFound,
                "VOUCHER_NOT_FOUND",
                "there is no voucher with this id",
            ),
        }
    }
}

impl From<VoucherRefusal> for Error {
    fn from(refusal: VoucherRefusal) -> Self {
        Refusal::Voucher(refusal).into()
    }
}

/// A campaign that an operator wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewCampaign {
    /// Lower-case letters, digits and dashes, 1 to 64.
    pub name: String,
    /// Codes: 1 to [`MAX_CODES`].
    pub count: u32,
    /// Credits of each redemption.
    pub credits: u64,
    /// Lets who redeems a code generate.
    pub access: bool,
    /// Puts who redeems a code on this plan. Empty for none.
    pub plan: String,
    /// How often a code can be redeemed: 1 to a million.
    pub max_uses: u32,
    /// How many codes one person can redeem: 1 to a million.
    pub per_user: u32,
    /// Codes are good from then. None for at once.
    pub start_time: Option<Time>,
    /// Codes are good until then. None for ever.
    pub expire_time: Option<Time>,
    /// What was redeemed ends then. None for never.
    pub grant_expire_time: Option<Time>,
    /// For operators.
    pub notes: String,
}

impl NewCampaign {
    /// Passes when it makes sense at `now`. Whether there is such a plan is not looked at.
    ///
    /// # Errors
    /// [`Error::Field`] that names the first field that is wrong.
    pub fn check(&self, now: Time) -> Result<(), Error> {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let name = self.name.as_bytes();
        let has_name = (1..=MAX_NAME_BYTES).contains(&name.len());
        if !has_name || !name.iter().copied().all(is_plain) {
            return field("name", "has 1 to 64 lower-case letters, digits and dashes");
        }
        if !(1..=MAX_CODES).contains(&self.count) {
            return field("count", "lies between 1 and 10000");
        }
        if !(1..=MAX_USES).contains(&self.max_uses) {
            return field("max_uses", "lies between 1 and 1000000");
        }
        if !(1..=MAX_USES).contains(&self.per_user) {
            return field("per_user", "lies between 1 and 1000000");
        }
        if self.credits == 0 && !self.access && self.plan.is_empty() {
            return field("credits", "is 0, and the codes give nothing else either");
        }
        if self.credits > u64::from(Credits::LARGEST_AMOUNT) {
            return field("credits", "are at most 10^12");
        }
        let redemptions = u128::from(self.count) * u128::from(self.max_uses);
        if redemptions * u128::from(self.credits) > MAX_TOTAL_CREDITS {
            return field("credits", "come to more than 10^15 for all codes together");
        }
        if self.notes.chars().count() > MAX_NOTES_CHARACTERS {
            return field("notes", "has at most 1000 characters");
        }
        self.check_times(now)
    }

    fn check_times(&self, now: Time) -> Result<(), Error> {
        let start = self.start_time.unwrap_or(now);
        if self.expire_time.is_some_and(|end| end <= start.max(now)) {
            return field("expire_time", "comes after the start, and after now");
        }
        let is_over = |end| end <= start.max(now);
        if self.grant_expire_time.is_some_and(is_over) {
            return field("grant_expire_time", "comes after the start, and after now");
        }
        Ok(())
    }

    /// By which the same request is told from another one under the same id.
    ///
    /// # Errors
    /// [`Error::Broken`] never, in truth: everything in it can be written down.
    pub fn sha256(&self) -> Result<String, Error> {
        let json = serde_json::to_vec(self).map_err(|error| Error::Broken(error.to_string()))?;
        Ok(hex::encode(Sha256::digest(json)))
    }
}

/// When codes of a campaign can be redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then.
    pub start_time: Time,
    /// Until then. None for ever.
    pub expire_time: Option<Time>,
    /// What was redeemed ends then, so that later there is nothing to redeem. None for never.
    pub grant_expire_time: Option<Time>,
    /// An operator ended it then.
    pub disable_time: Option<Time>,
}

impl Validity {
    /// Passes when codes can be redeemed at `now`.
    ///
    /// # Errors
    /// [`VoucherRefusal::Unknown`] before the start: nothing tells a stranger what will be good some day;
    /// [`VoucherRefusal::Disabled`], [`VoucherRefusal::Ended`].
    pub fn check(self, now: Time) -> Result<(), VoucherRefusal> {
        let is_over = |end: Option<Time>| end.is_some_and(|end| end <= now);
        if now < self.start_time {
            return Err(VoucherRefusal::Unknown);
        }
        if self.disable_time.is_some() {
            return Err(VoucherRefusal::Disabled);
        }
        if is_over(self.expire_time) || is_over(self.grant_expire_time) {
            return Err(VoucherRefusal::Ended);
        }
        Ok(())
    }
}

fn field(field: &'static str, problem: &'static str) -> Result<(), Error> {
    Err(Error::Field { field, problem })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn now() -> Time {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn in_days(days: i64) -> Option<Time> {
        Some(now() + TimeDelta::days(days))
    }

    fn campaign() -> NewCampaign {
        NewCampaign {
            name: "odyssey".to_owned(),
            count: 500,
            credits: 600_000,
            max_uses: 1,
            per_user: 1,
            ..NewCampaign::default()
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut NewCampaign), refused: Option<&str>) {
        let mut campaign = campaign();
        change(&mut campaign);
        let field = match campaign.check(now()) {
            Ok(()) => None,
            Err(Error::Field { field, .. }) => Some(field),
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(field, refused, "{campaign:?}");
    }

    #[test]
    fn campaigns_that_make_no_sense_are_refused_by_field() {
        check(|_| (), None);
        check(|it| it.name = "x".repeat(64), None);
        for name in ["", "Odyssey", "a b", "a/b", "é", "=cmd", &"x".repeat(65)] {
            check(|it| it.name = name.to_owned(), Some("name"));
        }
        for (count, refused) in [(0, Some("count")), (10_000, None), (10_001, Some("count"))] {
            check(|it| it.count = count, refused);
        }
        check(|it| it.max_uses = 0, Some("max_uses"));
        check(|it| it.max_uses = 1_000_001, Some("max_uses"));
        check(|it| it.per_user = 0, Some("per_user"));
        check(|it| it.per_user = u32::MAX, Some("per_user"));
        check(|it| it.notes = "é".repeat(1000), None);
        check(|it| it.notes = "é".repeat(1001), Some("notes"));
    }

    #[test]
    fn codes_give_something_and_not_more_than_can_be_counted() {
        check(|it| it.credits = 0, Some("credits"));
        check(|it| (it.credits, it.access) = (0, true), None);
        check(|it| (it.credits, it.plan) = (0, "creator".to_owned()), None);
        check(|it| it.credits = 1_000_000_000_000, None);
        check(|it| it.credits = 1_000_000_000_001, Some("credits"));
        check(|it| it.credits = u64::MAX, Some("credits"));
        check(
            |it| (it.credits, it.max_uses) = (2_000_000, 1_000_000),
            None,
        );
        check(
            |it| (it.credits, it.max_uses) = (2_000_001, 1_000_000),
            Some("credits"),
        );
    }

    #[test]
    fn times_come_after_each_other() {
        check(|it| it.expire_time = in_days(1), None);
        check(|it| it.expire_time = in_days(0), Some("expire_time"));
        check(
            |it| (it.start_time, it.expire_time) = (in_days(2), in_days(2)),
            Some("expire_time"),
        );
        check(
            |it| (it.start_time, it.expire_time) = (in_days(-2), in_days(-1)),
            Some("expire_time"),
        );
        check(
            |it| it.grant_expire_time = in_days(-1),
            Some("grant_expire_time"),
        );
        check(
            |it| (it.start_time, it.grant_expire_time) = (in_days(3), in_days(2)),
            Some("grant_expire_time"),
        );
        check(
            |it| (it.expire_time, it.grant_expire_time) = (in_days(9), in_days(3)),
            None,
        );
    }

    #[test]
    fn another_request_has_another_sum() {
        let same = campaign().sha256().unwrap();
        assert_eq!(same, campaign().sha256().unwrap());
        for other in [
            NewCampaign {
                count: 501,
                ..campaign()
            },
            NewCampaign {
                access: true,
                ..campaign()
            },
            NewCampaign {
                expire_time: in_days(1),
                ..campaign()
            },
            NewCampaign {
                grant_expire_time: in_days(1),
                ..campaign()
            },
        ] {
            assert_ne!(same, other.sha256().unwrap(), "{other:?}");
        }
    }

    #[test]
    fn codes_are_good_from_the_start_until_an_end() {
        let open = Validity {
            start_time: now(),
            expire_time: in_days(2),
            grant_expire_time: in_days(3),
            disable_time: None,
        };
        let at = |validity: Validity, days| validity.check(now() + TimeDelta::days(days));
        assert_eq!(at(open, -1), Err(VoucherRefusal::Unknown));
        assert_eq!(at(open, 0), Ok(()));
        assert_eq!(at(open, 1), Ok(()));
        assert_eq!(at(open, 2), Err(VoucherRefusal::Ended));
        let for_ever = Validity {
            expire_time: None,
            ..open
        };
        assert_eq!(at(for_ever, 2), Ok(()));
        assert_eq!(at(for_ever, 3), Err(VoucherRefusal::Ended));
        let disabled = Validity {
            disable_time: in_days(1),
            ..open
        };
        assert_eq!(at(disabled, 0), Err(VoucherRefusal::Disabled));
        assert_eq!(at(disabled, -1), Err(VoucherRefusal::Unknown));
        assert_eq!(at(disabled, 9), Err(VoucherRefusal::Disabled));
    }
}
